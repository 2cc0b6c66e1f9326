"""A sweep from its first trial to its report; each step looks at what is there already, and goes on from it."""

from __future__ import annotations

import dataclasses
import operator
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasuite import config, run_directory, whole_files
from kerasuite.commands import run
from kerasuite.commands.sweeps import attempt, children, workers
from kerasuite.commands.sweeps.attempt import ORACLE, RERUNS, RESULT, TRIALS, Result
from kerasuite.commands.sweeps.searched import Searched
from kerasuite.commands.sweeps.table import Table
from kerasuite.commands.sweeps.trials import Trials
from kerasuite.errors import EnvironmentFault, InputError

SWEEP, DATA, BEST, FINAL = "sweep.json", "data.json", "best.json", "best"
# Share of the minutes for what is trained again.
MOST_FOR_RERUNS = 1 / 3
# A worker waits so long for the chief to have read the data.
_PATIENCE_SECONDS = 3600


def is_finished(sweep_dir: Path) -> bool:
    """A sweep is finished once its report is written, its last file."""
    return (sweep_dir / run_directory.REPORT).is_file()


def seconds_of_training(results: Sequence[Result], epochs: int | None) -> float:
    """Seconds that a training to its end takes, from trials of which some were paused or stopped.

    What every trial takes before its first epoch is told from the epochs' own time where trials differ in length.

    Args:
        epochs: of a training to its end, if known.

    Example:
        >>> one, three = (Result("0", {}, "paused", 0.5, n, n, seconds, "", 0) for n, seconds in ((1, 5.0), (3, 9.0)))
        >>> seconds_of_training([one, three], 10), seconds_of_training([three], 9)
        (23.0, 27.0)
    """
    if not results:
        return 0.0
    if epochs is None:
        # Of those that were stopped nothing says how much longer they would have gone on.
        whole = [result for result in results if result.status == "finished"]
        return statistics.median(result.seconds for result in whole or results)
    trained, seconds = ([getattr(result, name) for result in results] for name in ("trained", "seconds"))
    if len({*trained}) > 1:
        line = statistics.linear_regression(trained, seconds)
        if line.slope > 0 and line.intercept > 0:
            return line.intercept + line.slope * epochs
    return epochs * statistics.median(map(operator.truediv, seconds, trained))


class Course:
    """A sweep in a directory.

    Args:
        sweep_dir: of the sweep; has sweep.json.
        searched: what is searched.
    """

    def __init__(self, sweep_dir: Path, searched: Searched):
        self.sweep_dir, self.searched = sweep_dir, searched
        self.settings, self.search = searched.settings, searched.search
        self.trials = Trials(sweep_dir, searched, self._meanwhile)
        self.table = Table(self.trials, self.seconds_left)

    def go_on(self) -> None:
        """Search, train the best again, run the winner, report. One of several workers searches, and that is all."""
        if workers.is_worker():
            self._wait_for_rows()
            workers.run_trials(self.tuner)
            return
        self.trials.forget_failures()
        self._store_rows()
        with self.table:
            self._search()
            self.trials.refuse_without_result()
            again = self._again()
        self._conclude(again)

    def _meanwhile(self) -> None:
        """What a process does now and then while something trains: a worker is alive, and others show how it goes."""
        if workers.is_worker():
            workers.beat(self.sweep_dir)
        else:
            self.table.show()

    def _store_rows(self) -> None:
        """Read the data once for all trials; the test rows are not kept. A sweep that goes on must find them again."""
        if (self.sweep_dir / DATA).is_file():
            known = whole_files.read_json(self.sweep_dir / DATA)["fingerprint"]
            found = children.call(attempt.fingerprint, self.searched.name, self.settings)
            if found != known:
                raise InputError(
                    f"The data are not those with which the sweep in {self.sweep_dir} started (fingerprint {found}, "
                    f"was {known}). Put them back as they were, or start a new sweep with another --output."
                )
            return
        data = children.call(attempt.store_rows, self.searched.name, self.settings, self.sweep_dir)
        for sentence in (*data["notes"], *(f"Warning: {sentence}" for sentence in data["warnings"])):
            print(sentence, file=sys.stderr)
        whole_files.write_json(self.sweep_dir / DATA, data)

    def _wait_for_rows(self) -> None:
        begun = time.monotonic()
        while not (self.sweep_dir / DATA).is_file():
            if time.monotonic() - begun > _PATIENCE_SECONDS:
                raise EnvironmentFault(
                    f"{self.sweep_dir} has no rows after {_PATIENCE_SECONDS} s. Start the chief by the same command, "
                    "with --output in a folder that all machines share."
                )
            time.sleep(1)

    def tuner(self) -> Any:
        """Keras Tuner, with what was searched so far."""
        from kerasuite.training import sweep

        declared = self.searched.declared()
        oracle = sweep.oracle(
            self.search.tuner,
            declared,
            self.searched.objective,
            trials=self.search.trials,
            epochs=self.settings.total_epochs or 1,
            seed=self.settings.seed + 1,  # a seed of 0 counts as none
            may_start=self._may_start,
            first=self.searched.own_values(declared),
        )
        made = sweep.Tuner(oracle, self.sweep_dir / ORACLE, self.trials.attempt, self._meanwhile)
        if not workers.is_worker():
            # A space that was mended holds for what is drawn from now on.
            oracle.hyperparameters = declared
            results = self.sweep_dir / TRIALS
            failed = [name for name, trial in oracle.trials.items() if trial.status == sweep.FAILED]
            oracle.retry([name for name in failed if not (results / name / RESULT).is_file()])
        return made

    def _search(self) -> None:
        if workers.is_chief():
            workers.serve(self.sweep_dir, self.tuner(), self.table.show)
        elif self.search.workers > 1:
            workers.search(self.sweep_dir, self.search.workers, self.tuner, self.table.show)
        else:
            tuner = self.tuner()
            tuner.oracle.hand_on([tuner.tuner_id])
            tuner.search()

    def _may_start(self) -> bool:
        """Whether another trial may begin: there is time, and nothing fails again and again."""
        results = self.trials.results()
        if len(results) >= self.search.trials or self.trials.failing():
            return False
        return not results or self.seconds_left() is None or self.seconds_left() > 0

    def seconds_left(self) -> float | None:
        """Seconds for further trials, without those of what is trained at the end; None if there is no end."""
        if self.search.minutes is None:
            return None
        # The last run's baselines and report are taken to last as long as its training: nothing tells before.
        at_the_end = min(self._num_again(), max(len(self._trained()), 1)) * self.search.fresh_seeds + 2
        # One more trial has to find room too.
        whole = (at_the_end + 1) * seconds_of_training(self._trained(), self.settings.total_epochs)
        return 60 * self.search.minutes - self.table.seconds - whole

    def _trained(self) -> list[Result]:
        return [result for result in self.trials.results() if result.trained]

    def _num_again(self) -> int:
        """Trials that are trained again: fewer than asked for where these would leave little time for the search."""
        each = self.search.fresh_seeds * seconds_of_training(self._trained(), self.settings.total_epochs)
        if self.search.minutes is None or not each:
            return self.search.best
        return max(1, min(self.search.best, int(MOST_FOR_RERUNS * 60 * self.search.minutes / each)))

    def _again(self) -> dict[str, list[Result]]:
        """The best trials, each trained again with fresh seeds: a maximum of many trials flatters itself."""
        first = self.settings.seed + 1
        seeds = range(first, first + self.search.fresh_seeds)
        done = {result.name for result in self.trials.results(RERUNS)}
        found: dict[str, list[Result]] = {}
        for trial in self.trials.ranked()[: self._num_again()]:
            # What was trained before an interruption counts, however little time is left.
            is_done = all(f"{trial.name}_seed_{seed}" in done for seed in seeds)
            if found and not is_done and not self._has_time_for(trial):
                break
            results = [self.trials.again(trial, seed) for seed in seeds]
            # Settings that fail with one seed of two are not held by the other alone.
            if all(result.status == "finished" for result in results):
                found[trial.name] = results
        if not found:
            raise InputError(f"None of the best trials could be trained again; see {self.sweep_dir / RERUNS}.")
        return found

    def _has_time_for(self, trial: Result) -> bool:
        """Whether a trial's settings may be trained again before the last run: some take longer than others."""
        if self.search.minutes is None:
            return True
        own = seconds_of_training([trial], self.settings.total_epochs) if trial.trained else 0.0
        return 60 * self.search.minutes - self.table.seconds > (self.search.fresh_seeds + 2) * own

    def _conclude(self, again: dict[str, list[Result]]) -> None:
        """Run the settings with the best mean, once, on the test rows, and report."""
        from kerasuite.evaluation import sweep_report

        best = max if self.searched.higher_is_better else min
        values = {name: [result.value for result in results] for name, results in again.items()}
        means = {name: statistics.fmean(each) for name, each in values.items()}
        winner = next(trial for trial in self.trials.ranked() if trial.name == best(means, key=means.get))
        settings = dataclasses.replace(self.trials.settings_of(winner), seed=self.settings.seed)
        record = {
            "pipeline": self.searched.name,
            "settings": dataclasses.asdict(settings),
            "objective": self.searched.objective,
            "higher_is_better": self.searched.higher_is_better,
            "trial": winner.name,
            "value_in_sweep": winner.value,
            "values_of_fresh_seeds": values[winner.name],
            "mean_of_fresh_seeds": means[winner.name],
        }
        counts = whole_files.read_json(self.sweep_dir / DATA)["counts"]
        whole_files.write_json(self.sweep_dir / BEST, record)
        settings = dataclasses.replace(settings, output=str(self.sweep_dir / FINAL))
        children.call(_final, self.searched.name, settings, self.sweep_dir)
        self.trials.write_table()
        sweep_report.write(
            self.sweep_dir,
            pipeline=self.searched.name,
            objective=self.searched.objective,
            higher_is_better=self.searched.higher_is_better,
            trials=[dataclasses.asdict(each) for each in self.trials.results()],
            reruns=values,
            winner=winner.name,
            num_validation=settings.num_validated(counts["validation"]),
            search=dataclasses.asdict(self.search),
            command=whole_files.read_json(self.sweep_dir / SWEEP)["command"],
            repeat=config.command(self.searched.name, settings),
            seconds=self.table.seconds,
            final=self.sweep_dir / FINAL,
            failed_again=[(each.name, each.reason) for each in self.trials.results(RERUNS) if each.status == "failed"],
        )
        attempt.forget(self.sweep_dir)


def _final(name: str, settings: config.Settings, sweep_dir: Path) -> None:
    """The run that reads the test rows, as `kerasuite run` does it, on the same rows and in the same arithmetic."""
    run_dir = Path(settings.output)
    if run_directory.is_finished(run_dir):
        return
    if not (run_dir / run_directory.CONFIG).is_file():
        run.begin(name, settings)
    run_directory.require_same(run_dir, "data", whole_files.read_json(sweep_dir / DATA)["fingerprint"])
    attempt.measured_once(sweep_dir, run_dir)
    run.go_on(run_dir, name, settings)
