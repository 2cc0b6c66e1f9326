"""The classic two-block convolutional network."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from kerasuite.errors import InputError


def build(
    image_size: tuple[int, int],
    channels: int,
    num_classes: int,
    *,
    filters: Sequence[int] = (32, 64),
    dropout: float = 0.0,
    l2: float = 0.0,
    batch_norm: bool = False,
) -> keras.Model:
    """Convolution 3x3 and pooling, once for each entry of filters; then flatten, dropout, dense.

    Args:
        image_size: height and width in pixels.
        dropout: share of the flattened features dropped.
        l2: penalty on the squared kernel weights.
        batch_norm: normalise after each convolution.

    Returns:
        Model from float32 pixels 0-255 (batch, height, width, channels) to logits (batch, num_classes).

    Raises:
        InputError: the image is too small for so many blocks.

    Example:
        >>> build((28, 28), 1, 10).count_params()
        34826
    """
    least = 2 ** len(filters)
    if min(image_size) < least:
        raise InputError(
            f"Images of {image_size[0]}x{image_size[1]} are too small for {len(filters)} halvings: "
            f"at least {least}x{least} is needed. Pass a larger --image-size, or --model mlp."
        )
    # Small images would shrink to nothing without padding; the classic network has none.
    padding = "valid" if min(image_size) >= 3 * least - 2 else "same"
    penalty = keras.regularizers.L2(l2) if l2 else None
    pixels = keras.Input((*image_size, channels), name="pixels")

    x = keras.layers.Rescaling(1 / 255, name="unit_range")(pixels)
    for k, number in enumerate(filters, 1):
        # A bias before a normalisation has no gradient but rounding errors, and Adam makes whole steps of those.
        convolve = keras.layers.Conv2D(
            number, 3, padding=padding, use_bias=not batch_norm, kernel_regularizer=penalty, name=f"conv_{k}"
        )
        x = normalisation(f"norm_{k}")(convolve(x)) if batch_norm else convolve(x)
        x = keras.layers.ReLU(name=f"relu_{k}")(x)
        x = keras.layers.MaxPooling2D(name=f"pool_{k}")(x)

    x = keras.layers.Flatten(name="flatten")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(num_classes, kernel_regularizer=penalty, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="cnn")


def normalisation(name: str, momentum: float = 0.9, gamma: str = "ones") -> keras.layers.Layer:
    """Batch normalisation over the whole batch, on however many devices it lies.

    Args:
        gamma: initial scale, by the initializer's name.
    """
    spread = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return keras.layers.BatchNormalization(momentum=momentum, gamma_initializer=gamma, synchronized=spread, name=name)
