"""Which arithmetic trains this model fastest on this machine: measured, not guessed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasuite import devices
from kerasuite.training import dropout

REPEATS = 3
# A shorter step is over before the difference could be told from chance; a smaller gain is not worth the rounding.
WORTH_SECONDS, WORTH_SHARE = 3e-3, 0.9


def choose(
    setting: str,
    build: Callable[[], keras.Model],
    batches: Callable[[int], tf.data.Dataset],
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    replicas: int = 1,
) -> dict[str, Any]:
    """The arithmetic to train in: what the setting says, or for `auto` what is faster on a replica's share of a batch.

    float32, unless bfloat16 is a tenth faster on a step that takes three milliseconds or more, or alone fits into
    memory. Where neither does, training will say so.

    Args:
        setting: `auto`, `float32` or `bfloat16`.
        batches: from a step to a dataset of (x, y, weight).

    Returns:
        `used`, and where it was measured `seconds`: of one gradient each way, the least of three calls.
    """
    if setting != "auto":
        return {"used": setting}
    share = tf.nest.map_structure(lambda column: column[::replicas], next(iter(batches(0))))
    seconds = {}
    for name in ("float32", "bfloat16"):
        with contextlib.suppress(tf.errors.ResourceExhaustedError):
            seconds[name] = _seconds(name, build, share, loss)
    exact, rough = (seconds.get(name, math.inf) for name in ("float32", "bfloat16"))
    is_worth = exact >= WORTH_SECONDS and rough < WORTH_SHARE * exact
    return {"used": "bfloat16" if is_worth else "float32", "seconds": seconds}


def _seconds(name: str, build, batch, loss) -> float:
    with devices.precision(name):
        model = dropout.quicken(build())
        x, y, weight = batch

        @tf.function(autograph=False)
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
