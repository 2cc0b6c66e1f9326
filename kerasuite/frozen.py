"""A model's inference with its weights as constants, so that the graph optimiser can fold and fuse them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kerasuite import devices
from kerasuite.errors import InputError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

REPEATS, WORTH_SHARE = 3, 0.9


def forward(model: keras.Model, precision: str = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
    """What the model says of a batch, as one function that no later change of the weights reaches.

    Constants let normalisation be folded into convolutions, and convolution, bias and activation become one kernel.

    Args:
        model: one input and one output, float32.
        precision: `float32`, or `bfloat16`: the arithmetic of the matrix products and convolutions.
    """
    import tensorflow as tf

    signature = tf.TensorSpec([None, *model.input_shape[1:]], model.inputs[0].dtype)
    function = tf.function(lambda x: model(x, training=False), input_signature=[signature], autograph=False)
    return of_function(function.get_concrete_function(), precision)


def of_function(function: Any, precision: str = "float32") -> Callable[..., Any]:
    """A concrete function with its variables as constants, in the given arithmetic.

    Returns:
        A function of the same tensors, all of them by position, with the same structure of results.

    Raises:
        InputError: bfloat16 on a GPU, where it is no rewrite of graphs that are there.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    if precision == "bfloat16" and devices.on_gpu():
        raise InputError("--precision bfloat16 of an exported model is for CPUs: leave it out, or hide the GPUs.")
    # Tables that were made before, outside of any graph, leave None among these, of which the conversion warns.
    function.graph.clear_collection(tf.compat.v1.GraphKeys.TABLE_INITIALIZERS)
    constant = convert_variables_to_constants_v2(function)

    def call(*inputs):
        # The arithmetic is settled when the function is first run.
        with devices.precision(precision):
            outputs = constant(*inputs)
        return tf.nest.pack_sequence_as(function.structured_outputs, outputs)

    return call


def choose(setting: str, model: keras.Model, batch: tf.Tensor) -> dict[str, Any]:
    """The arithmetic for `forward`: what the setting says; for `auto` bfloat16 if it is a tenth faster on this batch.

    On a GPU it is float32, as the model was built.

    What it makes is kept by its arithmetic: two that are nearly as fast must not take turns from run to run.

    Returns:
        `used`, and where it was measured `seconds`: of the batch each way, the least of three calls.
    """
    if devices.on_gpu():
        return {"used": "float32"}
    if setting != "auto":
        return {"used": setting}
    seconds = {name: _seconds(forward(model, name), batch) for name in ("float32", "bfloat16")}
    is_worth = seconds["bfloat16"] < WORTH_SHARE * seconds["float32"]
    return {"used": "bfloat16" if is_worth else "float32", "seconds": seconds}


def _seconds(call: Callable[[tf.Tensor], tf.Tensor], batch: tf.Tensor) -> float:
    def timed() -> float:
        begun = time.perf_counter()
        call(batch).numpy()
        return time.perf_counter() - begun

    timed()
    return min(timed() for _ in range(REPEATS))
