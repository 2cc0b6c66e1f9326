"""Pictures of a classifier's test set. Compute, hold, draw are three things, after scikit-learn's Display objects.

`from_predictions` computes, the object holds, `frame()` gives the table behind the picture, `plot()` draws; `png` gives
the bytes of a file. Curves (curve_display.py), history and mistakes (run_display.py), heat
(grad_cam_display.py) and sheets (sheet.py) are named here too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars

from kerasuite.errors import InputError
from kerasuite.evaluation.confusion import confusion_matrix
from kerasuite.evaluation.curve_display import PrecisionRecallDisplay, RocDisplay
from kerasuite.evaluation.drawing import COLOURS, drawing, literal, png, single_axes
from kerasuite.evaluation.grad_cam_display import GradCamDisplay
from kerasuite.evaluation.metrics import Reliability, calibration_error, reliability
from kerasuite.evaluation.run_display import HistoryDisplay, MistakesDisplay
from kerasuite.evaluation.sheet import SheetDisplay

__all__ = [
    "ConfusionMatrixDisplay",
    "GradCamDisplay",
    "HistoryDisplay",
    "MistakesDisplay",
    "PrecisionRecallDisplay",
    "ReliabilityDisplay",
    "RocDisplay",
    "SheetDisplay",
    "png",
]

MOST_CELLS_WITH_TEXT = 20  # classes a side
MOST_TICK_LABELS = 34
FEW = 4  # classes whose cells are drawn larger


@dataclass
class ConfusionMatrixDisplay:
    """A confusion matrix: rows true classes, columns predicted.

    Args:
        matrix: int array (num_classes, num_classes).
        class_names: one a class.
    """

    matrix: np.ndarray
    class_names: Sequence[str]

    def __post_init__(self):
        if np.shape(self.matrix) != (len(self.class_names),) * 2:
            raise InputError(f"A matrix of shape {np.shape(self.matrix)} has {len(self.class_names)} class names.")

    @classmethod
    def from_predictions(
        cls, labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str]
    ) -> ConfusionMatrixDisplay:
        """Count.

        Args:
            labels: int array (n,); predictions: int array (n,), positions in class_names.
        """
        return cls(confusion_matrix(labels, predictions, len(class_names)), tuple(class_names))

    def frame(self) -> polars.DataFrame:
        """One row a true class: its name, then one column a predicted class."""
        # Doubled names would be one column: the second gets its number.
        columns: dict[str, Any] = {"true": list(map(str, self.class_names))}
        for k, name in enumerate(map(str, self.class_names)):
            columns[name if name not in columns else f"{name} [{k}]"] = self.matrix[:, k]
        return polars.DataFrame(columns)

    def plot(self, ax: Any = None, *, normalize: bool = False, cmap: str = "Blues") -> ConfusionMatrixDisplay:
        """Draw.

        Args:
            ax: Axes, or a Figure to fill, or None for a new one.
            normalize: shares of each true class instead of counts. A class without rows stays blank.
            cmap: matplotlib colour map.
        """
        from matplotlib.colors import Normalize, SymLogNorm

        num_classes = len(self.class_names)
        cells = _shares(self.matrix) if normalize else self.matrix
        many = num_classes > MOST_CELLS_WITH_TEXT
        # Off the diagonal counts are small: on a linear scale of many classes every mistake would be white.
        largest = 1.0 if normalize else max(1.0, float(np.max(self.matrix, initial=0)))
        norm = SymLogNorm(0.01 if normalize else 1, vmin=0, vmax=largest) if many else Normalize(0, largest)
        with drawing(ax, _confusion_size(self.class_names)) as place:
            ax = single_axes(place)
            image = ax.imshow(cells, cmap=cmap, norm=norm, interpolation="nearest")
            if many:
                _colour_bar(ax, image, normalize, largest)
            else:
                _write_cells(ax, cells, norm, normalize)
            _label_classes(ax, self.class_names)
            ax.set_title("Confusion matrix" + (", shares by row" if normalize else ", counts"))
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _shares(matrix: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; NaN where that is 0."""
    with np.errstate(invalid="ignore"):
        return matrix / matrix.sum(axis=1, keepdims=True)


def _confusion_size(class_names: Sequence[str]) -> tuple[float, float]:
    """Inches: cells of a size that holds their text, shrinking from 20 classes on, and room for the names."""
    num_classes = len(class_names)
    if num_classes <= FEW:
        return 1.1 * num_classes + 2.4, 1.1 * num_classes + 1.6
    room = 0.07 * max(len(literal(name)) for name in class_names)
    side = max(2.6, 0.52 * min(num_classes, MOST_CELLS_WITH_TEXT) + 0.03 * max(0, num_classes - MOST_CELLS_WITH_TEXT))
    return side + room + 1.2, side + (room if _upright(class_names) else 0.2) + 1.0


def _upright(class_names: Sequence[str]) -> bool:
    """Whether the names under the columns must stand upright to fit."""
    return len(class_names) > FEW and max(len(literal(name)) for name in class_names) > 4


def _label_classes(ax: Any, class_names: Sequence[str]) -> None:
    step = -(-len(class_names) // MOST_TICK_LABELS)
    ticks = np.arange(0, len(class_names), step)
    names = [literal(class_names[k]) for k in ticks]
    if len(class_names) <= FEW:  # wide cells: room for names on several lines
        names = [textwrap.fill(name, 14) for name in names]
    ax.set_xticks(ticks, names, rotation=90 if _upright(class_names) else 0)
    ax.set_yticks(ticks, names)
    ax.set_xlabel("predicted" + (f" (one class in {step} is named)" if step > 1 else ""))
    ax.set_ylabel("true")
    ax.grid(False)
    ax.tick_params(length=0 if step == 1 else 3)


def _colour_bar(ax: Any, image: Any, normalize: bool, largest: float) -> None:
    bar = ax.figure.colorbar(
        image, ax=ax, shrink=0.6, pad=0.02, label="share of the true class" if normalize else "rows"
    )
    decades = [0.01, 0.1, 1] if normalize else [10**k for k in range(10) if 10**k <= largest]
    bar.set_ticks([0, *decades], labels=["0", *(f"{tick:,}" for tick in decades)])
    bar.minorticks_off()


def _write_cells(ax: Any, cells: np.ndarray, norm: Any, normalize: bool) -> None:
    for (row, column), cell in np.ndenumerate(cells):
        if np.isnan(cell):
            continue
        text = f"{cell:.2f}" if normalize else f"{cell:,}"
        # A zero is there but does not ask to be read.
        colour = "white" if norm(cell) > 0.55 else "#BBBBBB" if cell == 0 else "#222222"
        size = 7 if len(text) > 5 else 9 if len(cells) > 4 else 11
        ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


@dataclass
class ReliabilityDisplay:
    """How often the model is right, against how sure it says it is.

    Args:
        bins: mean confidence, accuracy and count of each bin.
        error: the expected calibration error.
    """

    bins: Reliability
    error: float

    @classmethod
    def from_predictions(cls, labels: np.ndarray, probabilities: np.ndarray, *, bins: int = 15) -> ReliabilityDisplay:
        """Bin the rows.

        Args:
            labels: int array (n,); probabilities: float array (n, num_classes).
            bins: of equal width, from 0 to 1.
        """
        return cls(reliability(labels, probabilities, bins), calibration_error(labels, probabilities, bins))

    def frame(self) -> polars.DataFrame:
        """One row a bin: its bounds, mean confidence and accuracy (null where empty), and its count of rows."""
        edges = np.linspace(0, 1, len(self.bins.count) + 1)
        return polars.DataFrame({"above": edges[:-1], "up_to": edges[1:]} | self.bins._asdict(), nan_to_null=True)

    def plot(self, ax: Any = None, *, colour: str = COLOURS[0]) -> ReliabilityDisplay:
        """Draw the bins against the diagonal, and under it the count of rows of each (where there is room).

        Args:
            ax: Axes (no counts then), or a Figure to fill, or None for a new one.
            colour: of the model's points.
        """
        from matplotlib.axes import Axes

        with drawing(ax, (5.4, 5.6)) as place:
            if isinstance(place, Axes):
                ax = place
            else:
                ax, counts = place.subplots(2, 1, sharex=True, height_ratios=(4, 1))
                self._plot_counts(counts, colour)
            ax.plot([0, 1], [0, 1], color="#888888", linestyle="--", linewidth=1.2, label="perfectly calibrated")
            filled = self.bins.count > 0
            confidence, accuracy = self.bins.confidence[filled], self.bins.accuracy[filled]
            ax.vlines(confidence, confidence, accuracy, color=COLOURS[1], alpha=0.5, linewidth=4, label="gap")
            ax.plot(confidence, accuracy, "o-", color=colour, markersize=5, label="model")
            ax.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that is right", aspect="auto")
            ax.set_title(f"Reliability, calibration error {self.error:.3f}")
            if isinstance(place, Axes):
                ax.set_xlabel("confidence")
            ax.legend(loc="best")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_counts(self, ax: Any, colour: str) -> None:
        edges = np.linspace(0, 1, len(self.bins.count) + 1)
        ax.bar(edges[:-1], self.bins.count, width=np.diff(edges) * 0.92, align="edge", color=colour)
        ax.set_yscale("log")
        ax.set(xlabel="confidence", ylabel="rows", ylim=(0.7, max(10, self.bins.count.max() * 2)))
