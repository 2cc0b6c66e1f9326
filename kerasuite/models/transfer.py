"""A pretrained backbone and a new head: pooled, joined, copied."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

_TINY = 1e-12


def pooled(backbone: keras.Model) -> keras.Model:
    """The backbone with its last map averaged, so that it ends in a vector; itself where it does so already.

    Returns:
        Model from float32 pixels 0-255 to features (batch, channels).
    """
    if len(backbone.output_shape) == 2:
        return backbone
    name = "features"
    while any(layer.name == name for layer in backbone.layers):
        name += "_pooled"
    features = keras.layers.GlobalAveragePooling2D(name=name)(backbone.output)
    return keras.Model(backbone.input, features, name=backbone.name)


def head(num_features: int, num_classes: int, *, dropout: float = 0.2) -> keras.Model:
    """Features (batch, num_features), brought to a common scale, to logits (batch, num_classes).

    To be trained as `copied` makes it, which keeps the scale as it is.

    Args:
        dropout: share of the features dropped.

    Example:
        >>> sum(weight.shape.num_elements() for weight in head(2048, 6).trainable_weights)
        12294
    """
    features = keras.Input((num_features,), name="features")
    # What it subtracts and divides by is set by `standardise`; as it is made, it changes nothing.
    scaling = keras.layers.BatchNormalization(center=False, scale=False, epsilon=_TINY, name="standardised")
    x = scaling(features, training=False)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    # From zeros: what few rows do not speak against would stay as random as it began.
    logits = keras.layers.Dense(num_classes, dtype="float32", kernel_initializer="zeros", name="logits")(x)
    return keras.Model(features, logits, name="head")


def standardise(head: keras.Model, features: np.ndarray) -> None:
    """Set the head's scale by features (n, num_features): each less its mean, all over one standard deviation.

    Backbones differ in the size of their features by factors of hundreds; a learning rate suits one size.
    """
    features = np.asarray(features, np.float64)
    centred = features - features.mean(0)
    variance = np.full(features.shape[1], max(np.mean(centred**2), _TINY))
    head.get_layer("standardised").set_weights([features.mean(0), variance])


def joined(backbones: Sequence[keras.Model], head: keras.Model) -> keras.Model:
    """One model: the backbones (none, or the parts of one, in order), then the head."""
    takes = [*backbones, head][0].inputs[0]
    inputs = keras.Input(takes.shape[1:], dtype=takes.dtype, name=takes.name if backbones else "features")
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


class Frozen(keras.Model):
    """A functional model that computes as in inference wherever it stands: without dropout and what else is random.

    That its weights are not trainable is not enough, since layers without weights go by `training` alone.
    """

    def call(self, inputs, training=None, mask=None):
        """Compute as in inference, whatever `training` says."""
        return super().call(inputs, training=False, mask=mask)


def copied(
    model: keras.Model, *, trainable: bool = True, frozen_statistics: bool = True, in_policy: bool = True
) -> keras.Model:
    """A model of the same layers and values, with variables of its own on the devices of the present strategy.

    Args:
        trainable: False makes it `Frozen`.
        in_policy: the layers compute in Keras's present dtype policy. Without, in that which they were made in.
        frozen_statistics: batch normalisation keeps the statistics of its pretraining also while it is trained: a few
            hundred photos make poor ones. Without, it learns them, over all devices together.
    """
    spread = tf.distribute.get_strategy().num_replicas_in_sync > 1

    def copy_of(layer):
        settings = layer.get_config()
        if in_policy and "dtype" in settings and not isinstance(layer, keras.layers.InputLayer):
            settings["dtype"] = keras.config.dtype_policy().name
        if not isinstance(layer, keras.layers.BatchNormalization):
            return layer.__class__.from_config(settings)
        kind = FrozenStatistics if frozen_statistics else keras.layers.BatchNormalization
        return kind.from_config(settings | {"synchronized": spread and not frozen_statistics})

    # A SavedModel takes no variable whose name begins with an underscore, as the layers of some files do.
    with keras.name_scope("backbone"):
        copy = keras.models.clone_model(model, clone_function=copy_of, recursive=True)
    set_values(copy, model.get_weights())
    if not trainable:
        copy = Frozen(copy.inputs[0], copy.outputs[0], name=copy.name)
    copy.trainable = trainable
    return copy


def set_values(model: keras.Model, values: Sequence[np.ndarray]) -> None:
    """Set all weights, also of layers that compute with constants made from them, which `set_weights` leaves stale."""
    model.set_weights(values)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
