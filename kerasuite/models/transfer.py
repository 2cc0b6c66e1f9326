"""A pretrained backbone and a new head: pooled, joined, copied."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


def pooled(backbone: keras.Model) -> keras.Model:
    """The backbone with its last map averaged, so that it ends in a vector; itself where it does so already.

    Returns:
        Model from float32 pixels 0-255 to features (batch, channels).
    """
    if len(backbone.output_shape) == 2:
        return backbone
    features = keras.layers.GlobalAveragePooling2D(name="features")(backbone.output)
    return keras.Model(backbone.input, features, name=backbone.name)


def head(num_features: int, num_classes: int, *, dropout: float = 0.2) -> keras.Model:
    """Features (batch, num_features) to logits (batch, num_classes).

    Args:
        dropout: share of the features dropped.

    Example:
        >>> head(2048, 6).count_params()
        12294
    """
    features = keras.Input((num_features,), name="features")
    x = keras.layers.Dropout(dropout, name="dropout")(features) if dropout else features
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(features, logits, name="head")


def joined(backbones: Sequence[keras.Model], head: keras.Model) -> keras.Model:
    """One model: the backbones (none, or the parts of one, in order), then the head."""
    inputs = keras.Input([*backbones, head][0].input_shape[1:], name="pixels" if backbones else "features")
    x = inputs
    for part in (*backbones, head):
        x = part(x)
    return keras.Model(inputs, x, name="transfer")


class FrozenStatistics(keras.layers.BatchNormalization):
    """Batch normalisation that keeps the statistics it has while its scale and shift are trained.

    A backbone called with training=False is no way to this: the outer model's training=True overrides it.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise with the moving statistics, whatever `training` says."""
        return super().call(inputs, training=False, mask=mask)


def copied(model: keras.Model, *, trainable: bool = True, frozen_statistics: bool = True) -> keras.Model:
    """A model of the same layers and values, with variables of its own on the devices of the present strategy.

    Args:
        frozen_statistics: batch normalisation keeps the statistics of its pretraining also while it is trained: a few
            hundred photos make poor ones. Without, it learns them, over all devices together.
    """
    spread = tf.distribute.get_strategy().num_replicas_in_sync > 1

    def copy_of(layer):
        if not isinstance(layer, keras.layers.BatchNormalization):
            return layer.__class__.from_config(layer.get_config())
        kind = FrozenStatistics if frozen_statistics else keras.layers.BatchNormalization
        return kind.from_config(layer.get_config() | {"synchronized": spread and not frozen_statistics})

    # A SavedModel takes no variable whose name begins with an underscore, as the layers of some files do.
    with keras.name_scope("backbone"):
        copy = keras.models.clone_model(model, clone_function=copy_of, recursive=True)
    copy.set_weights(model.get_weights())
    copy.trainable = trainable
    return copy
