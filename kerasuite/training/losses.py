"""A row's loss and a row's measures, from logits.

Labels are int (batch,), or float32 (batch, classes) where rows were mixed: each class's share of a row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

Labels = tf.Tensor | np.ndarray


def cross_entropy(label_smoothing: float = 0.0) -> Callable[[Labels, tf.Tensor], tf.Tensor]:
    """The loss of each row: (labels, logits (batch, classes)) -> (batch,).

    Args:
        label_smoothing: share of the target's mass spread over all classes (Szegedy et al. 2016, arXiv:1512.00567).
    """

    def loss(labels, logits):
        if _are_mixed(labels):
            exact = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
        else:
            exact = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if not label_smoothing:
            return exact
        uniform = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
        return (1 - label_smoothing) * exact + label_smoothing * uniform

    return loss


def binary_cross_entropy(label_smoothing: float = 0.0) -> Callable[[Labels, tf.Tensor], tf.Tensor]:
    """The loss of each row that may be of several classes, mean over the classes: (0 or 1, logits) -> (batch,).

    Args:
        label_smoothing: how far 0 and 1 are drawn towards one half.
    """

    def loss(labels, logits):
        targets = (1 - label_smoothing) * tf.cast(labels, logits.dtype) + 0.5 * label_smoothing
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), -1)

    return loss


def label_accuracy(labels: Labels, logits: tf.Tensor) -> tf.Tensor:
    """The share of classes that are said rightly of each row that may be of several: (batch,)."""
    return tf.reduce_mean(tf.cast(tf.equal(logits > 0, tf.cast(labels, tf.bool)), tf.float32), -1)


def accuracy(labels: Labels, logits: tf.Tensor) -> tf.Tensor:
    """1 for each row whose largest logit is that of its label, or of its largest share, else 0: (batch,)."""
    if _are_mixed(labels):
        labels = tf.argmax(labels, -1, output_type=tf.int32)
    return tf.cast(tf.equal(tf.argmax(logits, -1, output_type=labels.dtype), labels), tf.float32)


def _are_mixed(labels: Labels) -> bool:
    return len(labels.shape) == 2
