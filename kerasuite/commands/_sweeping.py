"""A sweep from its first trial to its report; each step looks at what is there already, and goes on from it."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import runpy
import statistics
import sys
import time
import typing
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasuite import cli, config, devices, run_directory
from kerasuite.commands import _attempt, _children, _workers, run
from kerasuite.commands._attempt import LOG, RERUNS, RESULT, RUN, TRIALS, Job, Result
from kerasuite.commands._sweep_table import Table
from kerasuite.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    import keras_tuner

DATA, TABLE, BEST, FINAL, ORACLE = "data.json", "trials.csv", "best.json", "best", "oracle"
# So many failures for one reason end a sweep.
MOST_FAILURES = 3
# A worker waits so long for the chief to have read the data.
_PATIENCE_SECONDS = 3600


def is_finished(sweep_dir: Path) -> bool:
    """A sweep is finished once its report is written, its last file."""
    return (sweep_dir / run_directory.REPORT).is_file()


@dataclasses.dataclass
class Sweeping:
    """A sweep in a directory.

    Args:
        settings: those that every trial begins with.
        search: those of the sweep itself.
    """

    sweep_dir: Path
    name: str
    settings: config.Settings
    search: Any

    # -- what is searched --

    @cached_property
    def module(self) -> Any:
        """The pipeline."""
        return cli.pipeline(self.name)

    @cached_property
    def objective(self) -> str:
        """The number of validation that decides."""
        there = self.settings.objectives
        wanted = self.search.objective or there[0]
        if wanted not in there:
            raise InputError(f"--objective is {wanted}; {self.name} with these settings has {', '.join(there)}.")
        return wanted

    @cached_property
    def space(self) -> Callable[[keras_tuner.HyperParameters, Any], Any]:
        """From hyperparameters and the settings to a trial's settings."""
        from kerasuite.training import space

        if self.search.set:
            return space.of_words(self.search.set, typing.get_type_hints(type(self.settings), include_extras=True))
        if not self.search.space:
            return self.module.space
        try:
            found = runpy.run_path(self.search.space)
        except Exception as error:
            raise InputError(f"--space {self.search.space} cannot be run: {type(error).__name__}: {error}") from error
        if not callable(found.get("space")):
            raise InputError(f"--space {self.search.space} has no function space(hp, config).")
        return found["space"]

    def declared(self) -> keras_tuner.HyperParameters:
        """The hyperparameters, each with its range.

        Raises:
            InputError: the space or the objective cannot be used; says why.
        """
        devices.import_tensorflow(look=False)
        import keras_tuner

        self.objective  # noqa: B018

        hp = keras_tuner.HyperParameters()
        try:
            made = self.space(hp, self.settings)
        except InputError:
            # Of all combinations some may be none; each is told of when it is tried.
            if not hp.space:
                raise
            made = self.settings
        if not isinstance(made, type(self.settings)):
            raise InputError(
                f"space(hp, config) returned a {type(made).__name__}; expected the config, changed by "
                "dataclasses.replace."
            )
        if not hp.space:
            raise InputError("The space has nothing to choose from. Name what is searched by --set.")
        self._refuse_incomparable({each.name for each in hp.space} | _changes(self.settings, made))
        if self.search.tuner == "hyperband":
            self._refuse_for_hyperband(hp)
        return hp

    def _refuse_incomparable(self, searched: set[str]) -> None:
        if shared := searched & self.settings.shared:
            raise InputError(f"{', '.join(sorted(shared))} cannot be searched: all trials share it.")
        if self.objective == "val_loss" and (other := searched & self.settings.loss_by):
            raise InputError(
                f"{', '.join(sorted(other))} changes what the loss is, so losses cannot be compared: pass --objective "
                f"{self.settings.objectives[0]}, or search something else."
            )

    def _refuse_for_hyperband(self, hp: keras_tuner.HyperParameters) -> None:
        if {"epochs", "head_epochs"} & {each.name for each in hp.space}:
            raise InputError("--tuner hyperband chooses the epochs itself: they cannot be searched too.")
        if self.settings.total_epochs is None:
            raise InputError("--tuner hyperband parts the epochs: pass --epochs.")

    # -- the course of things --

    def go_on(self) -> None:
        """Search, train the best again, run the winner, report. One of several workers searches, and that is all."""
        if is_finished(self.sweep_dir):
            print("This sweep is finished; nothing to do.")
            return
        if _workers.is_worker():
            self._wait_for_rows()
            self.tuner().search()
            return
        self.store_rows()
        with Table(self) as self.table:
            self._search()
            self._refuse_without_result()
            reruns = self._rerun()
        self._conclude(reruns)

    def store_rows(self) -> None:
        """Read the data once for all trials; the test rows are not kept."""
        if (self.sweep_dir / DATA).is_file():
            return
        data = _children.call(_attempt.store_rows, self.name, self.settings, self.sweep_dir)
        for sentence in (*data["notes"], *(f"Warning: {sentence}" for sentence in data["warnings"])):
            print(sentence, file=sys.stderr)
        run_directory.write_json(self.sweep_dir / DATA, data)

    def _wait_for_rows(self) -> None:
        begun = time.monotonic()
        while not (self.sweep_dir / DATA).is_file():
            if time.monotonic() - begun > _PATIENCE_SECONDS:
                raise EnvironmentFault(
                    f"{self.sweep_dir} has no rows after {_PATIENCE_SECONDS} s. Start the chief by the same command, "
                    "with --output in a folder that all machines share."
                )
            time.sleep(1)

    # -- searching --

    def tuner(self) -> Any:
        """Keras Tuner, with what was searched so far."""
        from kerasuite.training import sweep

        oracle = sweep.oracle(
            self.search.tuner,
            self.declared(),
            self.objective,
            trials=self.search.trials,
            epochs=self.settings.total_epochs or 1,
            seed=self.settings.seed + 1,  # a seed of 0 counts as none
            may_start=self._may_start,
        )
        return sweep.Tuner(oracle, self.sweep_dir / ORACLE, self.attempt)

    def _search(self) -> None:
        if _workers.is_chief():
            _workers.serve(self.tuner(), self.table.show)
        elif self.search.workers > 1:
            _workers.search(self.sweep_dir, self.search.workers, self.tuner, self.table.show)
        else:
            tuner = self.tuner()
            tuner.oracle.hand_on([tuner.tuner_id])
            tuner.search()

    def _may_start(self) -> bool:
        """Whether another trial may begin: there is time, and nothing fails again and again."""
        results = self.results(TRIALS)
        if len(results) >= self.search.trials or _failing(results):
            return False
        return self.search.minutes is None or not results or self.seconds_left() > 0

    def seconds_left(self) -> float:
        """Seconds for further trials, without those of what is trained at the end."""
        results = [result for result in self.results(TRIALS) if result.epochs]
        total = self.settings.total_epochs
        # What was paused or stopped would have taken longer to its end.
        whole = lambda result: 1 if result.status == "finished" or total is None else total / result.epochs  # noqa: E731
        typical = statistics.median(result.seconds * whole(result) for result in results) if results else 0.0
        at_the_end = min(self.search.best, max(len(results), 1)) * self.search.fresh_seeds + 1
        # One more trial has to find room too.
        return 60 * self.search.minutes - self.table.seconds - (at_the_end + 1) * typical

    def attempt(self, name: str, hp: keras_tuner.HyperParameters) -> float:
        """Run a trial, or take over what it gave before the sweep was interrupted.

        Raises:
            Failed: it cannot be trained.
        """
        from kerasuite.training import sweep

        folder = self.sweep_dir / TRIALS / name
        if not (folder / RESULT).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            self._trial(name, hp).write(folder)
        result = Result.read(folder / RESULT)
        if result.status == "failed":
            raise sweep.Failed(result.reason)
        return result.value

    def _trial(self, name: str, hp: keras_tuner.HyperParameters) -> Result:
        place, before = f"{TRIALS}/{name}/{RUN}", hp.values.get("tuner/trial_id")
        if before:
            # A later round of hyperband goes on where the one before it paused.
            earlier = Result.read(self.sweep_dir / TRIALS / before / RESULT)
            if earlier.status == "finished":
                return dataclasses.replace(earlier, name=name, seconds=0.0)
            place = earlier.run
        values = {each: value for each, value in hp.values.items() if not each.startswith("tuner/")}
        try:
            settings = self.space(hp, self.settings)
        except InputError as error:
            return Result(name, values, "failed", None, 0, 0.0, place, self.settings.seed, str(error))
        return self._train(name, values, settings, place, epochs=hp.values.get("tuner/epochs"))

    def _train(
        self, name: str, values: dict[str, Any], settings: config.Settings, place: str, *, epochs: int | None = None
    ) -> Result:
        run_dir = self.sweep_dir / place
        run_dir.mkdir(parents=True, exist_ok=True)
        run.write_settings(run_dir, self.name, settings)
        _attempt.measured_once(self.sweep_dir, run_dir)
        is_trial = place.startswith(TRIALS)
        total = self.settings.total_epochs
        job = Job(
            self.name,
            settings,
            self.sweep_dir,
            place,
            values,
            self.objective,
            epochs if total is not None and epochs != total else None,
            total,
            is_trial and self.search.stop_early and self.search.tuner != "hyperband",
        )
        begun = time.monotonic()
        end = lambda *how, reason="": Result(  # noqa: E731
            name, values, *how, time.monotonic() - begun, place, settings.seed, reason
        )
        try:
            return end(*_children.call(_attempt.train, job, log=run_dir.parent / LOG, meanwhile=self.meanwhile))
        except (InputError, EnvironmentFault, _children.ChildError) as error:
            return end("failed", None, 0, reason=str(error))

    def meanwhile(self) -> None:
        """What is done while a child works."""
        if hasattr(self, "table"):
            self.table.show()

    def results(self, folder: str) -> list[Result]:
        """What trials, or re-runs, have given so far, in the order of their names."""
        return [Result.read(path) for path in sorted((self.sweep_dir / folder).glob(f"*/{RESULT}"))]

    # -- choosing --

    def _refuse_without_result(self) -> None:
        results = self.results(TRIALS)
        if reason := _failing(results):
            raise InputError(
                f"{MOST_FAILURES} trials failed for one reason, and the sweep was stopped: {reason} Mend that, or what "
                f"is searched, and start anew; {self.sweep_dir / TRIALS} has the log of each."
            )
        if not self.ranked():
            reasons = "; ".join(dict.fromkeys(result.reason for result in results))
            raise InputError(f"None of the {len(results)} trials could be trained: {reasons}")

    def ranked(self) -> list[Result]:
        """The trials that may win, the best first: those that were trained to their end, or where hyperband got none
        so far, those that it trained longest."""
        last = {result.run: result for result in self.results(TRIALS)}.values()
        done = [result for result in last if result.status == "finished"]
        paused = [result for result in last if result.status == "paused"]
        longest = max((result.epochs for result in paused), default=0)
        sign = -1 if self.is_higher_better else 1
        able = done or [result for result in paused if result.epochs == longest]
        return sorted(able, key=lambda result: sign * result.value)

    @property
    def is_higher_better(self) -> bool:
        """Which way the objective goes."""
        from kerasuite.training import sweep

        return sweep.direction(self.objective) == "max"

    def _rerun(self) -> dict[str, list[Result]]:
        """The best trials, each trained again with fresh seeds: a maximum of many trials flatters itself."""
        found: dict[str, list[Result]] = {}
        for trial in self.ranked()[: self.search.best]:
            settings = self._settings_of(trial)
            for seed in range(self.settings.seed + 1, self.settings.seed + 1 + self.search.fresh_seeds):
                name = f"{trial.name}_seed_{seed}"
                folder = self.sweep_dir / RERUNS / name
                if not (folder / RESULT).is_file():
                    again = dataclasses.replace(settings, seed=seed)
                    self._train(name, dict(trial.values), again, f"{RERUNS}/{name}/{RUN}").write(folder)
                result = Result.read(folder / RESULT)
                if result.status == "finished":
                    found.setdefault(trial.name, []).append(result)
        if not found:
            raise InputError(f"None of the best trials could be trained again; see {self.sweep_dir / RERUNS}.")
        return found

    def _settings_of(self, trial: Result) -> config.Settings:
        path = self.sweep_dir / trial.run / run_directory.CONFIG
        return config.from_dict(type(self.settings), run_directory.read_json(path)["settings"], str(path))

    def _conclude(self, reruns: dict[str, list[Result]]) -> None:
        """Run the settings with the best mean, once, on the test rows, and report."""
        from kerasuite.evaluation import sweep_report

        best = max if self.is_higher_better else min
        means = {name: statistics.fmean(result.value for result in results) for name, results in reruns.items()}
        winner = next(trial for trial in self.ranked() if trial.name == best(means, key=means.get))
        settings = dataclasses.replace(self._settings_of(winner), seed=self.settings.seed)
        record = {
            "pipeline": self.name,
            "settings": dataclasses.asdict(settings),
            "objective": self.objective,
            "trial": winner.name,
            "value_in_sweep": winner.value,
            "values_of_fresh_seeds": [result.value for result in reruns[winner.name]],
            "mean_of_fresh_seeds": means[winner.name],
        }
        run_directory.write_json(self.sweep_dir / BEST, record)
        settings = dataclasses.replace(settings, output=str(self.sweep_dir / FINAL))
        _children.call(_final, self.name, settings, self.sweep_dir)
        self.write_table()
        _attempt.forget(self.sweep_dir)
        sweep_report.write(
            self.sweep_dir,
            pipeline=self.name,
            objective=self.objective,
            higher_is_better=self.is_higher_better,
            trials=[dataclasses.asdict(each) for each in self.results(TRIALS)],
            reruns={name: [each.value for each in results] for name, results in reruns.items()},
            winner=winner.name,
            search=dataclasses.asdict(self.search),
            command=run_directory.read_json(self.sweep_dir / "sweep.json")["command"],
            repeat=config.command(self.name, settings),
            seconds=self.table.seconds,
            final=self.sweep_dir / FINAL,
        )

    def write_table(self) -> None:
        """trials.csv: a row a trial, and a row a re-run."""
        rows = [("trial", each) for each in self.results(TRIALS)] + [("rerun", each) for each in self.results(RERUNS)]
        names = list(dict.fromkeys(name for _, each in rows for name in each.values))
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        told = ("status", "value", "epochs", "seconds", "seed", "run", "reason")
        table.writerow(["kind", "trial", *names, *told[:1], self.objective, *told[2:]])
        for kind, each in rows:
            values = [each.values.get(name, "") for name in names]
            table.writerow([kind, each.name, *values, *(getattr(each, name) for name in told)])
        run_directory.write(self.sweep_dir / TABLE, text.getvalue())


def _changes(one: config.Settings, other: config.Settings) -> set[str]:
    names = [field.name for field in dataclasses.fields(one)]
    return {name for name in names if getattr(one, name) != getattr(other, name)}


def _failing(results: Sequence[Result]) -> str:
    """The reason for which too many trials failed, if there is one; numbers in it may differ."""
    alike = Counter(re.sub(r"\d[\d.e+-]*", "#", each.reason) for each in results if each.status == "failed")
    for words, number in alike.most_common(1):
        if number >= MOST_FAILURES:
            return next(each.reason for each in results if re.sub(r"\d[\d.e+-]*", "#", each.reason) == words)
    return ""


def _final(name: str, settings: config.Settings, sweep_dir: Path) -> None:
    """The run that reads the test rows, as `kerasuite run` does it, on the same rows and in the same arithmetic."""
    run_dir = Path(settings.output)
    if run_directory.is_finished(run_dir):
        return
    if not (run_dir / run_directory.CONFIG).is_file():
        run.begin(name, settings)
    if settings.seeds == 1:
        run_directory.require_same(run_dir, "data", run_directory.read_json(sweep_dir / DATA)["fingerprint"])
        _attempt.measured_once(sweep_dir, run_dir)
    run.go_on(run_dir, name, settings)
