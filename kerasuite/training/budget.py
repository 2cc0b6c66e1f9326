"""How many batches fit into so many minutes: measured before training, so that schedules end where they should."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kerasuite import run_directory, workers
from kerasuite.errors import InputError
from kerasuite.training.loop import CALL_SECONDS, Length
from kerasuite.training.steps import Steps

# What is measured: this share of the minutes, within bounds.
SHARE, LEAST_SECONDS, MOST_SECONDS = 0.02, 2.0, 30.0
VALIDATION_BATCHES = 16


class NoTime(InputError):
    """The minutes have no room for a single batch."""


class Measured(NamedTuple):
    """Seconds of a batch of training, and of one validation."""

    batch: float
    validation: float


def shortened(length: Length, minutes: float, measure: Callable[[], Measured], run_dir: Path, stage: str) -> Length:
    """The length that fits; found once a run, and the same when it is resumed.

    Raises:
        NoTime: not even one batch fits.
    """
    name = f"minutes of {stage}" if stage else "minutes"
    found = run_directory.remembered(run_dir, name)
    if found is None:
        with _same_draws():
            took = measure()
        total = batches_within(60 * minutes, took, length.steps_per_epoch, length.total)
        found = run_directory.remember(run_dir, name, lambda: {"given": minutes, "batches": total} | took._asdict())
    total, took = found["batches"], Measured(found["batch"], found["validation"])
    epochs = total / length.steps_per_epoch
    if not total:
        raise NoTime(
            f"--minutes leaves {max(minutes, 0):.2g} for training{f' {stage}' if stage else ''}, where one batch takes "
            f"{took.batch:.2g} s and a validation {took.validation:.2g} s. Give it more."
        )
    if total == length.total:
        print(f"All {epochs:g} epochs fit into {minutes:.3g} minutes.")
    else:
        print(
            f"{minutes:.3g} minutes are enough for {epochs:.3g} of {length.epochs} epochs ({total:,} batches of "
            f"{took.batch:.3g} s, a validation of {took.validation:.3g} s an epoch); the learning rate ends with them."
        )
    return dataclasses.replace(length, total=total)


@contextlib.contextmanager
def _same_draws() -> Iterator[None]:
    """Leave the generators, from which models draw the seeds of their layers, as they were."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def batches_within(seconds: float, took: Measured, steps_per_epoch: int, most: int) -> int:
    """How many batches fit, each epoch, the last too, ending with a validation.

    Example:
        >>> batches_within(100.0, Measured(batch=1.0, validation=5.0), steps_per_epoch=30, most=300)
        85
        >>> batches_within(72.0, Measured(batch=1.0, validation=5.0), steps_per_epoch=30, most=300)
        60
    """
    seconds = max(seconds, 0.0)
    whole = int(seconds // (took.batch * steps_per_epoch + took.validation))
    left = seconds - whole * (took.batch * steps_per_epoch + took.validation) - took.validation
    return min(whole * steps_per_epoch + max(int(left / took.batch), 0), most)


def measure(steps: Steps, batches: tf.data.Dataset, validation: tf.data.Dataset, minutes: float) -> Measured:
    """Time batches on a model that is not used any further; what traces the functions is left out."""
    seconds = min(max(60 * SHARE * minutes, LEAST_SECONDS), MOST_SECONDS)
    iterator = iter(steps.distribute(batches))
    steps.train(iterator, 1)
    team, number, spent, chunk = workers.Team(steps.strategy), 0, 0.0, 1
    while spent < seconds:
        begun = time.monotonic()
        steps.train(iterator, chunk)
        # All workers count alike.
        took = float(team.sum([time.monotonic() - begun])[0]) / team.count
        number, spent = number + chunk, spent + took
        chunk *= 2 if took < CALL_SECONDS else 1
    held_out, all_batches = steps.distribute(validation), int(validation.cardinality())
    some = min(all_batches, VALIDATION_BATCHES)
    steps.evaluate(held_out, 1)
    begun = time.monotonic()
    steps.evaluate(held_out, some)
    validated = float(team.sum([time.monotonic() - begun])[0]) / team.count
    return Measured(spent / number, validated * all_batches / some)
