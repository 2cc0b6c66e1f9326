"""The exact GELU, in float32 whatever the layer computes in, with a gradient of its own."""

from __future__ import annotations

import math

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="kerasuite")
def exact_gelu(x: tf.Tensor) -> tf.Tensor:
    """x times the normal distribution's share below x: Hendrycks and Gimpel (2016), arXiv:1606.08415.

    Checkpoints in the Hugging Face format are trained with it; KerasHub's encoders approximate it by a tanh. In
    bfloat16 TensorFlow computes it three times slower than in float32, and its own gradient keeps five tensors.
    """
    if isinstance(x, keras.KerasTensor):
        return keras.KerasTensor(x.shape, x.dtype)
    return _exact_gelu(x)


@tf.custom_gradient
def _exact_gelu(x):
    wide = tf.cast(x, tf.float32)
    below = 0.5 * (1.0 + tf.math.erf(wide * math.sqrt(0.5)))

    def gradient(upstream):
        density = tf.exp(-0.5 * wide * wide) * (1 / math.sqrt(2 * math.pi))
        return tf.cast(tf.cast(upstream, tf.float32) * (below + wide * density), x.dtype)

    return tf.cast(wide * below, x.dtype), gradient
