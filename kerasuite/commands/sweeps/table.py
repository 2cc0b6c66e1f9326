"""What a person sees of a sweep while it runs: a live table on a terminal, else a line for each trial."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasuite import run_directory, whole_files
from kerasuite.commands.sweeps.attempt import (
    RERUNS,
    RESULT,
    RUN,
    TRIALS,
    Result,
    in_order,
    objective_course,
)
from kerasuite.commands.sweeps.trials import TABLE, Trials
from kerasuite.errors import EnvironmentFault

CLOCK = "clock.json"
SHOW_SECONDS, MOST_ROWS = 1.0, 15


class Table:
    """The trials of a sweep, its best and its time; also keeps count of the time over interruptions.

    Args:
        trials: those of the sweep.
        seconds_left: for further trials; None where there is no end.
    """

    def __init__(self, trials: Trials, seconds_left: Callable[[], float | None]):
        self.trials, self.seconds_left, self.shown, self.live = trials, seconds_left, set(), None
        self.objective = trials.searched.objective
        self.clock = trials.sweep_dir / CLOCK
        self.earlier = whole_files.read_json(self.clock)["seconds"] if self.clock.is_file() else 0.0
        self.begun = self.last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the sweep began, interruptions not counted."""
        return self.earlier + time.monotonic() - self.begun

    def __enter__(self) -> Table:
        self.shown = {(folder, each.name) for folder, each in self._results()}
        if sys.stdout.isatty():
            from rich.live import Live

            self.live = Live(self._table(), auto_refresh=False)
            self.live.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.show(now=True)
        if self.live:
            self.live.__exit__(*error)

    def show(self, *, now: bool = False) -> None:
        """Show what there is; called often, it looks once a second."""
        if not now and time.monotonic() - self.last < SHOW_SECONDS:
            return
        self.last = time.monotonic()
        fresh = [(folder, each) for folder, each in self._results() if (folder, each.name) not in self.shown]
        self.shown |= {(folder, each.name) for folder, each in fresh}
        try:
            whole_files.write_json(self.clock, {"seconds": self.seconds})
            if fresh:
                self.trials.write_table()
        except (EnvironmentFault, OSError) as fault:
            # Both are written anew each time: a trial need not end for it.
            print(f"Warning: {self.clock.name} and {TABLE} are not up to date. {fault}", file=sys.stderr)
        if self.live:
            self.live.update(self._table(), refresh=True)
            return
        for folder, each in fresh:
            print(self.line(folder, each), flush=True)

    def line(self, folder: str, result: Result) -> str:
        """A training in one line."""
        what = "Trial" if folder == TRIALS else "Again, trial"
        values = _settings(result.values)
        if result.status == "failed":
            return f"{what} {result.name}  failed: {result.reason}  ({values})"
        how = "" if result.status == "finished" else f", {result.status}"
        return (
            f"{what} {result.name}  {self.objective} {result.value:.5g}  {result.epochs} epochs"
            f" in {result.seconds:.0f} s{how}  ({values}){self._left()}"
        )

    def _left(self) -> str:
        left = self.seconds_left()
        return "" if left is None else f"  {max(0.0, left) / 60:.1f} min left for trials"

    def _table(self) -> Any:
        from rich.table import Table as RichTable

        best = self.trials.ranked()[:1]
        said = f"{self.seconds / 60:.1f} min{self._left()}"
        said += f"; best {self.objective} {best[0].value:.5g}, trial {best[0].name}" if best else ""
        table = RichTable(title=f"{self.trials.sweep_dir}: {said}", title_justify="left")
        for column in ("trial", "settings", self.objective, "epochs", "seconds", ""):
            table.add_column(column)
        for folder, each in self._results()[-MOST_ROWS:]:
            name = each.name if folder == TRIALS else f"{each.name}, again"
            value = "" if each.value is None else f"{each.value:.5g}"
            told = each.reason or each.status
            table.add_row(name, _settings(each.values), value, str(each.epochs), f"{each.seconds:.0f}", told)
        for path in self._running():
            course = objective_course(path / RUN / run_directory.HISTORY, self.objective)
            table.add_row(path.name, "", f"{course[-1]:.5g}" if course else "", str(len(course)), "", "running")
        return table

    def _results(self) -> list[tuple[str, Result]]:
        return [(folder, each) for folder in (TRIALS, RERUNS) for each in self.trials.results(folder)]

    def _running(self) -> list[Path]:
        sweep_dir = self.trials.sweep_dir
        folders = [*sweep_dir.glob(f"{TRIALS}/*"), *sweep_dir.glob(f"{RERUNS}/*")]
        return [path for path in in_order(folders) if (path / RUN).is_dir() and not (path / RESULT).is_file()]


def _settings(values: Any) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
