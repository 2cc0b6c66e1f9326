"""Pictures of a sweep: the best value over time, and each setting against the objective."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars

from kerasuite.errors import InputError
from kerasuite.evaluation.drawing import COLOURS, drawing, literal, single_axes
from kerasuite.evaluation.importance import is_logarithmic, is_numeric

_COLUMNS = 3


@dataclass
class SweepDisplay:
    """The trials of a sweep.

    Args:
        trials: one dict a trial, in order: name, values (settings by name), status, value (None where it failed),
            seconds.
        objective: the name of the value.
        higher_is_better: which way it goes.
    """

    trials: list[dict[str, Any]]
    objective: str
    higher_is_better: bool

    @classmethod
    def from_trials(
        cls, trials: Sequence[Mapping[str, Any]], objective: str, *, higher_is_better: bool
    ) -> SweepDisplay:
        """Take over the trials.

        Raises:
            InputError: none has a value.
        """
        if all(trial["value"] is None for trial in trials):
            raise InputError("No trial has a value to show.")
        return cls([dict(trial) for trial in trials], objective, higher_is_better)

    @property
    def scored(self) -> list[dict[str, Any]]:
        """The trials that have a value."""
        return [trial for trial in self.trials if trial["value"] is not None]

    @property
    def best_so_far(self) -> np.ndarray:
        """The best value after each scored trial, however it ended, float (trials,)."""
        values = np.array([trial["value"] for trial in self.scored])
        return (np.maximum if self.higher_is_better else np.minimum).accumulate(values)

    def frame(self) -> polars.DataFrame:
        """One row a trial: name, its settings, status, value, seconds."""
        rows = [
            {"trial": trial["name"]}
            | {name: value if is_numeric([value]) else str(value) for name, value in trial["values"].items()}
            | {name: trial[name] for name in ("status", "value", "seconds")}
            for trial in self.trials
        ]
        return polars.DataFrame(rows, infer_schema_length=None)

    def plot(self, ax: Any = None) -> SweepDisplay:
        """Draw each trial's value over the time of training, and the best so far.

        Args:
            ax: Axes, or a Figure to fill, or None for a new one.
        """
        minutes = np.cumsum([trial["seconds"] for trial in self.trials]) / 60
        minutes = minutes[[trial["value"] is not None for trial in self.trials]]
        with drawing(ax, (6.4, 3.6)) as place:
            axes = single_axes(place)
            for status, marker, colour in (
                ("finished", "o", COLOURS[0]),
                ("paused", "s", COLOURS[5]),
                ("stopped", "x", COLOURS[3]),
            ):
                mine = [k for k, trial in enumerate(self.scored) if trial["status"] == status]
                if mine:
                    values = [self.scored[k]["value"] for k in mine]
                    axes.scatter(minutes[mine], values, marker=marker, color=colour, s=28, label=status, zorder=3)
            axes.step(minutes, self.best_so_far, where="post", color=COLOURS[1], label="best so far")
            axes.set(xlabel="minutes of training", ylabel=literal(self.objective), title="Best value over time")
            axes.legend()
        self.ax_, self.figure_ = axes, axes.figure
        return self

    def plot_settings(self, ax: Any = None) -> SweepDisplay:
        """Draw each setting against the objective, a panel a setting.

        Args:
            ax: a Figure to fill, or None for a new one.
        """
        names = list(dict.fromkeys(name for trial in self.scored for name in trial["values"]))
        rows = math.ceil(len(names) / _COLUMNS)
        columns = min(_COLUMNS, len(names))
        with drawing(ax, (3.2 * columns, 2.8 * rows)) as place:
            panels = place.subplots(rows, columns, squeeze=False, sharey=True).ravel()
            for name, panel in zip(names, panels):
                self._plot_setting(panel, name)
            for panel in panels[len(names) :]:
                panel.set_visible(False)
            for panel in panels[:: columns or 1]:
                panel.set_ylabel(literal(self.objective))
        self.ax_, self.figure_ = panels, panels[0].figure
        return self

    def _plot_setting(self, panel: Any, name: str) -> None:
        known = [trial for trial in self.scored if name in trial["values"]]
        values = [trial["values"][name] for trial in known]
        shown = values if is_numeric(values) else [literal(value, 12) for value in values]
        done = [trial["status"] == "finished" for trial in known]
        scores = [trial["value"] for trial in known]
        for kind, marker, colour in ((True, "o", COLOURS[0]), (False, "x", COLOURS[3])):
            mine = [k for k, each in enumerate(done) if each == kind]
            panel.scatter(
                [shown[k] for k in mine], [scores[k] for k in mine], marker=marker, color=colour, s=22, zorder=3
            )
        if is_logarithmic(values):
            panel.set_xscale("log")
        panel.set_title(literal(name))
