"""Residual networks of any depth: basic and bottleneck blocks, for small images and for photos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import keras

from kerasuite.models.cnn import normalisation

# Keyword arguments of `build`: the depth counts the layers with weights along the longest way.
SHAPES = {
    "resnet14": {"blocks": (1, 1, 1, 1), "filters": (64, 128, 160, 160), "down": "pool"},
    "resnet18": {"blocks": (2, 2, 2, 2), "filters": (64, 128, 256, 512), "stem": "photo"},
    "resnet34": {"blocks": (3, 4, 6, 3), "filters": (64, 128, 256, 512), "stem": "photo"},
    "resnet50": {"blocks": (3, 4, 6, 3), "filters": (64, 128, 256, 512), "stem": "photo", "kind": "bottleneck"},
    "resnet101": {"blocks": (3, 4, 23, 3), "filters": (64, 128, 256, 512), "stem": "photo", "kind": "bottleneck"},
}


def build(
    image_size: tuple[int, int] | tuple[None, None],
    channels: int,
    num_classes: int | None,
    *,
    blocks: Sequence[int] = (2, 2, 2),
    filters: Sequence[int] = (32, 64, 128),
    kind: Literal["basic", "bottleneck"] = "basic",
    stem: Literal["small", "photo"] = "small",
    down: Literal["stride", "pool"] = "stride",
    dropout: float = 0.0,
) -> keras.Model:
    """A stem, then stages of residual blocks, each at half the size of the one before.

    He et al. 2016, "Deep Residual Learning for Image Recognition", with two changes that became usual: a bottleneck
    halves in its 3x3 convolution (ResNet v1.5), and the last normalisation of each block starts at 0, so that the
    block starts as the identity (Goyal et al. 2017, arXiv:1706.02677).

    Args:
        image_size: height and width in pixels; None, None takes images of any size.
        num_classes: None leaves the head away: the result is the last stage's map.
        blocks: residual blocks of each stage.
        filters: channels of each stage; a bottleneck puts out four times as many.
        kind: `basic` (two 3x3 convolutions) or `bottleneck` (1x1, 3x3, 1x1).
        stem: `small` (3x3, full size: for images up to about 64 pixels) or `photo` (7x7 and pooling, a quarter).
        down: how a stage halves the size: `stride`, in its first block, but for the first stage; `pool`, by a
            convolution of its own and max-pooling, the first stage too. That learns more in the same time where images
            are small (Page 2018, "How to Train Your ResNet").
        dropout: share of the pooled features dropped.

    Returns:
        Model from float32 pixels 0-255 (batch, height, width, channels) to logits (batch, num_classes), or to
        (batch, height', width', channels'). The end of stage k is the layer `stage_k`.

    Example:
        >>> build((224, 224), 3, 1000, **SHAPES["resnet18"]).count_params() // 1000
        11699
    """
    block = partial({"basic": _basic, "bottleneck": _bottleneck}[kind])
    pixels = keras.Input((*image_size, channels), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="signed_range")(pixels)
    x = _stem(x, filters[0] // 2 if down == "pool" else filters[0], stem)

    for stage, (count, number) in enumerate(zip(blocks, filters, strict=True), 1):
        if down == "pool":
            x = _convolve(x, number, 3, 1, f"stage_{stage}_down", pool=True)
        for k in range(1, count + 1):
            stride = 2 if down == "stride" and stage > 1 and k == 1 else 1
            name = f"stage_{stage}" if k == count else f"stage_{stage}_block_{k}"
            x = block(x, number, stride, name)

    if num_classes is None:
        return keras.Model(pixels, x, name="resnet")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)  # (batch, channels of the last stage)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="resnet")


def _stem(x, number: int, kind: str):
    if kind == "small":
        return _convolve(x, number, 3, 1, "stem")
    return keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(_convolve(x, number, 7, 2, "stem"))


def _basic(x, number: int, stride: int, name: str):
    shortcut = _shortcut(x, number, stride, name)
    y = _convolve(x, number, 3, stride, f"{name}_1")
    y = _convolve(y, number, 3, 1, f"{name}_2", last=True)
    return keras.layers.ReLU(name=name)(keras.layers.Add(name=f"{name}_add")((shortcut, y)))


def _bottleneck(x, number: int, stride: int, name: str):
    shortcut = _shortcut(x, 4 * number, stride, name)
    y = _convolve(x, number, 1, 1, f"{name}_1")
    y = _convolve(y, number, 3, stride, f"{name}_2")
    y = _convolve(y, 4 * number, 1, 1, f"{name}_3", last=True)
    return keras.layers.ReLU(name=name)(keras.layers.Add(name=f"{name}_add")((shortcut, y)))


def _shortcut(x, number: int, stride: int, name: str):
    """The input itself, or a 1x1 convolution of it where the shape changes."""
    if stride == 1 and x.shape[-1] == number:
        return x
    x = keras.layers.Conv2D(number, 1, stride, use_bias=False, name=f"{name}_shortcut")(x)
    return normalisation(f"{name}_shortcut_norm")(x)


def _convolve(x, number: int, size: int, stride: int, name: str, *, pool: bool = False, last: bool = False):
    """Convolution, perhaps pooling, and normalisation; then ReLU, save for a block's last."""
    x = keras.layers.Conv2D(
        number, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    if pool:
        # Here and not at the end: what follows has a quarter of the work.
        x = keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    x = normalisation(f"{name}_norm", gamma="zeros" if last else "ones")(x)
    return x if last else keras.layers.ReLU(name=f"{name}_relu")(x)
