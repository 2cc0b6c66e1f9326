"""Users, items and likes to the numbers that a model of likes takes: the same in training and in the exported model."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from kerasuite.columns import Ragged
from kerasuite.contracts import Examples
from kerasuite.data.likes import MARKS


class LikePreparation(tf.Module):
    """Rows of numbers: the user, 0 if unknown; then the last items of the history and the one asked about, as marks.

    A mark is the item's number from 1, negative where it was not liked; an item that training had none of is
    len(item_ids) + 1. Behind a shorter row stands 0.

    Args:
        user_ids, item_ids: of training, one string each; numbers count from 1 in this order.
        max_length: items of a history at most, the last ones.
    """

    signature = (
        tf.TensorSpec([None], tf.string, name="users"),
        tf.TensorSpec([None], tf.string, name="items"),
        tf.TensorSpec([None, None], tf.string, name="histories"),
        tf.TensorSpec([None, None], tf.bool, name="liked"),
    )

    def __init__(self, user_ids: Sequence[str], item_ids: Sequence[str], max_length: int):
        super().__init__(name="like_preparation")
        self.max_length, self.unknown_item = max_length, len(item_ids) + 1
        # Tracked, so that they are exported.
        self._users, self._items = _table(user_ids, 0), _table(item_ids, self.unknown_item)

    def is_encoded(self, examples: Examples) -> bool:
        """Rows of examples are numbers already."""
        return isinstance(examples.inputs[MARKS], Ragged)

    def collate(self, rows: tf.RaggedTensor) -> tf.Tensor:
        """Numbers int32 (batch, None) to int32 (batch, 1 + marks)."""
        return tf.concat([rows[:, :1], rows[:, 1:][:, -self.max_length - 1 :]], axis=1).to_tensor()

    def serve_batch(self, users: tf.Tensor, items: tf.Tensor, histories: tf.Tensor, liked: tf.Tensor) -> tf.Tensor:
        """Ids as strings (batch,), (batch,) and (batch, items), '' where a history has no more, and what was liked of
        it (batch, items), to int32 (batch, 1 + marks)."""
        past = tf.strings.strip(histories)
        numbers = self._items.lookup(past)
        signed = tf.ragged.boolean_mask(tf.where(liked, numbers, -numbers), past != "")
        user, item = (table.lookup(tf.strings.strip(ids))[:, None] for table, ids in
                      ((self._users, users), (self._items, items)))  # fmt: skip
        return self.collate(tf.concat([user, signed, item], axis=1))


def _table(ids: Sequence[str], default: int) -> tf.lookup.StaticHashTable:
    numbers = tf.range(len(ids), dtype=tf.int32) + 1
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.constant(list(ids)), numbers), default)
