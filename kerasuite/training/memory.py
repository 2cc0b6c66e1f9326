"""What to do where a batch does not fit into a device's memory: tried, not guessed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Mapping
from typing import NoReturn

import tensorflow as tf

from kerasuite import workers
from kerasuite.errors import EnvironmentFault
from kerasuite.training.steps import Steps


@contextlib.contextmanager
def advising(steps: Callable[[], Steps], batches: Callable[[], tf.data.Dataset], flags: Mapping[str, int]):
    """Say what to do where what is called within finds too little memory.

    Args:
        steps: of the training; what it gives is used to try smaller batches.
        batches: from the one on that does not fit.
        flags: what says how large a batch is.

    Raises:
        EnvironmentFault: there was too little memory; or the disk is full, which TensorFlow calls by the same name.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if os.strerror(errno.ENOSPC) in error.message:
            raise EnvironmentFault(
                f"The disk is full. Make room, then: kerasuite resume RUN_DIR goes on from the last checkpoint. "
                f"({error.message.splitlines()[0]})"
            ) from None
        advise(steps(), batches(), flags, error)


def advise(
    steps: Steps, batches: tf.data.Dataset, flags: Mapping[str, int], error: tf.errors.ResourceExhaustedError
) -> NoReturn:
    """Find the largest part of a batch that can be trained on, half by half, and say it.

    Args:
        steps: of the training that failed; its weights are spoilt.
        batches: of (x, y, weight).
        flags: what says how large a batch is.

    Raises:
        EnvironmentFault: always; says which settings fit.
    """
    given = ", ".join(f"{flag} {size}" for flag, size in flags.items())
    told = f"A batch ({given}) does not fit into memory ({_first_line(error)})."
    if workers.Team(steps.strategy).count > 1:
        raise EnvironmentFault(f"{told} Pass less, and --accumulate for as many rows a step.") from None
    largest, parts = max(len(weight) for _, _, weight in batches.take(1)), 2
    while largest // parts >= steps.strategy.num_replicas_in_sync:
        try:
            steps.train(iter(steps.distribute(batches.take(1).map(_first_of(parts)))), 1)
        except tf.errors.ResourceExhaustedError:
            parts *= 2
            continue
        smaller = " ".join(f"{flag} {max(size // parts, 1)}" for flag, size in flags.items())
        raise EnvironmentFault(
            f"{told} This does, as was tried: {smaller}. With --accumulate {parts * steps.accumulate} too, steps are "
            "those of the larger batch."
        ) from None
    raise EnvironmentFault(f"{told} Nor does a single row a device: take a smaller model, or smaller inputs.") from None


def _first_of(parts: int):
    return lambda *batch: tf.nest.map_structure(lambda column: column[: tf.shape(column)[0] // parts], batch)


def _first_line(error: tf.errors.OpError) -> str:
    return next((line.strip() for line in error.message.splitlines() if "OOM" in line), "out of memory")
