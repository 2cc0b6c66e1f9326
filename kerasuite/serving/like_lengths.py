"""Rows of unlike lengths to answers, those of like lengths together: less is padding than if all were as long."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# Rows of one part at least, as long as there are no more than so many parts: small parts keep a processor less busy.
LEAST_ROWS, MOST_PARTS = 16, 8


def answers(
    model: Callable[[tf.Tensor], tf.Tensor],
    rows: tf.RaggedTensor,
    collate: Callable[[tf.RaggedTensor], tf.Tensor],
    num_classes: int,
) -> tf.Tensor:
    """What a model says of rows, in their order, asked in up to eight parts from the shortest to the longest.

    Args:
        model: from padded rows (part, longest of the part) to float32 (part, num_classes); padding changes nothing.
        rows: ragged (n, None).
        collate: pads rows to the longest of them.

    Returns:
        float32 (n, num_classes).
    """
    number = rows.nrows(out_type=tf.int32)
    parts = tf.clip_by_value(-(-number // LEAST_ROWS), 1, MOST_PARTS)
    size = -(-number // parts)
    order = tf.argsort(rows.row_lengths(), stable=True)

    def ask(part, found):
        some = tf.gather(rows, order[part * size : (part + 1) * size])
        return part + 1, found.write(part, model(collate(some)))

    found = tf.TensorArray(tf.float32, parts, infer_shape=False, element_shape=[None, num_classes])
    _, found = tf.while_loop(lambda part, _: part < parts, ask, (0, found), parallel_iterations=1)
    return tf.gather(found.concat(), tf.argsort(order))
