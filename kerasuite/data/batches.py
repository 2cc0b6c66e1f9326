"""A plan first, then the rows: batches of (x, y, weight) in an order that is a pure function of seed and step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

from kerasuite.columns import Ragged
from kerasuite.contracts import Examples, Plan
from kerasuite.data.lengths import LengthPlan

AUTOTUNE = tf.data.AUTOTUNE
LARGEST_COPY, LARGEST_PIECE = 2**30, 2**24
# Without tf.data's tuning of buffers and threads, which sleeps for up to a minute at a time: an iterator that functions
# have read waits for it where it ends (TensorFlow 2.21). Threads are as many as cores then.
_UNTUNED = tf.data.Options()
_UNTUNED.autotune.enabled = False


class Preparation(Protocol):
    """What happens to a raw input, in TensorFlow ops: `encode` one row, then `collate` rows to a batch."""

    def is_encoded(self, examples: Examples) -> bool:
        """Whether the columns already hold what `encode` would give."""

    def encode(self, row: dict[str, tf.Tensor]) -> tf.Tensor:
        """One raw row to one encoded row."""

    def collate(self, rows: tf.Tensor) -> tf.Tensor:
        """Encoded rows (batch, ...) to what the model takes."""


class Augment(Protocol):
    """A change of a training batch that is decided by uniform numbers in [0, 1), so many an image.

    Rows that change one another can do so within one call only: with several workers, within a worker's share.
    """

    draws_per_image: int

    def __call__(self, x: tf.Tensor, y: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The batch, changed.

        Args:
            x: float32 (batch, ...).
            y: int32 (batch,).
            draws: float32 (batch, draws_per_image).

        Returns:
            x, and y as it came, or float32 (batch, num_classes) where rows were mixed: each class's share.
        """


@tf.autograph.experimental.do_not_convert  # no tensor decides an if or a loop here; to look for one takes seconds
def training(
    examples: Examples,
    prepare: Preparation,
    plan: Plan | LengthPlan,
    *,
    start_step: int = 0,
    epochs: int | None = None,
    augment: Augment | None = None,
    class_weights: np.ndarray | None = None,
    rank: int = 0,
    workers: int = 1,
) -> tf.data.Dataset:
    """Batches of (x, y, weight) as the plan orders them, from any step on.

    Args:
        plan: which rows make up which step. Rows that fill up a short batch have weight 0. Only batches of one size
            can be augmented.
        start_step: the first step, counted over all epochs.
        epochs: where to end; never if None.
        augment: applied to x and y; step s of seed t always draws the same numbers.
        class_weights: float array (num_classes,), multiplied into the weight: that of a row's label before any mixing.
        rank, workers: this worker takes rows `rank::workers` of each batch.

    Returns:
        Dataset of x as `collate` gives it, y int32 (batch,), or (batch, classes) where a row may be of several, weight
        float32 (batch,); x and y as `augment` leaves them.
    """
    share = slice(rank, None, workers)
    steps = _steps(plan, start_step, epochs)
    mine = steps.map(lambda step, rows, weight: (step, rows[share], weight[share]))
    planned = mine.map(lambda step, rows, weight: rows)
    encoded = _encoded(examples, prepare, planned, planned.element_spec.shape[0])
    labels = tf.constant(examples.labels, tf.int32)

    def finish(planned, rows):
        step, indices, weight = planned
        x, y = prepare.collate(rows), tf.gather(labels, indices)
        if class_weights is not None:
            weight *= tf.gather(tf.constant(class_weights, tf.float32), y)
        if augment is not None:
            # Drawn for the whole batch, so that a row's numbers do not depend on how many workers share it.
            shape = (plan.batch_size, augment.draws_per_image)
            x, y = augment(x, y, tf.random.stateless_uniform(shape, (plan.seed, step))[share])
        return x, y, weight

    batches = tf.data.Dataset.zip((mine, encoded)).map(finish, AUTOTUNE, deterministic=True)
    if epochs is not None:
        batches = batches.apply(tf.data.experimental.assert_cardinality(epochs * plan.steps_per_epoch - start_step))
    return batches.prefetch(AUTOTUNE).with_options(_UNTUNED)


def _steps(plan: Plan | LengthPlan, start_step: int, epochs: int | None) -> tf.data.Dataset:
    """(step, rows (batch,), weight (batch,)), from start_step on."""
    first, skipped = divmod(start_step, plan.steps_per_epoch)

    def planned(epoch):
        rows, weights = plan.epoch(epoch)
        ends = np.cumsum([0, *map(len, rows)])
        return np.concatenate(rows), np.concatenate(weights), ends

    def epoch_steps(epoch):
        rows, weights, ends = tf.numpy_function(planned, [epoch], [tf.int64, tf.float32, tf.int64])
        numbers = epoch * plan.steps_per_epoch + tf.range(plan.steps_per_epoch, dtype=tf.int64)
        ends = tf.ensure_shape(ends, (plan.steps_per_epoch + 1,))
        # A plan of batches of one size says so, for what wants static shapes.
        part = lambda column, start, end: tf.ensure_shape(column[start:end], (plan.batch_size,))  # noqa: E731
        return tf.data.Dataset.from_tensor_slices((numbers, ends[:-1], ends[1:])).map(
            lambda number, start, end: (number, part(rows, start, end), part(weights, start, end))
        )

    last = np.iinfo(np.int64).max if epochs is None else epochs
    return tf.data.Dataset.range(first, last).flat_map(epoch_steps).skip(skipped)


def _encoded(examples: Examples, prepare: Preparation, planned: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Encoded rows, batch by batch, from the numbers of each batch's rows."""
    raw = _raw(examples, planned, LARGEST_COPY)
    if prepare.is_encoded(examples):
        return raw.map(lambda columns: next(iter(columns.values())))
    # One by one, in parallel and in order, then stacked again.
    all_full = planned.element_spec.shape[0] is not None
    rows = raw.unbatch().map(prepare.encode, AUTOTUNE, deterministic=True)
    return rows.batch(batch_size, drop_remainder=all_full)


def _raw(examples: Examples, planned: tf.data.Dataset, largest_copy: int) -> tf.data.Dataset:
    """The columns of raw rows, batch by batch, from the numbers of each batch's rows."""
    takers = {name: _taker(column, largest_copy) for name, column in examples.inputs.items()}
    return planned.map(lambda rows: {name: take(rows) for name, take in takers.items()})


def _taker(column: np.ndarray | Ragged, largest_copy: int) -> Callable[[tf.Tensor], tf.Tensor | tf.RaggedTensor]:
    """What gathers rows of a column (n, ...): from row numbers (batch,) to (batch, ...).

    A column in memory is made a tensor, which takes a copy. Not so one that lies on disk (np.memmap, or whatever has
    dtype, shape and length, is no np.ndarray, and gives an array where it is indexed by one), nor one so large that
    it would not fit twice, of over largest_copy bytes: those are asked for the rows of each batch alone.
    """
    if isinstance(column, Ragged):
        return _ragged_taker(column)
    on_disk = not isinstance(column, np.ndarray) or isinstance(column, np.memmap)
    if column.dtype.kind in "UO" or not (on_disk or column.nbytes > largest_copy):
        held = tf.constant(column)
        return lambda rows: tf.gather(held, rows)

    def take(rows):
        taken = tf.numpy_function(lambda rows: column[rows], [rows], tf.as_dtype(column.dtype))
        return tf.ensure_shape(taken, (rows.shape[0], *column.shape[1:]))

    return take


def _ragged_taker(column: Ragged) -> Callable[[tf.Tensor], tf.RaggedTensor]:
    def rows_of(rows):
        taken = column[rows]
        return taken.values, taken.lengths

    def take(rows):
        values, lengths = tf.numpy_function(rows_of, [rows], [tf.as_dtype(column.dtype), tf.int64])
        return tf.RaggedTensor.from_row_lengths(tf.ensure_shape(values, (None,)), tf.ensure_shape(lengths, rows.shape))

    return take


@tf.autograph.experimental.do_not_convert
def encoded_rows(examples: Examples, prepare: Preparation) -> tf.data.Dataset:
    """Encoded rows, every row once, in order; of columns of numbers no more than a piece is copied at a time."""
    row_bytes = sum(column.dtype.itemsize * math.prod(column.shape[1:]) for column in examples.inputs.values())
    planned = tf.data.Dataset.range(len(examples)).batch(max(1, LARGEST_PIECE // max(row_bytes, 1)))
    rows = _raw(examples, planned, 0).unbatch().map(prepare.encode, AUTOTUNE, deterministic=True)
    return rows.prefetch(AUTOTUNE).with_options(_UNTUNED)


@tf.autograph.experimental.do_not_convert
def inference(examples: Examples, prepare: Preparation, batch_size: int) -> tf.data.Dataset:
    """Batches of x: every row once, in order, the last batch as short as it comes."""
    planned = tf.data.Dataset.range(len(examples)).batch(batch_size)
    batches = _encoded(examples, prepare, planned, batch_size).map(prepare.collate, AUTOTUNE, deterministic=True)
    batches = batches.apply(tf.data.experimental.assert_cardinality(-(-len(examples) // batch_size)))
    return batches.prefetch(AUTOTUNE).with_options(_UNTUNED)


def starting_at(*arguments, **options) -> Callable[..., tf.data.Dataset]:
    """`training` with everything given but where to start and whose share to take, as the training loop wants it."""
    return lambda start_step, **share: training(*arguments, start_step=start_step, **share, **options)


def class_weights(name: str, labels: np.ndarray, num_classes: int) -> np.ndarray | None:
    """Weights by class: `none`, or `balanced`: n / (num_classes * rows of the class), 0 for a class with no rows.

    Example:
        >>> class_weights("balanced", np.array([0, 0, 0, 1]), 2).round(3).tolist()
        [0.667, 2.0]
    """
    if name == "none":
        return None
    counts = np.bincount(labels, minlength=num_classes)
    return np.divide(len(labels), num_classes * counts, out=np.zeros(num_classes), where=counts > 0)
