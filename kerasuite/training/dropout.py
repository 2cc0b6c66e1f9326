"""Keras's dropout with a byte of randomness for each number, where Keras draws and compares a whole number."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

# A byte is below k of 256 with a probability of k / 256.
_BYTES = 256


def quicken(model: keras.Model) -> keras.Model:
    """The model itself, whose Dropout layers drop by bytes from now on, nested ones too; inference is as it was.

    A rate is taken to the next 256th, but not to none, and what is kept is scaled by that: 0.1 becomes 26 / 256, and
    the mean stays what it was. The bytes come from the layer's own seeds, so that a training repeats itself.

    A layer with a noise_shape stays as it is, and so do classes that are made of Dropout.
    """
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.Dropout and layer.noise_shape is None and 0 < layer.rate < 1:
            layer.call = _by_bytes(layer)
    return model


def _by_bytes(layer: keras.layers.Dropout) -> Callable:
    dropped = min(max(round(layer.rate * _BYTES), 1), _BYTES - 1)

    def call(inputs, training=False):
        if not training:
            return inputs
        size = tf.size(inputs)
        seed = tf.cast(layer.seed_generator.next(), tf.int32)
        # Each number drawn is four bytes.
        drawn = tf.random.stateless_uniform([-(-size // 4)], seed, minval=None, maxval=None, dtype=tf.uint32)
        some = tf.reshape(tf.bitcast(drawn, tf.uint8), (-1,))[:size]
        kept = tf.reshape(some, tf.shape(inputs)) >= dropped
        return inputs * (tf.cast(kept, inputs.dtype) * tf.cast(_BYTES / (_BYTES - dropped), inputs.dtype))

    return call
