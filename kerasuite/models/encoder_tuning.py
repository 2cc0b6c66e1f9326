"""What of an encoder of texts is trained: all of a copy, its last layers, low-rank matrices; tables by their rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras

from kerasuite.errors import InputError

# Layers by depth: as KerasHub's encoders name them, as our own does, and as the modules of TensorFlow Hub do, whose
# variables lose their slashes in `hub`.
_BLOCK = re.compile(r"(?:transformer_layer|transformer[/_]layer|encoder[/_]layer|block)_(\d+)")
_ABOVE = ("pooled_dense", "last_norm", "pooler")


def copied(model: keras.Model) -> keras.Model:
    """The same layers and values, in Keras's present dtype policy, with variables on the present strategy's devices."""
    policy = keras.saving.serialize_keras_object(keras.config.dtype_policy())

    def in_policy(config: Any) -> Any:
        if isinstance(config, dict):
            if config.get("class_name") == "DTypePolicy":
                return policy
            return {key: in_policy(value) for key, value in config.items()}
        return type(config)(map(in_policy, config)) if isinstance(config, list | tuple) else config

    copy = keras.Model.from_config(in_policy(model.get_config()))
    copy.set_weights(model.get_weights())
    return copy


def freeze_below(model: keras.Model, layers: int | None) -> None:
    """Leave so many of the last layers to be trained; None for all.

    Raises:
        InputError: the encoder has fewer.
    """
    if layers is None:
        return
    found = depths(model.trainable_variables)
    if layers > max(found, default=0):
        raise InputError(f"--tuning last_{layers}_layers: this encoder has {max(found, default=0)} layers to train.")
    for variable, depth in zip(model.trainable_variables, found):
        variable.trainable = depth > max(found) - layers


def add_lora(model: keras.Model, rank: int) -> None:
    """Leave to be trained only a product of two narrow matrices beside each query and value of the attention.

    Hu et al. (2021), LoRA, arXiv:2106.09685, section 4.2; by Keras's own `enable_lora`.

    Raises:
        InputError: there is no attention that could have them.
    """
    adapted = _adapted(model)
    if not adapted:
        raise InputError("--tuning lora: this encoder has no attention of Keras's own. Pass full or frozen.")
    for layer in adapted.values():
        layer.enable_lora(rank)
    for variable in model.variables:
        variable.trainable = "lora_" in variable.path


def merged(plain: keras.Model, adapted: keras.Model) -> keras.Model:
    """A copy of the plain model with the products of the adapted one added to what they stand beside."""
    copy = copied(plain)
    kernels = {layer.path: keras.ops.convert_to_numpy(layer.kernel) for layer in _adapted(adapted).values()}
    for path, layer in _adapted(copy).items():
        layer.kernel.assign(kernels[path])
    return copy


def _adapted(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """The layers of queries and of values, by their paths."""
    every = model._flatten_layers()
    return {
        layer.path: layer
        for layer in every
        if isinstance(layer, keras.layers.EinsumDense) and layer.name in ("query", "value")
    }


def tables(model: keras.Model) -> set[str]:
    """The paths of the tables of tokens and segments, of which a step touches the rows of its own tokens alone."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    return {layer.embeddings.path for layer in layers}


def depths(variables: Sequence[keras.Variable]) -> list[int]:
    """How deep each variable lies: 0 in the embeddings, then block by block; what follows the last counts to it.

    Example:
        >>> from kerasuite.models import transformer
        >>> depths(transformer.build(9, dim=8, num_layers=1).trainable_variables)[:3]
        [0, 0, 1]
    """
    found = [_BLOCK.search(variable.path) for variable in variables]
    blocks = [int(match[1]) + 1 if match else 0 for match in found]
    above = [any(name in variable.path for name in _ABOVE) for variable in variables]
    return [max(blocks) if is_above else block for block, is_above in zip(blocks, above)]
