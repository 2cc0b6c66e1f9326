"""The one training loop: any number of devices, exact resume, Keras's own callbacks."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerasuite import devices, run_directory, workers
from kerasuite.training import budget, history, memory
from kerasuite.training.history import History
from kerasuite.training.logs import Logs
from kerasuite.training.loop import Length, Loop
from kerasuite.training.steps import Steps

Groups = Sequence[tuple[keras.optimizers.Optimizer, Sequence[keras.Variable]]]
Measures = Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]


@dataclass(frozen=True)
class Fitted:
    """What training leaves.

    Args:
        model: the best epoch's weights, in float32, bound to no strategy.
        history: one dictionary an epoch: loss, measures, val_..., learning_rate.
        best: the dictionary of the best epoch, whose weights these are; of several stages, of all of them.
        earlier_seconds: training time before the interruption that this went on from.
        monitor: what the best epoch was told by: `loss`, or a measure of validation.
    """

    model: keras.Model
    history: History
    best: dict[str, float]
    earlier_seconds: float
    monitor: str = "loss"

    @property
    def kept(self) -> dict[str, Any]:
        """Which epoch's weights these are, counted from 1, and by what it was told."""
        return {"epoch": self.history.index(self.best) + 1, "by": f"val_{self.monitor}"}


def fit(
    build: Callable[[], keras.Model],
    batches: Callable[..., tf.data.Dataset],
    validation: Callable[..., tf.data.Dataset],
    *,
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    optimizers: Callable[[keras.Model, int], Groups],
    epochs: int,
    steps_per_epoch: int,
    run_dir: Path,
    measures: Measures | None = None,
    held_out_measures: Measures | None = None,
    monitor: str = "loss",
    strategy: tf.distribute.Strategy | None = None,
    precision: str = "float32",
    patience: int | None = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    minutes: float | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_seconds: float = 30.0,
    batch_flags: Mapping[str, int] | None = None,
    tensorboard: bool = True,
    stage: str = "",
    before: Fitted | None = None,
) -> Fitted:
    """Train until the last epoch or until validation gets no better; go on from a checkpoint if there is one.

    Args:
        build: makes the model, logits out; called within the strategy, and once more for the result.
        batches: from a step, counted over all epochs, to an endless dataset of (x, y, weight) that starts there; takes
            `rank` and `workers` too, for one worker's share of each batch.
        validation: likewise, from step 0; its cardinality is known.
        loss: each row's loss from (y, logits). The gradient is that of the sum over rows of weight times loss,
            divided by the sum of the weights over all replicas.
        optimizers: from the model and the number of steps that they will take to (optimizer, variables) pairs: one
            optimizer a group of variables.
        measures: further numbers of each row, by name, from (y, logits).
        held_out_measures: those of validation, if not the same.
        monitor: what epochs are held against each other by: `loss` falls, and any other measure of validation rises; of
            equal ones the loss decides.
        run_dir: gets checkpoints/, history.csv and tensorboard/.
        patience: epochs without a better value of what is monitored before the end; None never stops early.
        accumulate, clip_norm: as Steps has them.
        minutes: train on as many batches only as take so long, by their measured time.
        callbacks: Keras callbacks. They see `loss`, the measures, and `val_...` of them. Of their state a checkpoint
            keeps what `checkpoint.CALLBACK_STATE` names.
        checkpoint_seconds: time between checkpoints within an epoch.
        batch_flags: what says how large a batch is, for a person whose memory it does not fit.
        stage: names this part of a training that has several; each has its own checkpoints.
        before: what the stage before left: its history and its seconds stand before this one's.

    Raises:
        InputError: the loss is no longer finite, or no batch fits into the minutes.
        EnvironmentFault: a batch does not fit into memory; the disk has no room for the history; or another worker has
            ended.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was written.
        Paused: by the rule of `interruption.pausing`; a checkpoint was written.
    """
    strategy = strategy or tf.distribute.get_strategy()
    team = workers.Team(strategy)
    share = {"rank": team.rank, "workers": team.count}

    def prepare(num_updates: int) -> tuple[Steps, Groups]:
        model = build()
        groups = optimizers(model, num_updates)
        for optimizer, variables in groups:
            optimizer.build(variables)
        model.compile(optimizer=groups[0][0])
        options = {"accumulate": accumulate, "clip_norm": clip_norm}
        return Steps(model, groups, loss, measures or {}, strategy, held_out_measures, **options), groups

    with strategy.scope(), devices.precision(precision):
        length = Length(steps_per_epoch, epochs * steps_per_epoch, accumulate)
        if minutes is not None:
            # Made within `shortened`, which puts back the generators that it draws from.
            tried = functools.cache(lambda: prepare(length.updates)[0])
            measure = lambda: budget.measure(tried(), batches(0, **share), validation(0, **share), minutes)  # noqa: E731
            with memory.advising(tried, lambda: batches(0, **share), batch_flags or {}):
                length = budget.shortened(length, minutes, measure, run_dir, stage)
        steps, groups = prepare(length.updates)
        stopping = _Stopping(monitor, length.epochs if patience is None else patience)
        logs = run_dir / run_directory.TENSORBOARD / stage if tensorboard else None
        called = _called([*callbacks, stopping], steps.model, length, logs)
        loop = Loop(
            steps,
            called,
            groups,
            run_dir,
            length,
            team,
            checkpoint_seconds=checkpoint_seconds,
            stage=stage,
            earlier_history=before.history if before else [],
            monitor=monitor,
        )
        loop.start()
        if not loop.is_over:
            with memory.advising(lambda: steps, lambda: batches(loop.step, **share), batch_flags or {}):
                loop.train(batches(loop.step, **share), validation(0, **share))
        called.on_train_end()
    history.write(run_dir, loop.all_history)

    # Built anew: float32 whatever the training's policy was, and free of the strategy.
    result = build()
    result.set_weights(steps.model.get_weights())
    earlier_seconds = before.earlier_seconds if before else 0.0
    return Fitted(result, loop.all_history, loop.best, earlier_seconds + loop.earlier_seconds, monitor)


def _called(
    callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, length: Length, logs: Path | None
) -> keras.callbacks.CallbackList:
    """What is called as Keras's own `fit` calls it; TensorBoard's logs go into a folder, None makes none."""
    if logs:
        callbacks = [Logs(logs), *callbacks]
    return keras.callbacks.CallbackList(
        callbacks,
        add_history=True,
        add_progbar=sys.stdout.isatty(),
        model=model,
        verbose=1,
        epochs=length.epochs,
        steps=length.steps_per_epoch,
    )


class _Stopping(keras.callbacks.EarlyStopping):
    """Ends a training that gets no better, and puts back the weights of its best epoch."""

    def __init__(self, monitor: str, patience: int):
        super().__init__(f"val_{monitor}", mode="max", patience=patience, restore_best_weights=True)
        self._of = monitor

    def get_monitor_value(self, logs):
        """The epoch's merit."""
        return history.merit(logs, self._of)

    def _is_improvement(self, monitor_value, reference_value):
        return reference_value is None or monitor_value > reference_value
