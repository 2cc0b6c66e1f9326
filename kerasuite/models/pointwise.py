"""Whether a user will like an item: embeddings of both, and an LSTM over what the user has rated before.

A row is a user's number (0: unknown), then marks: items' numbers from 1, negative where they were not liked; 0 behind a
shorter row.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from kerasuite.models.recommender import FORGOTTEN_ITEMS, FORGOTTEN_USERS, ITEMS, USERS, Forgetting


def build(
    num_users: int, num_items: int, *, dim: int = 64, num_layers: int = 1, dropout: float = 0.2, seed: int = 0
) -> keras.Model:
    """Rows int32 (batch, 1 + marks) to logits float32 (batch, marks): is each liked, given the user and those before?

    A mark's own sign is not looked at for its logit. An item numbered num_items + 1 is unknown.
    """
    rows = keras.Input((None,), dtype="int32", name="rows")
    user = Forgetting(FORGOTTEN_USERS, 0, seed, name="forget_users")(rows[:, :1])
    items = Forgetting(FORGOTTEN_ITEMS, num_items + 1, seed + 1, name="forget_items")(abs(rows[:, 1:]))
    liked = keras.ops.cast(rows[:, 1:] > 0, "int32")

    def table(name: str, size: int) -> keras.layers.Embedding:
        return keras.layers.Embedding(size, dim, keras.initializers.RandomUniform(-0.05, 0.05), name=name)

    user = table(USERS, num_users + 1)(user)  # (batch, 1, dim)
    items = table(ITEMS, num_items + 2)(items)  # (batch, marks, dim)
    x = keras.layers.Add(name="rated_items")([items, table("is_liked", 2)(liked)])
    x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    for k in range(num_layers):
        x = keras.layers.LSTM(dim, return_sequences=True, name=f"recurrent_{k}")(x)
        x = keras.layers.Dropout(dropout, name=f"recurrent_{k}_dropout")(x)
    # What was known before each mark, and whose it is.
    met = {"history": Before(name="before")(x), "user": Alongside(name="same_user")(user, items)}
    # Products let the item meet the user and the history, as factors of a matrix do.
    matches = [keras.layers.Multiply(name=f"item_and_{name}")([x, items]) for name, x in met.items()]
    x = keras.layers.Concatenate(name="known")([items, *met.values(), *matches])
    x = keras.layers.Dense(dim, activation="relu", name="hidden")(x)
    x = keras.layers.Dropout(dropout, name="hidden_dropout")(x)
    return keras.Model(rows, keras.layers.Dense(1, name="logit")(x), name="pointwise")


def trainer(model: keras.Model) -> keras.Model:
    """The model with its loss: rows to (batch, 2): the mean cross-entropy of the row's marks, and whether it is right
    of the last one; not in training, the cross-entropy is that of the last alone."""
    rows = keras.Input((None,), dtype="int32", name="rows")
    return keras.Model(rows, LikeLoss(name="loss")(model(rows), rows), name="trainer")


def scorer(trainer: keras.Model) -> keras.Model:
    """The model to serve: rows to the logits of not liked and liked, (batch, 2), for each row's last item."""
    model = trainer.get_layer("pointwise")
    return keras.Model(model.input, LastLogits(name="last_logits")(model.output, model.input), name="scorer")


@keras.saving.register_keras_serializable(package="kerasuite")
class Before(keras.layers.Layer):
    """States (batch, places, dim), each moved one place on; nothing, 0, comes before the first."""

    def call(self, states):
        """The same shape."""
        return tf.pad(states, [[0, 0], [1, 0], [0, 0]])[:, :-1]


@keras.saving.register_keras_serializable(package="kerasuite")
class Alongside(keras.layers.Layer):
    """One vector (batch, 1, dim) repeated for each place of another (batch, places, dim)."""

    def call(self, one, many):
        """The shape of many."""
        return tf.broadcast_to(one, tf.shape(many))

    def compute_output_shape(self, one_shape, many_shape):
        """That of many."""
        return many_shape


@keras.saving.register_keras_serializable(package="kerasuite")
class LikeLoss(keras.layers.Layer):
    """The cross-entropy of a row's marks."""

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)

    def call(self, logits, rows, training=None):
        """Logits (batch, marks, 1) and rows (batch, 1 + marks) to (batch, 2)."""
        logits, marks = logits[..., 0], rows[:, 1:]
        is_mark, last = marks != 0, _last(marks)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(marks > 0, tf.float32), logits)
        losses = tf.where(is_mark, losses, 0.0)
        number = tf.reduce_sum(tf.cast(is_mark, tf.float32), -1)
        of_last = lambda values: tf.gather(values, last, batch_dims=1)  # noqa: E731
        is_right = (of_last(logits) > 0) == (of_last(marks) > 0)
        loss = tf.reduce_sum(losses, -1) / number if training else of_last(losses)
        return tf.stack([loss, tf.cast(is_right, tf.float32)], axis=1)

    def compute_output_shape(self, logits_shape, rows_shape):
        """A pair of numbers a row."""
        return (rows_shape[0], 2)


@keras.saving.register_keras_serializable(package="kerasuite")
class LastLogits(keras.layers.Layer):
    """The logits of not liked, which is 0, and of liked, for each row's last item."""

    def call(self, logits, rows):
        """Logits (batch, marks, 1) and rows (batch, 1 + marks) to (batch, 2)."""
        last = tf.gather(logits[..., 0], _last(rows[:, 1:]), batch_dims=1)
        return tf.stack([tf.zeros_like(last), last], axis=1)

    def compute_output_shape(self, logits_shape, rows_shape):
        """Two classes."""
        return (rows_shape[0], 2)


def _last(marks: tf.Tensor) -> tf.Tensor:
    """The place of each row's last mark."""
    return tf.reduce_sum(tf.cast(marks != 0, tf.int32), -1) - 1
