"""A model's answers to every row, in order, in float32."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf


def probabilities(model: keras.Model, batches: tf.data.Dataset) -> np.ndarray:
    """The softmax of the model's logits for batches of x: float32 (rows, classes)."""
    shape = [None, *model.input_shape[1:]]
    forward = tf.function(
        lambda x: tf.nn.softmax(model(x, training=False)), input_signature=[tf.TensorSpec(shape, model.inputs[0].dtype)]
    )
    return np.concatenate([forward(x).numpy() for x in batches])
