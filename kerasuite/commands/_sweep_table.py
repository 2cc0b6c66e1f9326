"""What a person sees of a sweep while it runs: a live table on a terminal, else a line for each trial."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from kerasuite import run_directory
from kerasuite.commands._attempt import RERUNS, RESULT, RUN, TRIALS, Result, objective_course

CLOCK = "clock.json"
SHOW_SECONDS, MOST_ROWS = 1.0, 15


class Table:
    """The trials of a sweep, its best and its time; also keeps count of the time over interruptions.

    Args:
        sweep: what is told of; it has `sweep_dir`, `objective`, `search`, `results`, `ranked` and `seconds_left`.
    """

    def __init__(self, sweep: Any):
        self.sweep, self.shown, self.live = sweep, set(), None
        self.clock = sweep.sweep_dir / CLOCK
        self.earlier = run_directory.read_json(self.clock)["seconds"] if self.clock.is_file() else 0.0
        self.begun = self.last = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the sweep began, interruptions not counted."""
        return self.earlier + time.monotonic() - self.begun

    def __enter__(self) -> Table:
        self.shown = {(folder, each.name) for folder in (TRIALS, RERUNS) for each in self.sweep.results(folder)}
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
        run_directory.write_json(self.clock, {"seconds": self.seconds})
        results = [(folder, each) for folder in (TRIALS, RERUNS) for each in self.sweep.results(folder)]
        fresh = [(folder, each) for folder, each in results if (folder, each.name) not in self.shown]
        self.shown |= {(folder, each.name) for folder, each in fresh}
        if fresh:
            self.sweep.write_table()
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
            f"{what} {result.name}  {self.sweep.objective} {result.value:.5g}  {result.epochs} epochs"
            f" in {result.seconds:.0f} s{how}  ({values}){self._left()}"
        )

    def _left(self) -> str:
        if self.sweep.search.minutes is None:
            return ""
        return f"  {max(0.0, self.sweep.seconds_left()) / 60:.1f} min left for trials"

    def _table(self) -> Any:
        from rich.table import Table as RichTable

        sweep = self.sweep
        results = [(folder, each) for folder in (TRIALS, RERUNS) for each in sweep.results(folder)]
        best = sweep.ranked()[:1]
        said = f"{self.seconds / 60:.1f} min{self._left()}"
        said += f"; best {sweep.objective} {best[0].value:.5g}, trial {best[0].name}" if best else ""
        table = RichTable(title=f"{sweep.sweep_dir}: {said}", title_justify="left")
        for column in ("trial", "settings", sweep.objective, "epochs", "seconds", ""):
            table.add_column(column)
        for folder, each in results[-MOST_ROWS:]:
            name = each.name if folder == TRIALS else f"{each.name}, again"
            value = "" if each.value is None else f"{each.value:.5g}"
            told = each.reason or each.status
            table.add_row(name, _settings(each.values), value, str(each.epochs), f"{each.seconds:.0f}", told)
        for path in self._running():
            course = objective_course(path / RUN / run_directory.HISTORY, sweep.objective)
            table.add_row(path.name, "", f"{course[-1]:.5g}" if course else "", str(len(course)), "", "running")
        return table

    def _running(self) -> list[Path]:
        folders = [*self.sweep.sweep_dir.glob(f"{TRIALS}/*"), *self.sweep.sweep_dir.glob(f"{RERUNS}/*")]
        return [path for path in sorted(folders) if (path / RUN).is_dir() and not (path / RESULT).is_file()]


def _settings(values: Any) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
