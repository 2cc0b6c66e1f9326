"""The trainings of a sweep: each is begun at most once, leaves its result in a file, and can be looked at later."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasuite import config, run_directory, whole_files
from kerasuite.commands import run
from kerasuite.commands.sweeps import attempt, children
from kerasuite.commands.sweeps.attempt import LOG, ORACLE, RERUNS, RESULT, RUN, TRIALS, Job, Result
from kerasuite.commands.sweeps.searched import Searched
from kerasuite.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    import keras_tuner

TABLE = "trials.csv"
# So many failures for one reason end a sweep.
MOST_FAILURES = 3


@dataclasses.dataclass(frozen=True)
class Trials:
    """The trials, and the best of them again with fresh seeds.

    Args:
        sweep_dir: of the sweep.
        searched: what a trial's settings are made from.
        meanwhile: called now and then while one trains.
    """

    sweep_dir: Path
    searched: Searched
    meanwhile: Callable[[], None]

    def attempt(self, name: str, hp: keras_tuner.HyperParameters) -> float:
        """Run a trial, or take over what it gave before the sweep was interrupted.

        Raises:
            Failed: it cannot be trained.
        """
        from kerasuite.training import sweep

        folder = self.sweep_dir / TRIALS / name
        if not (folder / RESULT).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            self._write(self._trial(name, hp), folder)
        result = Result.read(folder / RESULT)
        if result.values != _values(hp):
            raise EnvironmentFault(
                f"{folder} is of other settings than trial {name} has: oracle/ was lost or changed. Start a new sweep "
                "with another --output."
            )
        if result.status == "failed":
            raise sweep.Failed(result.reason)
        return result.value

    def _trial(self, name: str, hp: keras_tuner.HyperParameters) -> Result:
        settings, place = self.searched.settings, f"{TRIALS}/{name}/{RUN}"
        if before := hp.values.get("tuner/trial_id"):
            # A later round of hyperband goes on where the one before it paused.
            earlier = Result.read(self.sweep_dir / TRIALS / before / RESULT)
            if earlier.status == "finished":
                return dataclasses.replace(earlier, name=name, trained=0, seconds=0.0)
            place = earlier.run
        values = _values(hp)
        try:
            own = self.searched.space(hp, settings)
            if self.searched.search.tuner == "hyperband" and own.total_epochs != settings.total_epochs:
                raise InputError("--tuner hyperband chooses the epochs itself: they cannot be searched too.")
        except InputError as error:
            return Result(name, values, "failed", None, 0, 0, 0.0, place, settings.seed, str(error))
        return self._train(name, values, own, place, epochs=hp.values.get("tuner/epochs"))

    def again(self, trial: Result, seed: int) -> Result:
        """A trial's settings with another seed, trained to the end, or what that gave before."""
        name = f"{trial.name}_seed_{seed}"
        folder = self.sweep_dir / RERUNS / name
        if not (folder / RESULT).is_file():
            settings = dataclasses.replace(self.settings_of(trial), seed=seed)
            self._write(self._train(name, dict(trial.values), settings, f"{RERUNS}/{name}/{RUN}"), folder)
        return Result.read(folder / RESULT)

    def _write(self, result: Result, folder: Path) -> None:
        result.write(folder)
        if result.status != "paused":
            # Not before the result is there: until then they are what is gone on from.
            shutil.rmtree(self.sweep_dir / result.run / run_directory.CHECKPOINTS, ignore_errors=True)

    def _train(
        self, name: str, values: dict[str, Any], settings: config.Settings, place: str, *, epochs: int | None = None
    ) -> Result:
        search, total = self.searched.search, self.searched.settings.total_epochs
        run_dir = self.sweep_dir / place
        run_dir.mkdir(parents=True, exist_ok=True)
        run.write_settings(run_dir, self.searched.name, settings)
        attempt.measured_once(self.sweep_dir, run_dir)
        job = Job(
            self.searched.name,
            settings,
            self.sweep_dir,
            place,
            values,
            self.searched.objective,
            epochs if total is not None and epochs != total else None,
            total,
            place.startswith(TRIALS) and search.stop_early and self._are_alike(settings),
        )
        begun = time.monotonic()
        end = lambda *how, reason="": Result(  # noqa: E731
            name, values, *how, time.monotonic() - begun, place, settings.seed, reason
        )
        try:
            return end(*children.call(attempt.train, job, log=run_dir.parent / LOG, meanwhile=self.meanwhile))
        except (InputError, EnvironmentFault, children.ChildError) as error:
            return end("failed", None, 0, 0, reason=str(error))

    def _are_alike(self, settings: config.Settings) -> bool:
        """Whether trials compare after as many epochs: not where they are of unlike lengths, since rates are too."""
        if self.searched.search.tuner == "hyperband" or self.searched.searches_length:
            return False
        return settings.total_epochs == self.searched.settings.total_epochs

    def results(self, folder: str = TRIALS) -> list[Result]:
        """What trials, or re-runs, have given so far, in their order."""
        return [Result.read(path) for path in attempt.in_order((self.sweep_dir / folder).glob(f"*/{RESULT}"))]

    def settings_of(self, trial: Result) -> config.Settings:
        """The settings that a trial was trained with."""
        path = self.sweep_dir / trial.run / run_directory.CONFIG
        return config.from_dict(type(self.searched.settings), whole_files.read_json(path)["settings"], str(path))

    def ranked(self) -> list[Result]:
        """The trials that may win, the best first: those that were trained to their end, and where hyperband got none
        so far, those that it trained longest. Of several with the same settings there is one."""
        last = {result.run: result for result in self.results()}.values()
        done = [result for result in last if result.status == "finished"]
        paused = [result for result in last if result.status == "paused"]
        longest = max((result.epochs for result in paused), default=0)
        sign = -1 if self.searched.higher_is_better else 1
        # What ended by itself in an early round of hyperband has not won against those that were to go on.
        is_over = any(result.epochs >= longest for result in done)
        able = done if is_over else [*done, *(result for result in paused if result.epochs == longest)]
        unlike: dict[str, Result] = {}
        for result in sorted(able, key=lambda result: sign * result.value):
            unlike.setdefault(repr(sorted(result.values.items())), result)
        return list(unlike.values())

    def failing(self) -> str:
        """The reason for which too many trials failed, if there is one; numbers in it may differ."""
        failed = [result.reason for result in self.results() if result.status == "failed"]
        alike = Counter(_without_numbers(reason) for reason in failed)
        for words, number in alike.most_common(1):
            if number >= MOST_FAILURES:
                return next(reason for reason in failed if _without_numbers(reason) == words)
        return ""

    def forget_failures(self) -> None:
        """Forget what ended the sweep before, and re-runs that failed: when it is begun again that may be mended.

        Where no trial has come to anything, all of the search is forgotten: it begins anew, perhaps in another space.
        """
        if self.failing() and all(result.status == "failed" for result in self.results()):
            for folder in (ORACLE, TRIALS):
                shutil.rmtree(self.sweep_dir / folder, ignore_errors=True)
        for folder in (TRIALS, RERUNS) if self.failing() else (RERUNS,):
            for result in self.results(folder):
                if result.status == "failed":
                    (self.sweep_dir / folder / result.name / RESULT).unlink()

    def refuse_without_result(self) -> None:
        """Raise InputError unless a trial may win."""
        if reason := self.failing():
            raise InputError(
                f"{MOST_FAILURES} trials failed for one reason, and the sweep was stopped: {reason} Mend that, then go "
                f"on by the same command; or search something else. {self.sweep_dir / TRIALS} has the log of each."
            )
        if not self.ranked():
            results = self.results()
            reasons = "; ".join(dict.fromkeys(result.reason for result in results))
            raise InputError(f"None of the {len(results)} trials could be trained: {reasons}")

    def write_table(self) -> None:
        """trials.csv: a row a trial, and a row a re-run."""
        rows = [("trial", each) for each in self.results()] + [("rerun", each) for each in self.results(RERUNS)]
        names = list(dict.fromkeys(name for _, each in rows for name in each.values))
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        told = ("status", "value", "epochs", "seconds", "seed", "run", "reason")
        table.writerow(["kind", "trial", *names, *told[:1], self.searched.objective, *told[2:]])
        for kind, each in rows:
            values = [each.values.get(name, "") for name in names]
            table.writerow([kind, each.name, *values, *(getattr(each, name) for name in told)])
        whole_files.write(self.sweep_dir / TABLE, text.getvalue())


def _values(hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    """What is searched, without what Keras Tuner keeps for itself."""
    return {name: value for name, value in hp.values.items() if not name.startswith("tuner/")}


def _without_numbers(reason: str) -> str:
    return re.sub(r"\d[\d.e+-]*", "#", reason)
