"""A multilayer perceptron on pixels."""

from __future__ import annotations

from collections.abc import Sequence

import keras


def build(
    image_size: tuple[int, int],
    channels: int,
    num_classes: int,
    *,
    hidden: Sequence[int] = (128,),
    dropout: float = 0.0,
    l2: float = 0.0,
) -> keras.Model:
    """The classic 784-128-10 network at its defaults on MNIST.

    Args:
        image_size: height and width in pixels.
        hidden: units of each hidden layer.
        dropout: share of units dropped after each hidden layer.
        l2: penalty on the squared kernel weights.

    Returns:
        Model from float32 pixels 0-255 (batch, height, width, channels) to logits (batch, num_classes).

    Example:
        >>> build((28, 28), 1, 10).count_params()
        101770
    """
    penalty = keras.regularizers.L2(l2) if l2 else None
    pixels = keras.Input((*image_size, channels), name="pixels")

    x = keras.layers.Rescaling(1 / 255, name="unit_range")(pixels)
    x = keras.layers.Flatten(name="flatten")(x)
    for k, units in enumerate(hidden, 1):
        x = keras.layers.Dense(units, activation="relu", kernel_regularizer=penalty, name=f"hidden_{k}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout_{k}")(x)

    logits = keras.layers.Dense(num_classes, kernel_regularizer=penalty, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="mlp")
