"""The one training loop: any number of devices, exact resume, Keras's own callbacks."""

from __future__ import annotations

import csv
import io
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasuite import devices, run_directory
from kerasuite.errors import InputError
from kerasuite.training import checkpoint
from kerasuite.training.steps import Steps

Optimizers = Callable[[keras.Model], Sequence[tuple[keras.optimizers.Optimizer, Sequence[keras.Variable]]]]

# A call of the compiled function runs about this long: short enough for a progress bar and for Ctrl-C,
# long enough that the 2-3 ms of Python around it do not count.
CALL_SECONDS = 0.25

History = list[dict[str, float]]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM; what was trained so far is in a checkpoint."""


class Paused(Exception):
    """A training that `pausing` stopped after an epoch; the same call goes on from its checkpoint.

    Args:
        history: as Fitted has it.
        best: as Fitted has it.
    """

    def __init__(self, history: History, best: dict[str, float]):
        super().__init__(f"paused after epoch {len(history)}")
        self.history, self.best = history, best


@dataclass(frozen=True)
class Fitted:
    """What training leaves.

    Args:
        model: the best epoch's weights, in float32, bound to no strategy.
        history: one dictionary an epoch: loss, measures, val_..., learning_rate.
        best: the dictionary of the best epoch, whose weights these are; of several stages, of all of them.
        earlier_seconds: training time before the interruption that this went on from.
    """

    model: keras.Model
    history: History
    best: dict[str, float]
    earlier_seconds: float


_PAUSE: ContextVar[Callable[[History], bool]] = ContextVar("pause", default=lambda history: False)


@contextmanager
def pausing(rule: Callable[[History], bool]) -> Iterator[None]:
    """Within, each training asks this rule before each further epoch, with the history so far; True raises Paused."""
    token = _PAUSE.set(rule)
    try:
        yield
    finally:
        _PAUSE.reset(token)


def fit(
    build: Callable[[], keras.Model],
    batches: Callable[[int], tf.data.Dataset],
    validation: tf.data.Dataset,
    *,
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    optimizers: Optimizers,
    epochs: int,
    steps_per_epoch: int,
    run_dir: Path,
    measures: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] | None = None,
    held_out_measures: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] | None = None,
    monitor: str = "loss",
    strategy: tf.distribute.Strategy | None = None,
    precision: str = "float32",
    patience: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_seconds: float = 30.0,
    tensorboard: bool = True,
    stage: str = "",
    before: Fitted | None = None,
) -> Fitted:
    """Train until the last epoch or until validation gets no better; go on from a checkpoint if there is one.

    Args:
        build: makes the model, logits out; called within the strategy, and once more for the result.
        batches: from a step, counted over all epochs, to an endless dataset of (x, y, weight) that starts there.
        validation: dataset of (x, y, weight) whose cardinality is known.
        loss: each row's loss from (y, logits). The gradient is that of the sum over rows of weight times loss,
            divided by the sum of the weights over all replicas.
        optimizers: from the model to (optimizer, variables) pairs: one optimizer a group of variables.
        measures: further numbers of each row, by name, from (y, logits).
        held_out_measures: those of validation, if not the same.
        monitor: what is held against the epochs before: `loss` falls, and any other measure of validation rises.
        run_dir: gets checkpoints/, history.csv and tensorboard/.
        patience: epochs without a better value of what is monitored before the end; None never stops early.
        callbacks: Keras callbacks. They see `loss`, the measures, and `val_...` of them. Of their state a checkpoint
            keeps what `checkpoint.CALLBACK_STATE` names.
        checkpoint_seconds: time between checkpoints within an epoch.
        stage: names this part of a training that has several; each has its own checkpoints.
        before: what the stage before left: its history and its seconds stand before this one's.

    Raises:
        InputError: the loss is no longer finite.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was written.
        Paused: by the rule of `pausing`; a checkpoint was written.
    """
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope(), devices.precision(precision):
        model = build()
        groups = optimizers(model)
        for optimizer, variables in groups:
            optimizer.build(variables)
        model.compile(optimizer=groups[0][0])
        steps = Steps(model, groups, loss, measures or {}, strategy, held_out_measures)
        stopping = keras.callbacks.EarlyStopping(
            f"val_{monitor}",
            mode="min" if monitor == "loss" else "max",
            patience=epochs if patience is None else patience,
            restore_best_weights=True,
        )
        if tensorboard:
            logs = keras.callbacks.TensorBoard(str(run_dir / run_directory.TENSORBOARD / stage), write_graph=False)
            callbacks = [logs, *callbacks]
        called = keras.callbacks.CallbackList(
            [*callbacks, stopping],
            add_history=True,
            add_progbar=sys.stdout.isatty(),
            model=model,
            verbose=1,
            epochs=epochs,
            steps=steps_per_epoch,
        )
        earlier = before.history if before else []
        run = _Run(steps, called, groups, run_dir, checkpoint_seconds, stage, earlier, monitor)
        run.start()
        if run.step < epochs * steps_per_epoch and not model.stop_training:
            run.train(batches, validation, epochs, steps_per_epoch)
        called.on_train_end()

    # Built anew: float32 whatever the training's policy was, and free of the strategy.
    result = build()
    result.set_weights(model.get_weights())
    earlier_seconds = before.earlier_seconds if before else 0.0
    return Fitted(result, run.all_history, run.best, earlier_seconds + run.earlier_seconds)


class _Run:
    """Where a run stands: the step, the sums of the epoch under way, the history; all that a checkpoint holds."""

    def __init__(self, steps, callbacks, groups, run_dir, checkpoint_seconds, stage, earlier_history, monitor):
        self.steps, self.callbacks, self.run_dir, self.stage = steps, callbacks, run_dir, stage
        self.monitored, self.better = f"val_{monitor}", min if monitor == "loss" else max
        self.checkpoints, self.earlier_history = run_dir / run_directory.CHECKPOINTS / stage, earlier_history
        self.model = steps.model
        self.optimizer = groups[0][0]
        self.variables = [*self.model.variables, *(v for optimizer, _ in groups for v in optimizer.variables)]
        self.checkpoint_seconds = checkpoint_seconds
        self.step, self.earlier_seconds, self.sums, self.history = 0, 0.0, None, []
        self.steps_a_call, self.began, self.saved = 1, time.monotonic(), time.monotonic()

    @property
    def all_history(self) -> History:
        """The history of the stages before and of this one."""
        named = {"stage": self.stage} if self.stage else {}
        return [*self.earlier_history, *(named | row for row in self.history)]

    @property
    def best(self) -> dict[str, float]:
        """The row of the best epoch, of this stage and those before."""
        return self.better(self.all_history, key=lambda row: row[self.monitored])

    def start(self) -> None:
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        state = checkpoint.restore(self.checkpoints, self.variables)
        if state is not None:
            self.step, self.sums, self.history = state["step"], state["sums"], state["history"]
            self.earlier_seconds = state["seconds"]
            self.model.stop_training = state["stopped"]
            for callback, saved in zip(self.callbacks.callbacks, state["callbacks"]):
                vars(callback).update(saved)
            print(f"Going on from step {self.step}{f' of {self.stage}' if self.stage else ''}.")
            _write_history(self.run_dir, self.all_history)
        self.began = self.saved = time.monotonic()

    def save(self) -> None:
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

    def train(self, batches, validation, epochs: int, steps_per_epoch: int) -> None:
        iterator = iter(self.steps.distribute(batches(self.step)))
        held_out = (self.steps.distribute(validation), int(validation.cardinality()))
        with _stop_signals() as stop:
            for epoch in range(self.step // steps_per_epoch, epochs):
                if self.all_history and self.sums is None and _PAUSE.get()(self.all_history):
                    raise Paused(self.all_history, self.best)
                self.epoch(epoch, iterator, held_out, steps_per_epoch, stop)
                _write_history(self.run_dir, self.all_history)
                if stop.is_set():
                    raise Interrupted
                if self.model.stop_training:
                    break

    def epoch(self, epoch: int, iterator: Iterator, held_out, steps_per_epoch: int, stop: threading.Event) -> None:
        begun, end = time.monotonic(), (epoch + 1) * steps_per_epoch
        if self.sums is None:
            self.sums = np.zeros(self.steps.num_sums)
        self.callbacks.on_epoch_begin(epoch)
        while self.step < end:
            self._call(iterator, end)
            in_epoch = self.step - epoch * steps_per_epoch
            self.callbacks.on_train_batch_end(in_epoch - 1, self.steps.means(self.sums))
            # After the last step the epoch is closed first: its checkpoint is the one to go on from.
            if self.step < end and (stop.is_set() or time.monotonic() - self.saved > self.checkpoint_seconds):
                self.save()
                if stop.is_set():
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
        if not sys.stdout.isatty():
            shown = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
            name = f"{self.stage}, epoch" if self.stage else "Epoch"
            seconds = time.monotonic() - begun
            print(f"{name} {epoch + 1}/{self.callbacks.params['epochs']}  {seconds:.1f} s  {shown}", flush=True)

    def _call(self, iterator: Iterator, end: int) -> None:
        """As many steps as one call takes; their sums are added one by one, so that the grouping leaves no trace."""
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
        a_step = (time.monotonic() - begun) / number
        self.steps_a_call = int(np.clip(CALL_SECONDS / a_step, 1, 4 * self.steps_a_call))


def _refuse_infinite(sums: np.ndarray, where: str) -> None:
    if not np.isfinite(sums).all():
        raise InputError(
            f"The loss is no longer a finite number {where}. Pass a lower --learning-rate, or look for extreme values "
            "in the data."
        )


def _write_history(run_dir: Path, history: History) -> None:
    if not history:
        return
    text = io.StringIO()
    table = csv.DictWriter(text, ["epoch", *history[0]], lineterminator="\n")
    table.writeheader()
    table.writerows({"epoch": k} | row for k, row in enumerate(history, 1))
    run_directory.write(run_dir / run_directory.HISTORY, text.getvalue())


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second has its usual effect."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number, frame):
        stop.set()
        for each, handler in kept.items():
            signal.signal(each, handler)

    for number in kept:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
