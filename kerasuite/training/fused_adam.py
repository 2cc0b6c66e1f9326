"""AdamW with the arithmetic of Keras's own, one operation a variable where that takes a dozen."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="kerasuite")
class FusedAdamW(keras.optimizers.AdamW):
    """Loshchilov and Hutter (2019), arXiv:1711.05101, as keras.optimizers.AdamW has it, without intermediate arrays.

    Keras writes each of them to memory, ten times the variable's size a step; on a processor it is that, and not the
    arithmetic, which takes the time.

    Raises:
        ValueError: amsgrad is asked for, which the operation does not have.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("FusedAdamW has no amsgrad; use keras.optimizers.AdamW.")

    def update_step(self, gradient, variable, learning_rate):
        """Change the variable and its two moments in place."""
        place = self._get_variable_index(variable)
        momentum, velocity = (each[place].value for each in (self._momentums, self._velocities))
        number, rate = (tf.cast(value, variable.dtype) for value in (self.iterations + 1, learning_rate))
        beta_1, beta_2 = (tf.constant(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        if self.weight_decay and self._use_weight_decay(variable):
            # A step of gradient descent along the variable itself.
            share = rate * tf.constant(self.weight_decay, variable.dtype)
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=share, delta=variable.read_value())
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=beta_1**number,
            beta2_power=beta_2**number,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )

    def _apply_weight_decay(self, variables):
        """Nothing: `update_step` does it."""


@keras.saving.register_keras_serializable(package="kerasuite")
class RowwiseAdamW(FusedAdamW):
    """For tables of which a step touches a few rows: the others stay as they are, and so do their moments.

    Where FusedAdamW goes through all of an embedding at each step, this goes through what the batch has of it. What
    differs is that the moments of a row do not fade while it is away, as in the LazyAdam of TensorFlow Addons and the
    SparseAdam of PyTorch. There is no weight decay: rows that are away would not decay.

    Raises:
        ValueError: amsgrad or weight decay is asked for.
    """

    takes_rows = True  # gradients may come as tf.IndexedSlices

    def __init__(self, learning_rate=0.001, *, weight_decay=0.0, **kwargs):
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)
        if weight_decay:
            raise ValueError("RowwiseAdamW has no weight decay; use FusedAdamW.")

    def update_step(self, gradient, variable, learning_rate):
        """Change the rows whose gradient is not nothing, and their moments."""
        rows, gradient = _touched(gradient)
        place = self._get_variable_index(variable)
        momentum, velocity = (each[place].value for each in (self._momentums, self._velocities))
        number, rate = (tf.cast(value, variable.dtype) for value in (self.iterations + 1, learning_rate))
        mean = self.beta_1 * tf.gather(momentum, rows) + (1 - self.beta_1) * gradient
        square = self.beta_2 * tf.gather(velocity, rows) + (1 - self.beta_2) * tf.square(gradient)
        momentum.scatter_update(tf.IndexedSlices(mean, rows))
        velocity.scatter_update(tf.IndexedSlices(square, rows))
        rate *= tf.sqrt(1 - self.beta_2**number) / (1 - self.beta_1**number)
        variable.scatter_sub(tf.IndexedSlices(rate * mean / (tf.sqrt(square) + self.epsilon), rows))


def _touched(gradient: tf.Tensor | tf.IndexedSlices) -> tuple[tf.Tensor, tf.Tensor]:
    """The rows that have a gradient, each once, and it: int (rows,), float (rows, ...)."""
    if isinstance(gradient, tf.IndexedSlices):
        rows, of_slice = tf.unique(gradient.indices)
        return rows, tf.math.unsorted_segment_sum(gradient.values, of_slice, tf.size(rows))
    # Replicas exchange it whole.
    rows = tf.where(tf.reduce_any(tf.reshape(gradient, (tf.shape(gradient)[0], -1)) != 0, 1))[:, 0]
    return rows, tf.gather(gradient, rows)
