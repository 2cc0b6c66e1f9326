"""What a history says of the next item: recurrent and attentive encoders, and their scores of all items.

Item ids are 1 to num_items; 0 is padding, behind a shorter history.
"""

from __future__ import annotations

from typing import Literal

import keras
import tensorflow as tf

from kerasuite.models import transformer

Kind = Literal["lstm", "gru", "bidirectional", "transformer"]
KINDS: tuple[str, ...] = ("lstm", "gru", "bidirectional", "transformer")
# The table of items, whose rows are also what states are compared with; and that of users.
ITEMS, USERS = "tokens", "users"
# Shares that are taken for unknown in training: what is unknown later has a vector with a meaning by that, and
# histories are learnt from although whose they are would explain much.
FORGOTTEN_USERS, FORGOTTEN_ITEMS = 0.3, 0.1


def encoder(
    kind: Kind,
    num_items: int,
    *,
    dim: int = 64,
    num_layers: int = 1,
    num_heads: int = 2,
    dropout: float = 0.2,
    longest: int = 50,
    num_users: int = 0,
    seed: int = 0,
) -> keras.Model:
    """Item ids int32 (batch, items) to states float32 (batch, items, dim): what is known after each item.

    `bidirectional` reads a whole history both ways and has one state a history: (batch, 1, dim).

    Args:
        num_users: if any, the first number of each row is the user's, from 1, or 0 for one who is not known, and a
            vector of the user's is added to each state. In training some users are taken for unknown.
        seed: of that choice.
    """
    sizes = {"dim": dim, "num_layers": num_layers, "num_heads": num_heads, "dropout": dropout, "longest": longest}
    history = _of_items(kind, num_items, **sizes)
    if not num_users:
        return history
    rows = keras.Input((None,), dtype="int32", name="rows")
    user = Forgetting(FORGOTTEN_USERS, 0, seed, name="forgetting")(rows[:, 0])
    user = keras.layers.Embedding(num_users + 1, dim, name=USERS)(user)  # (batch, dim)
    return keras.Model(rows, history(rows[:, 1:]) + user[:, None], name=f"{kind}_of_users")


def _of_items(
    kind: Kind, num_items: int, *, dim: int, num_layers: int, num_heads: int, dropout: float, longest: int
) -> keras.Model:
    ids = keras.Input((None,), dtype="int32", name="item_ids")
    table = ItemTable(num_items + 1, dim, name=ITEMS)
    x = keras.layers.UnitNormalization(name="unit_vectors")(table(ids))  # (batch, items, dim)
    x = keras.layers.Rescaling(dim**0.5, name="scaled_vectors")(x)
    if kind == "transformer":
        sizes = {"num_layers": num_layers, "num_heads": num_heads, "longest": longest}
        return keras.Model(ids, transformer.encode(x, ids != 0, **sizes, dropout=dropout, causal=True), name=kind)
    x = keras.layers.Dropout(dropout, name="embedding_dropout")(x)
    items = x
    for k in range(num_layers):
        one_state = kind == "bidirectional" and k == num_layers - 1
        layer = (keras.layers.GRU if kind == "gru" else keras.layers.LSTM)(dim, return_sequences=not one_state)
        # Padding stands behind a history: what reads forwards comes to it last, what reads both ways must skip it.
        y = keras.layers.Bidirectional(layer)(x, mask=ids != 0) if kind == "bidirectional" else layer(x)
        y = keras.layers.Dense(dim, name=f"narrow_{k}")(y)
        y = keras.layers.Dropout(dropout, name=f"dropout_{k}")(y)
        # What comes next depends on the last item most of all: its vector goes past the layer.
        x = y + (LastState(name="last_item")(items, ids) if one_state else x)
    if kind == "bidirectional":
        x = keras.layers.Reshape((1, dim), name="one_state")(x)
    states = keras.layers.LayerNormalization(epsilon=1e-6, name="states")(x)  # (batch, items or 1, dim)
    return keras.Model(ids, states, name=kind)


@keras.saving.register_keras_serializable(package="kerasuite")
class ItemTable(keras.layers.ReversibleEmbedding):
    """Vectors of items, which are read by the row: of a table that is changed by the row TensorFlow makes a copy,
    each time, for what reads all of it."""

    def call(self, inputs, reverse=False):
        """Ids to vectors; or vectors (batch, dim) to their products with those of all items, (batch, num_items)."""
        if reverse:
            return tf.matmul(inputs, self.embeddings[1:], transpose_b=True)  # without padding's
        return tf.cast(tf.gather(self.embeddings.value, inputs), self.compute_dtype)


def table_of(encoder: keras.Model) -> ItemTable:
    """The table of items, (1 + items, dim), of an encoder or of a model that holds one."""
    for layer in encoder.layers:
        if layer.name == ITEMS:
            return layer
        if isinstance(layer, keras.Model):
            return table_of(layer)
    raise ValueError(f"{encoder.name} has no table of items.")


@keras.saving.register_keras_serializable(package="kerasuite")
class Forgetting(keras.layers.Layer):
    """Makes some ids unknown in training; 0 stays 0.

    Several devices each draw their own, as for dropout: their losses are those of one device on average alone.

    Args:
        share: of the ids.
        unknown: what they become.
        seed: of the choice.
    """

    def __init__(self, share: float, unknown: int, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.share, self.unknown, self.seed = share, unknown, seed
        self.draws = keras.random.SeedGenerator(seed)

    def call(self, ids, training=None):
        """Ids of any shape to the same shape."""
        if not training:
            return ids
        is_kept = keras.random.uniform(keras.ops.shape(ids), seed=self.draws) >= self.share
        return keras.ops.where(is_kept | (ids == 0), ids, self.unknown)

    def get_config(self):
        """As they were given."""
        return super().get_config() | {"share": self.share, "unknown": self.unknown, "seed": self.seed}


@keras.saving.register_keras_serializable(package="kerasuite")
class LastState(keras.layers.Layer):
    """What stands at the last item of each history: the state after it, or its vector."""

    def call(self, states, ids):
        """States or vectors (batch, items or 1, dim) and ids (batch, items) to (batch, dim)."""
        if states.shape[1] == 1:
            return states[:, 0]
        last = tf.maximum(tf.reduce_sum(tf.cast(ids != 0, tf.int32), -1) - 1, 0)
        return tf.gather(states, last, batch_dims=1)

    def compute_output_shape(self, states_shape, ids_shape):
        """Of the last states."""
        return (states_shape[0], states_shape[2])
