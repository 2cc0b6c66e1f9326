"""Pictures of a run: how training went, and what the model got wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars

from kerasuite.errors import InputError
from kerasuite.evaluation.drawing import COLOURS, drawing, literal, single_axes
from kerasuite.evaluation.metrics import check_probabilities
from kerasuite.evaluation.sheet import SheetDisplay


@dataclass
class HistoryDisplay:
    """The course of training.

    Args:
        history: one dict an epoch: epoch, loss, val_loss, accuracy, val_accuracy and the like, numbers.
        stages: the position of each stage's first epoch, and its name, where a training has several.
    """

    history: list[dict[str, float]]
    stages: tuple[tuple[int, str], ...] = ()

    @classmethod
    def from_history(cls, rows: Sequence[Mapping[str, Any]]) -> HistoryDisplay:
        """Take over history rows, also as text from a csv file; what is empty or no number becomes NaN.

        Example:
            >>> HistoryDisplay.from_history([{"epoch": "1", "loss": "0.5", "val_loss": ""}]).history
            [{'epoch': 1.0, 'loss': 0.5, 'val_loss': nan}]
        """
        if not rows:
            raise InputError("The history has no epoch to show: expected at least one row.")
        names = [str(row.get("stage", "")) for row in rows]
        stages = tuple((k, name) for k, name in enumerate(names) if name and (k == 0 or names[k - 1] != name))
        numbers = [{name: _number(value) for name, value in row.items() if name != "stage"} for row in rows]
        return cls(numbers, stages)

    def frame(self) -> polars.DataFrame:
        """One row an epoch."""
        return polars.DataFrame(self.history, infer_schema_length=None)

    def plot(self, ax: Any = None, *, metric: str | None = None) -> HistoryDisplay:
        """Draw one panel for the loss, and one for a metric.

        Args:
            ax: Axes (the loss alone is drawn then), or a Figure to fill, or None for a new one.
            metric: the second panel's; None takes accuracy, or else the first that has a val_ twin.
        """
        from matplotlib.axes import Axes

        metric = metric or self._metric()
        panels = ["loss", metric] if metric and not isinstance(ax, Axes) else ["loss"]
        with drawing(ax, (4.6 * len(panels), 3.4)) as place:
            axes = [place] if isinstance(place, Axes) else place.subplots(1, len(panels), squeeze=False)[0]
            for panel, name in zip(axes, panels):
                self._plot_panel(panel, name)
        self.ax_, self.figure_ = (axes[0] if len(panels) == 1 else axes), axes[0].figure
        return self

    def _metric(self) -> str | None:
        names = [name for name in self.history[0] if f"val_{name}" in self.history[0] and name != "loss"]
        return "accuracy" if "accuracy" in names else next(iter(names), None)

    def _plot_panel(self, ax: Any, name: str) -> None:
        from matplotlib.ticker import MaxNLocator

        epochs = [row.get("epoch", position + 1) for position, row in enumerate(self.history)]
        for key, label, colour, marker in (
            (name, "train", COLOURS[0], "o"),
            (f"val_{name}", "validation", COLOURS[1], "s"),
        ):
            if any(key in row for row in self.history):
                values = [row.get(key, math.nan) for row in self.history]
                ax.plot(
                    epochs, values, color=colour, marker=marker, markersize=4 if len(epochs) <= 40 else 0, label=label
                )
        for first, stage in self.stages:
            if first:
                ax.axvline(epochs[first] - 0.5, color="#8a94a0", linewidth=1, linestyle=":")
            words = literal(stage.replace("_", " "), 22)
            place = {"xy": (epochs[first], 1), "xycoords": ("data", "axes fraction")}
            ax.annotate(words, **place, xytext=(0, -10), textcoords="offset points", fontsize=8, color="#5b6675")
        ax.set_title(name.replace("_", " ").capitalize())
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        if len(epochs) == 1:
            ax.set_xlim(epochs[0] - 1, epochs[0] + 1)
        ax.legend()


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


@dataclass
class MistakesDisplay:
    """The wrong predictions that the model was most sure of: often wrong labels, always instructive.

    Args:
        index: int array (m,), the row in the test set, most confident first.
        ids: what each row is called.
        labels: int array (m,); predictions: int array (m,), positions in class_names.
        confidence: float array (m,), the prediction's probability.
        total: how many mistakes there are in all.
    """

    index: np.ndarray
    ids: list[str]
    labels: np.ndarray
    predictions: np.ndarray
    confidence: np.ndarray
    class_names: Sequence[str]
    total: int

    @classmethod
    def from_predictions(
        cls,
        labels: np.ndarray,
        probabilities: np.ndarray,
        ids: Sequence[str],
        class_names: Sequence[str],
        *,
        n: int = 24,
    ) -> MistakesDisplay:
        """Pick the n most confident mistakes; of equal ones the first rows.

        Args:
            labels: int array (rows,); probabilities: float array (rows, num_classes).
            ids: one a row; class_names: one a class.
        """
        labels, probabilities = check_probabilities(labels, probabilities)
        predictions, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        wrong = np.flatnonzero(predictions != labels)
        index = wrong[np.argsort(-confidence[wrong], kind="stable")[:n]]
        names = [str(ids[row]) for row in index]
        return cls(index, names, labels[index], predictions[index], confidence[index], tuple(class_names), len(wrong))

    def frame(self) -> polars.DataFrame:
        """One row a mistake: index, id, label, prediction, confidence; the classes by name."""
        name = lambda positions: [str(self.class_names[k]) for k in positions]  # noqa: E731
        return polars.DataFrame(
            {
                "index": self.index,
                "id": polars.Series(self.ids, dtype=polars.String),
                "label": polars.Series(name(self.labels), dtype=polars.String),
                "prediction": polars.Series(name(self.predictions), dtype=polars.String),
                "confidence": self.confidence,
            }
        )

    def plot(self, ax: Any = None, *, images: Sequence[np.ndarray] | None = None, columns: int = 6) -> MistakesDisplay:
        """Draw a sheet of thumbnails with captions; without images, bars of confidence.

        Args:
            ax: a Figure to fill, or None for a new one; Axes only without images.
            images: one a mistake, in the order of `index`: arrays (height, width), (height, width, 1 or 3), of any
                size, uint8, or float of 0 to 255 or 0 to 1.
            columns: thumbnails a row.
        """
        if images is not None and len(images) != len(self.index):
            raise InputError(f"{len(images)} images for {len(self.index)} mistakes: hand in one each, as in `index`.")
        if images is not None and len(self.index):
            captions = [self._lines(position) for position in range(len(images))]
            sheet = SheetDisplay(images, captions, self.title).plot(ax, columns=columns)
            self.ax_, self.figure_ = sheet.ax_, sheet.figure_
            return self
        with drawing(ax, (6.5, 0.9 + 0.3 * max(2, len(self.index)))) as place:
            ax = single_axes(place)
            positions = np.arange(len(self.index))
            ax.barh(positions, self.confidence, color="#BBDDF2", height=0.7)
            ax.set_yticks(positions, [_tail(name, 36) for name in self.ids])
            for position in positions:
                ax.text(0.01, position, f" {self._caption(position)}", va="center", color="#222222", fontsize=9)
            ax.invert_yaxis()
            ax.grid(False, axis="y")
            ax.set(xlim=(0, 1), xlabel="confidence")
            ax.set_title(self.title)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    @property
    def title(self) -> str:
        """How many of how many mistakes these are."""
        if not self.total:
            return "No mistakes"
        return f"The {len(self.index):,} most confident of {self.total:,} mistakes"

    def _caption(self, position: int) -> str:
        label, prediction = self.class_names[self.labels[position]], self.class_names[self.predictions[position]]
        return f"{literal(prediction)}, not {literal(label)}"

    def _lines(self, position: int) -> str:
        label, prediction = self.class_names[self.labels[position]], self.class_names[self.predictions[position]]
        return answer_lines(self.ids[position], label, prediction, self.confidence[position])


def answer_lines(name: str, label: str, prediction: str, confidence: float) -> str:
    """The caption of one answered row, on three lines.

    >>> print(answer_lines("photos/glass/0042.jpg", "glass", "metal", 0.934))
    photos/glass/0042.jpg
    says metal 0.93
    is glass
    """
    return f"{_tail(name, 22)}\nsays {literal(prediction, 16)} {confidence:.2f}\nis {literal(label, 20)}"


def _tail(name: str, longest: int) -> str:
    """A name shortened at its front: of a path the end tells more."""
    return literal(name if len(name) <= longest else "…" + name[1 - longest :], longest)
