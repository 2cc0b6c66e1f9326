"""A transformer's dense layers and attention in fewer operations, for inference: the same weights, the same answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

# Added to scores of what attention must not see, so that their exponential is 0.
_HIDDEN = -1e9


def fuse(model: keras.Model) -> keras.Model:
    """The model itself, whose layers compute otherwise from now on wherever they are not training.

    A product, its bias and the exact GELU become one kernel where they are MatMul and BiasAdd of matrices; Keras makes
    Einsum and Add of them. Attention moves its queries, keys and values into place at once and adds its mask, where
    Keras has several operations more, each of which takes longer to begin than a single text takes.

    A copy by the model's configuration is as it was, and so is what a `.keras` file holds.
    """
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.Dense and layer.use_bias:
            layer.call = _dense(layer)
        elif isinstance(layer, keras.layers.MultiHeadAttention) and _is_usual(layer):
            layer.call = _attention(layer)
    return model


def _is_usual(layer: keras.layers.MultiHeadAttention) -> bool:
    """Whether the layer has biases, values as wide as keys, and neither gates nor windows."""
    settings = layer.get_config()
    return (
        settings["use_bias"]
        and settings["value_dim"] == settings["key_dim"]
        and settings["output_shape"] is None
        and not settings["use_gate"]
        and settings["sliding_window"] is None
    )


def _dense(layer: keras.layers.Dense) -> Callable:
    plain = layer.call

    def call(inputs, training=None):
        if training or isinstance(inputs, keras.KerasTensor):
            return plain(inputs, training=training)
        x = _product(tf.reshape(inputs, (-1, inputs.shape[-1])), layer)
        x = x if layer.activation is None else layer.activation(x)
        return tf.reshape(x, tf.concat((tf.shape(inputs)[:-1], [layer.units]), 0))

    return call


def _attention(layer: keras.layers.MultiHeadAttention) -> Callable:
    plain = layer.call

    def call(query, value, key=None, attention_mask=None, training=None, **options: Any):
        is_usual = query is value and (key is None or key is value) and not training
        if not is_usual or isinstance(query, keras.KerasTensor) or any(map(_is_given, options.values())):
            return plain(query, value, key, attention_mask=attention_mask, training=training, **options)
        batch, tokens, width = tf.shape(query)[0], tf.shape(query)[1], query.shape[-1]
        rows, heads, dim = tf.reshape(query, (-1, width)), layer.num_heads, layer.key_dim

        parts = tf.stack([_product(rows, dense) for dense in (layer.query_dense, layer.key_dense, layer.value_dense)])
        parts = tf.transpose(tf.reshape(parts, (3, batch, tokens, heads, dim)), (0, 1, 3, 2, 4))
        queries, keys, values = tf.unstack(parts)  # each (batch, heads, tokens, dim)
        scores = tf.matmul(queries / math.sqrt(dim), keys, transpose_b=True)  # (batch, heads, tokens, tokens)
        if attention_mask is not None:
            is_hidden = tf.logical_not(tf.cast(attention_mask, tf.bool))  # (batch, 1 or tokens, tokens)
            scores += _HIDDEN * tf.cast(is_hidden, scores.dtype)[:, None]
        seen = tf.transpose(tf.matmul(tf.nn.softmax(scores), values), (0, 2, 1, 3))
        seen = _product(tf.reshape(seen, (-1, heads * dim)), layer.output_dense)
        return tf.reshape(seen, (batch, tokens, width))

    return call


def _is_given(option: Any) -> bool:
    return option is not None and option is not False


def _product(rows: tf.Tensor, layer: keras.layers.Layer) -> tf.Tensor:
    """(n, inputs) by the kernel, with the bias: (n, outputs), where all axes of outputs are one."""
    kernel = tf.reshape(tf.convert_to_tensor(layer.kernel), (rows.shape[-1], -1))
    return tf.nn.bias_add(tf.matmul(rows, kernel), tf.reshape(tf.convert_to_tensor(layer.bias), (-1,)))
