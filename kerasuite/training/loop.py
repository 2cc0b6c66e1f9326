"""A training under way: batch after batch, epoch after epoch, with all that a checkpoint has to hold."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasuite import run_directory, workers
from kerasuite.errors import EnvironmentFault, InputError
from kerasuite.training import checkpoint, history
from kerasuite.training.history import History
from kerasuite.training.interruption import Interrupted, Paused, stop_signals, wants_pause
from kerasuite.training.steps import Steps

# A call of the compiled function runs about this long: short enough for a progress bar and for Ctrl-C,
# long enough that the 2-3 ms of Python around it do not count.
CALL_SECONDS = 0.25


@dataclass(frozen=True)
class Length:
    """How long a training is.

    Args:
        steps_per_epoch: batches an epoch.
        total: batches in all; the last epoch ends with them.
        accumulate: batches a step of the optimizer.
    """

    steps_per_epoch: int
    total: int
    accumulate: int = 1

    @property
    def epochs(self) -> int:
        """Epochs, the last perhaps not whole."""
        return -(-self.total // self.steps_per_epoch)

    @property
    def updates(self) -> int:
        """Steps of the optimizer; the last of an epoch takes what batches are left."""
        whole, rest = divmod(self.total, self.steps_per_epoch)
        return whole * -(-self.steps_per_epoch // self.accumulate) + -(-rest // self.accumulate)

    def end(self, epoch: int) -> int:
        """The number of batches at the end of an epoch."""
        return min((epoch + 1) * self.steps_per_epoch, self.total)


class Loop:
    """Where a training stands: the batch, the sums of the epoch under way, the history; all that a checkpoint holds."""

    def __init__(
        self,
        steps: Steps,
        callbacks: keras.callbacks.CallbackList,
        groups: Sequence[tuple[keras.optimizers.Optimizer, Sequence[keras.Variable]]],
        run_dir: Path,
        length: Length,
        team: workers.Team,
        *,
        checkpoint_seconds: float,
        stage: str,
        earlier_history: History,
        monitor: str,
    ):
        self.steps, self.callbacks, self.run_dir, self.stage = steps, callbacks, run_dir, stage
        self.length, self.team, self.checkpoint_seconds = length, team, checkpoint_seconds
        self.monitor = monitor
        self.checkpoints, self.earlier_history = run_dir / run_directory.CHECKPOINTS / stage, earlier_history
        self.model = steps.model
        self.optimizer = groups[0][0]
        self.variables = [*self.model.variables, *(v for optimizer, _ in groups for v in optimizer.variables)]
        self.step, self.earlier_seconds, self.sums, self.history = 0, 0.0, None, []
        self.steps_a_call, self.began, self.saved = length.accumulate, time.monotonic(), time.monotonic()
        self.stop = False

    @property
    def all_history(self) -> History:
        """The history of the stages before and of this one."""
        named = {"stage": self.stage} if self.stage else {}
        return [*self.earlier_history, *(named | row for row in self.history)]

    @property
    def best(self) -> dict[str, float]:
        """The row of the best epoch, of this stage and those before."""
        return max(self.all_history, key=lambda row: history.merit(row, self.monitor))

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be trained."""
        return self.step >= self.length.total or self.model.stop_training

    def start(self) -> None:
        """Begin, or take up what a checkpoint holds."""
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        state = checkpoint.restore(self.checkpoints, self.variables, self.team)
        checkpoint.part_draws(self.model.variables, self.team)
        if state is not None:
            self.step, self.sums, self.history = state["step"], state["sums"], state["history"]
            self.earlier_seconds = state["seconds"]
            self.model.stop_training = state["stopped"]
            for callback, saved in zip(self.callbacks.callbacks, state["callbacks"]):
                vars(callback).update(saved)
            print(f"Going on from step {self.step}{f' of {self.stage}' if self.stage else ''}.")
            self.write_history()
        self.began = self.saved = time.monotonic()

    def save(self) -> None:
        """Write a checkpoint, if this worker writes."""
        self.saved = time.monotonic()
        if self.team.rank > 0:
            return
        state = {
            "step": self.step,
            "sums": self.sums,
            "history": self.history,
            "seconds": self.earlier_seconds + time.monotonic() - self.began,
            "stopped": bool(self.model.stop_training),
            "callbacks": [checkpoint.callback_state(callback) for callback in self.callbacks.callbacks],
        }
        checkpoint.save(self.checkpoints, self.step, self.variables, state)
        self.saved = time.monotonic()

    def write_history(self) -> None:
        """Write history.csv. A disk that is full does not end the training: the file is written anew each time."""
        try:
            history.write(self.run_dir, self.all_history)
        except EnvironmentFault as fault:
            print(f"Warning: history.csv is not up to date. {fault}", file=sys.stderr)

    def train(self, batches: tf.data.Dataset, validation: tf.data.Dataset) -> None:
        """Train to the end.

        Args:
            batches: endless, from the step on at which this stands.
            validation: of known cardinality.
        """
        iterator = iter(self.steps.distribute(batches))
        held_out = (self.steps.distribute(validation), int(validation.cardinality()))
        with stop_signals() as asked, workers.others_may_fail():
            for epoch in range(self.step // self.length.steps_per_epoch, self.length.epochs):
                if self.all_history and self.sums is None and wants_pause(self.all_history):
                    raise Paused(self.all_history, self.best)
                self.epoch(epoch, iterator, held_out, asked)
                self.write_history()
                if self.team.sum([asked.is_set()])[0]:
                    raise Interrupted
                if self.model.stop_training:
                    break

    def epoch(self, epoch: int, iterator: Iterator, held_out: Any, asked: threading.Event) -> None:
        """One epoch, from where it stands: its batches, a validation, a checkpoint."""
        begun, end = time.monotonic(), self.length.end(epoch)
        if self.sums is None:
            self.sums = np.zeros(self.steps.num_sums)
        self.callbacks.on_epoch_begin(epoch)
        while self.step < end:
            self._call(iterator, end, asked)
            in_epoch = self.step - epoch * self.length.steps_per_epoch
            self.callbacks.on_train_batch_end(in_epoch - 1, self.steps.means(self.sums))
            # After the last step the epoch is closed first: its checkpoint is the one to go on from.
            if self.step < end and (self.stop or time.monotonic() - self.saved > self.checkpoint_seconds):
                self.save()
                if self.stop:
                    raise Interrupted
        logs = self.steps.means(self.sums)
        validated = self.steps.evaluate(*held_out)
        _refuse_infinite(validated, f"on validation after step {self.step}")
        logs |= self.steps.held_out_means(validated)
        logs["learning_rate"] = float(tf.convert_to_tensor(self.optimizer.learning_rate))
        self.sums = None
        self.callbacks.on_epoch_end(epoch, dict(logs))
        self.history.append(logs)
        self.save()
        workers.progressed()
        if not sys.stdout.isatty():
            shown = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
            name = f"{self.stage}, epoch" if self.stage else "Epoch"
            seconds = time.monotonic() - begun
            print(f"{name} {epoch + 1}/{self.length.epochs}  {seconds:.1f} s  {shown}", flush=True)

    def _call(self, iterator: Iterator, end: int, asked: threading.Event) -> None:
        """As many batches as one call takes; their sums are added one by one, so that the grouping leaves no trace."""
        number, begun = min(self.steps_a_call, end - self.step), time.monotonic()
        for row in self.steps.train(iterator, number):
            self.sums += row
        if self.step == 0 and not np.isfinite(self.sums).all():
            raise InputError(
                "The loss is no finite number from the first steps on: the weights that were loaded are damaged, the "
                "data have extreme values, or --learning-rate is far too high."
            )
        _refuse_infinite(self.sums, f"between steps {self.step} and {self.step + number}")
        self.step += number
        # All workers take the same number of batches in a call, and stop after the same call.
        stops, seconds = self.team.sum([asked.is_set(), (time.monotonic() - begun) / number])
        self.stop = stops > 0
        fitting = int(np.clip(CALL_SECONDS * self.team.count / seconds, 1, 4 * self.steps_a_call))
        self.steps_a_call = max(fitting // self.length.accumulate, 1) * self.length.accumulate
        workers.progressed()


def _refuse_infinite(sums: np.ndarray, where: str) -> None:
    if not np.isfinite(sums).all():
        raise InputError(
            f"The loss is no longer a finite number {where}. Pass a lower --learning-rate, or look for extreme values "
            "in the data."
        )
