"""Which arithmetic trains this model fastest on this machine: measured, not guessed."""

from __future__ import annotations

import time
from collections.abc import Callable

import keras
import tensorflow as tf

from kerasuite import devices

REPEATS = 3


def fastest(
    build: Callable[[], keras.Model], batch: tuple, loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> tuple[str, dict[str, float]]:
    """Time the gradient of one batch each way, on one device.

    Args:
        batch: (x, y, weight) as training sees it.

    Returns:
        `float32` or `bfloat16`, and the seconds of each: the least of three calls after a first one.
    """
    seconds = {name: _seconds(name, build, batch, loss) for name in ("float32", "bfloat16")}
    return min(seconds, key=seconds.get), seconds


def _seconds(name: str, build, batch, loss) -> float:
    with devices.precision(name):
        model = build()
        x, y, weight = batch

        @tf.function
        def gradient():
            with tf.GradientTape() as tape:
                objective = tf.reduce_mean(weight * loss(y, model(x, training=True)))
            return [
                tf.reduce_sum(part) for part in tape.gradient(objective, [v.value for v in model.trainable_variables])
            ]

        gradient()
        return min(_timed(gradient) for _ in range(REPEATS))


def _timed(call: Callable) -> float:
    begun = time.perf_counter()
    tf.nest.map_structure(lambda tensor: tensor.numpy(), call())
    return time.perf_counter() - begun
