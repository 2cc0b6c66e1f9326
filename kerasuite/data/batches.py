"""A plan first, then the rows: batches of (x, y, weight) in an order that is a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

from kerasuite.contracts import Examples, Plan

AUTOTUNE = tf.data.AUTOTUNE


class Preparation(Protocol):
    """What happens to a raw input, in TensorFlow ops: `encode` one row, then `collate` rows to a batch."""

    def is_encoded(self, examples: Examples) -> bool:
        """Whether the columns already hold what `encode` would give."""

    def encode(self, row: dict[str, tf.Tensor]) -> tf.Tensor:
        """One raw row to one encoded row."""

    def collate(self, rows: tf.Tensor) -> tf.Tensor:
        """Encoded rows (batch, ...) to what the model takes."""


class Augment(Protocol):
    """A change of a training batch that is decided by uniform numbers in [0, 1), so many an image."""

    draws_per_image: int

    def __call__(self, x: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """The batch, changed: x (batch, ...) and draws (batch, draws_per_image)."""


def training(
    examples: Examples,
    prepare: Preparation,
    plan: Plan,
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
        plan: which rows make up which step. Rows that fill up a short batch have weight 0.
        start_step: the first step, counted over all epochs.
        epochs: where to end; never if None.
        augment: applied to x; step s of seed t always draws the same numbers.
        class_weights: float array (num_classes,), multiplied into the weight.
        rank, workers: this worker takes rows `rank::workers` of each batch.

    Returns:
        Dataset of x as `collate` gives it, y int32 (batch,), weight float32 (batch,).
    """
    share = slice(rank, None, workers)
    steps = _steps(plan, start_step, epochs)
    mine = steps.map(lambda step, rows, weight: (step, rows[share], weight[share]))
    encoded = _gathered(examples, prepare, mine) if prepare.is_encoded(examples) else _streamed(examples, prepare, mine)
    labels = tf.constant(examples.labels, tf.int32)
    factors = tf.constant(np.ones(len(examples.class_names)) if class_weights is None else class_weights, tf.float32)

    def finish(planned, rows):
        step, indices, weight = planned
        x = prepare.collate(rows)
        if augment is not None:
            # Drawn for the whole batch, so that a row's numbers do not depend on how many workers share it.
            shape = (plan.batch_size, augment.draws_per_image)
            x = augment(x, tf.random.stateless_uniform(shape, (plan.seed, step))[share])
        y = tf.gather(labels, indices)
        return x, y, weight * tf.gather(factors, y)

    batches = tf.data.Dataset.zip((mine, encoded)).map(finish, AUTOTUNE, deterministic=True)
    if epochs is not None:
        batches = batches.apply(tf.data.experimental.assert_cardinality(epochs * plan.steps_per_epoch - start_step))
    return batches.prefetch(AUTOTUNE)


def _steps(plan: Plan, start_step: int, epochs: int | None) -> tf.data.Dataset:
    """(step, rows (batch_size,), weight (batch_size,)), from start_step on."""
    first, skipped = divmod(start_step, plan.steps_per_epoch)

    def epoch_steps(epoch):
        rows, weights = tf.numpy_function(plan.epoch, [epoch], [tf.int64, tf.float32])
        shape = (plan.steps_per_epoch, plan.batch_size)
        numbers = epoch * plan.steps_per_epoch + tf.range(plan.steps_per_epoch, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices(
            (numbers, tf.ensure_shape(rows, shape), tf.ensure_shape(weights, shape))
        )

    last = np.iinfo(np.int64).max if epochs is None else epochs
    return tf.data.Dataset.range(first, last).flat_map(epoch_steps).skip(skipped)


def _gathered(examples: Examples, prepare: Preparation, steps: tf.data.Dataset) -> tf.data.Dataset:
    """Encoded rows held in memory, a whole batch at a time."""
    (column,) = (tf.constant(values) for values in examples.inputs.values())
    return steps.map(lambda step, rows, weight: tf.gather(column, rows))


def _streamed(examples: Examples, prepare: Preparation, steps: tf.data.Dataset) -> tf.data.Dataset:
    """Rows encoded one by one, in parallel and in order, then stacked."""
    columns = {name: tf.constant(values) for name, values in examples.inputs.items()}
    rows = steps.flat_map(lambda step, rows, weight: tf.data.Dataset.from_tensor_slices(rows))
    encode = lambda row: prepare.encode({name: column[row] for name, column in columns.items()})  # noqa: E731
    size = steps.element_spec[1].shape[0]
    return rows.map(encode, AUTOTUNE, deterministic=True).batch(size, drop_remainder=True)


def inference(examples: Examples, prepare: Preparation, batch_size: int) -> tf.data.Dataset:
    """Batches of x: every row once, in order, the last batch as short as it comes."""
    rows = tf.data.Dataset.from_tensor_slices(examples.inputs)
    if prepare.is_encoded(examples):
        batches = rows.batch(batch_size).map(lambda columns: next(iter(columns.values())))
    else:
        batches = rows.map(prepare.encode, AUTOTUNE, deterministic=True).batch(batch_size)
    return batches.map(prepare.collate, AUTOTUNE, deterministic=True).prefetch(AUTOTUNE)


def starting_at(*arguments, **options) -> Callable[[int], tf.data.Dataset]:
    """`training` with everything given but the step to start at, as the training loop wants it."""
    return lambda start_step: training(*arguments, start_step=start_step, **options)


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
