"""Keras Tuner's oracles, made to outlive a kill; and what ends a hopeless trial."""

from __future__ import annotations

import contextlib
import functools
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras_tuner
import numpy as np
from keras_tuner import oracles
from keras_tuner.engine import base_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from kerasuite import whole_files
from kerasuite.training.fit import History

Kind = Literal["random", "bayesian", "hyperband", "grid"]
STOPPED, IDLE, COMPLETED, FAILED = (getattr(TrialStatus, name) for name in ("STOPPED", "IDLE", "COMPLETED", "FAILED"))
# The median rule: not before a share of the epochs, or this many, and not against fewer others than this.
EARLIEST_SHARE, EARLIEST, FEWEST_OTHERS = 0.2, 2, 4


def direction(objective: str) -> Literal["min", "max"]:
    """Which way the objective is better: a loss falls, anything else rises."""
    return "min" if objective.endswith("loss") else "max"


def better(objective: str) -> Callable[[Sequence[float]], float]:
    """The best of several values of the objective."""
    return min if direction(objective) == "min" else max


class _Durable:
    """An oracle whose files are whole at any moment, and which goes on from them after a kill at any moment.

    Keras Tuner's own writes them in place, gives what was running to whoever asks next, and forgets a grid's place.
    """

    may_start: Callable[[], bool] = staticmethod(lambda: True)
    first: Mapping[str, Any] = {}

    def populate_space(self, trial_id):
        """What to try next; where there is something to begin with, that."""
        if self.first and not self.trials:
            return {"status": TrialStatus.RUNNING, "values": dict(self.first)}
        return self._populate(trial_id)

    def _populate(self, trial_id):
        return super().populate_space(trial_id)

    def save(self):
        whole_files.write(Path(self._get_oracle_fname()), json.dumps(self.get_state()))

    def _save_trial(self, trial):
        whole_files.write(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", json.dumps(trial.get_state()))

    def reload(self):
        super().reload()
        state = json.loads(Path(self._get_oracle_fname()).read_text())
        # A trial that was written, but not yet into the oracle's own file, is drawn again.
        self.trials = {name: self.trials[name] for name in self.start_order}
        ongoing = {tuner: name for tuner, name in state["ongoing_trials"].items() if name in self.trials}
        self._retry_queue = list(state["retry_queue"])
        # Whoever ran a trial goes on with it.
        self.ongoing_trials = {tuner: self.trials[name] for tuner, name in ongoing.items()}

    @keras_tuner.synchronized
    def hand_on(self, tuner_ids: Sequence[str]) -> None:
        """Give the trials of all others than these to whoever asks next, and wait for those others no longer."""
        for tuner_id in set(self.ongoing_trials) - set(tuner_ids):
            self._retry_queue.append(self.ongoing_trials.pop(tuner_id).trial_id)
        self.tuner_ids &= set(tuner_ids)

    @keras_tuner.synchronized
    def retry(self, names: Sequence[str]) -> None:
        """Have these trials, which failed, run again, before any others."""
        for name in names:
            self.end_order.remove(name)
            self._retry_queue.append(name)

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        goes_on = tuner_id in self.ongoing_trials or self._retry_queue
        may = goes_on or self.may_start()
        trial = super().create_trial(tuner_id) if may else Trial(self.get_space(), status=STOPPED)
        if trial.status != STOPPED:
            return trial
        if self.ongoing_trials:
            # Whoever is left may have to take over the trial of one that is lost.
            self.tuner_ids.add(tuner_id)
            return Trial(self.get_space(), status=IDLE)
        self.tuner_ids.discard(tuner_id)
        return trial


class Random(_Durable, oracles.RandomSearchOracle):
    """Settings drawn at random."""


class Bayesian(_Durable, oracles.BayesianOptimizationOracle):
    """Settings where a Gaussian process expects the best, or knows least."""

    def _populate(self, trial_id):
        # The same, whether or not the search was interrupted before.
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        found = super()._populate(trial_id)
        # Where there are few values the process comes back to the best of them, which would only be trained again.
        return self._random_populate_space() if self._duplicate(found.get("values") or {}) else found


class Hyperband(_Durable, oracles.HyperbandOracle):
    """Many settings for few epochs; the better part goes on."""


class Grid(_Durable, oracles.GridSearchOracle):
    """Every combination; a range without a step in ten values."""

    def reload(self):
        """Go on from what was saved."""
        super().reload()
        # It keeps its trials in the order of their values, and looks behind each for a combination that was not tried.
        values = lambda name: self.trials[name].hyperparameters.values  # noqa: E731
        order = functools.cmp_to_key(lambda one, other: self._compare(values(one), values(other)))
        for name in sorted(self.start_order, key=order):
            self._ordered_ids.insert(name)
        self._populate_next = list(self.start_order)


def oracle(
    kind: Kind,
    space: keras_tuner.HyperParameters,
    objective: str,
    *,
    trials: int,
    epochs: int,
    seed: int,
    may_start: Callable[[], bool],
    first: Mapping[str, Any] | None = None,
) -> keras_tuner.Oracle:
    """The oracle of a sweep.

    Args:
        space: every hyperparameter, declared.
        trials: at most. Of hyperband it counts each round of a trial.
        epochs: of hyperband's last round.
        may_start: asked before each new trial; False ends the search.
        first: what random and bayesian search begin with.
    """
    common: dict[str, Any] = {
        "objective": keras_tuner.Objective(objective, direction(objective)),
        "hyperparameters": space,
        "seed": seed,
        # Failures are counted by their reason, elsewhere.
        "max_consecutive_failed_trials": 10**9,
    }
    if kind == "hyperband":
        made = Hyperband(max_epochs=epochs, hyperband_iterations=10**6, **common)
    else:
        made = {"random": Random, "bayesian": Bayesian, "grid": Grid}[kind](max_trials=trials, **common)
    made.may_start = may_start
    made.first = first if first and kind in ("random", "bayesian") else {}
    made.verbose = 0
    return made


class Tuner(base_tuner.BaseTuner):
    """Keras Tuner's loop around a trial that something else runs.

    Args:
        oracle: says what is tried.
        folder: where the oracle's state lies; a search that was begun there goes on.
        attempt: runs a trial, from its name and its hyperparameters, and returns the objective's value. Raises Failed
            for settings that cannot be trained.
        asking: called whenever this asks for a trial.
    """

    def __init__(
        self,
        oracle,
        folder: Path,
        attempt: Callable[[str, keras_tuner.HyperParameters], float],
        asking: Callable[[], None] = lambda: None,
    ):
        self._attempt, self._asking = attempt, asking
        with contextlib.redirect_stdout(None):
            super().__init__(oracle, directory=str(folder.parent), project_name=folder.name)

    def _get_tuner_fname(self):
        # Keras Tuner has a name for each process, by which a search that goes on with other workers finds nothing.
        return str(Path(self.project_dir) / "tuner.json")

    def save(self):
        """Write the oracle's state; a worker has none."""
        if not self._is_worker():
            self.oracle.save()
            whole_files.write(Path(self._get_tuner_fname()), "{}")

    def pre_create_trial(self):
        """Wait a little: a worker that has to wait for others asks again and again."""
        self._asking()
        if self._is_worker():
            time.sleep(0.2)

    def run_trial(self, trial):
        """The objective's value, by name."""
        return {self.oracle.objective.name: self._attempt(trial.trial_id, trial.hyperparameters)}

    def _try_run_and_update_trial(self, trial, *fit_args, **fit_kwargs):
        # Keras Tuner's own takes every error for the trial's, and prints where it came from.
        try:
            self._run_and_update_trial(trial)
            trial.status = COMPLETED
        except Failed as failure:
            trial.status, trial.message = FAILED, str(failure)


class Failed(Exception):
    """A trial that could not be trained, with the reason."""


def best_so_far(history: History, objective: str) -> list[float]:
    """The best value of the objective up to each epoch.

    Example:
        >>> best_so_far([{"val_loss": 3.0}, {"val_loss": 1.0}, {"val_loss": 2.0}], "val_loss")
        [3.0, 1.0, 1.0]
    """
    best = better(objective)
    found: list[float] = []
    for row in history:
        found.append(best([*found[-1:], row[objective]]))
    return found


def is_hopeless(history: History, others: Sequence[History], objective: str, epochs: int | None) -> bool:
    """The median rule: the best value so far is worse than the median of what the others had after as many epochs.

    Golovin et al. (2017), Google Vizier, section 3.2.2, with the best value in place of the running average, which
    suits a rate that rises first. Not asked in the first fifth of the epochs, before the second, or with fewer than
    four others.

    Args:
        epochs: of a training, if known.
    """
    done = len(history)
    if done < max(EARLIEST, EARLIEST_SHARE * (epochs or 0)):
        return False
    reached = [best_so_far(other[:done], objective)[-1] for other in others if len(other) >= done]
    if len(reached) < FEWEST_OTHERS:
        return False
    mine, median = best_so_far(history, objective)[-1], statistics.median(reached)
    return mine > median if direction(objective) == "min" else mine < median
