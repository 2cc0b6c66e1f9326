"""Histories of item ids to what a recommender takes: the same operations in training and in the exported model."""

from __future__ import annotations

import tensorflow as tf

from kerasuite.contracts import Examples, Ragged
from kerasuite.data.histories import HISTORY


class HistoryPreparation(tf.Module):
    """The last items of each history, as numbers from 1, and 0 behind a shorter one.

    Args:
        item_ids: the catalogue, one string an item.
        max_length: items of a history at most, the last ones.
    """

    def __init__(self, item_ids: tuple[str, ...], max_length: int):
        super().__init__(name="history_preparation")
        self.item_ids, self.max_length = tf.constant(list(item_ids)), max_length
        numbers = tf.range(len(item_ids), dtype=tf.int32) + 1
        # Tracked, so that it is exported.
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(self.item_ids, numbers), 0)

    def is_encoded(self, examples: Examples) -> bool:
        """Histories of examples are numbers already."""
        return isinstance(examples.inputs[HISTORY], Ragged)

    def collate(self, rows: tf.RaggedTensor) -> tf.Tensor:
        """Positions in the catalogue, int32 (batch, None), to int32 (batch, items)."""
        return (rows[:, -self.max_length :] + 1).to_tensor()

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
