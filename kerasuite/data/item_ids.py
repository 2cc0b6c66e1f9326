"""Histories of item ids to what a recommender takes: the same operations in training and in the exported model."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from kerasuite.columns import Ragged
from kerasuite.contracts import Examples
from kerasuite.data.histories import HISTORY


class HistoryPreparation(tf.Module):
    """The last items of each history, as numbers from 1, and 0 behind a shorter one.

    Args:
        item_ids: the catalogue, one string an item.
        max_length: items of a history at most, the last ones.
        with_older: the items before those follow as negative numbers.
        user_ids: if any, the user's number, from 1 or 0 for others, stands before the items; in rows of examples it is
            the first value.
    """

    def __init__(
        self, item_ids: Sequence[str], max_length: int, user_ids: Sequence[str] = (), *, with_older: bool = False
    ):
        super().__init__(name="history_preparation")
        self._with_older = with_older
        self.item_ids, self.max_length = tf.constant(list(item_ids)), max_length
        # Tracked, so that they are exported.
        self.table = _table(self.item_ids)
        self.users = _table(tf.constant(list(user_ids))) if len(user_ids) else None

    def is_encoded(self, examples: Examples) -> bool:
        """Histories of examples are numbers already."""
        return isinstance(examples.inputs[HISTORY], Ragged)

    def collate(self, rows: tf.RaggedTensor) -> tf.Tensor:
        """Positions in the catalogue, int32 (batch, None), to int32 (batch, items)."""
        of_users = 0 if self.users is None else 1
        users, items = rows[:, :of_users], rows[:, of_users:] + 1
        parts = [users, items[:, -self.max_length :]]
        if self._with_older:
            parts.append(-items[:, : -self.max_length])
        return tf.concat(parts, 1).to_tensor()

    def serve_batch(self, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids as strings (batch, items), '' for none, to numbers of the known ones, and how many were not known.

        Returns:
            int32 (batch, items'), all of them, not cut; int32 (batch,).
        """
        numbers = self.table.lookup(tf.strings.strip(raw))
        unknown = tf.reduce_sum(tf.cast((numbers == 0) & (tf.strings.strip(raw) != ""), tf.int32), -1)
        return tf.ragged.boolean_mask(numbers, numbers > 0).to_tensor(), unknown

    def cut(self, numbers: tf.Tensor) -> tf.Tensor:
        """The last items of each row (batch, items), 0 behind shorter ones: int32 (batch, max_length at most)."""
        return tf.RaggedTensor.from_tensor(numbers, padding=0)[:, -self.max_length :].to_tensor()

    def with_users(self, users: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Ids of users (batch,) as numbers before those of items: int32 (batch, 1 + items)."""
        return tf.concat([self.users.lookup(tf.strings.strip(users))[:, None], numbers], 1)


def _table(ids: tf.Tensor) -> tf.lookup.StaticHashTable:
    """The number of each id, from 1; 0 of all others."""
    numbers = tf.range(len(ids), dtype=tf.int32) + 1
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(ids, numbers), 0)
