"""A model's answers to every row, in order, in float32."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf


def probabilities(model: keras.Model, batches: tf.data.Dataset, *, multi_label: bool = False) -> np.ndarray:
    """The softmax of the model's logits for batches of x, or of several labels the sigmoid: float32 (rows, classes)."""
    activation = tf.nn.sigmoid if multi_label else tf.nn.softmax
    shape = [None, *model.input_shape[1:]]
    signature = [tf.TensorSpec(shape, model.inputs[0].dtype)]
    forward = tf.function(lambda x: activation(model(x, training=False)), signature, autograph=False)
    return np.concatenate([forward(x).numpy() for x in batches])
