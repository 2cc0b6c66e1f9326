"""A row's loss and a row's measures, from logits."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def cross_entropy(label_smoothing: float = 0.0) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of each row: (labels (batch,), logits (batch, classes)) -> (batch,).

    Args:
        label_smoothing: share of the target's mass spread over all classes (Szegedy et al. 2016, arXiv:1512.00567).
    """

    def loss(labels, logits):
        exact = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if not label_smoothing:
            return exact
        uniform = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
        return (1 - label_smoothing) * exact + label_smoothing * uniform

    return loss


def accuracy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """1 for each row whose largest logit is its label's, else 0: (batch,)."""
    return tf.cast(tf.equal(tf.argmax(logits, -1, output_type=labels.dtype), labels), tf.float32)
