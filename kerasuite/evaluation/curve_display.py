"""ROC and precision-recall pictures: one class against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars

from kerasuite.evaluation import multilabel
from kerasuite.evaluation.confusion import unit_interval
from kerasuite.evaluation.curves import (
    counts_by_threshold,
    precision_area,
    precision_recall_curve,
    resampled_areas,
    roc_area,
    roc_curve,
)
from kerasuite.evaluation.drawing import drawing, line_style, literal, single_axes
from kerasuite.evaluation.intervals import Estimate, interval_words
from kerasuite.evaluation.metrics import check_probabilities

MOST_CURVES = 10
WORST = 5
MOST_POINTS = 1000


@dataclass(frozen=True)
class Curve:
    """One class against the rest: points (x, y), and the area under the full curve with its interval."""

    name: str
    x: np.ndarray
    y: np.ndarray
    area: Estimate


@dataclass
class RocDisplay:
    """Receiver operating characteristics, one class against the rest; of two classes, the second's.

    Args:
        curves: one a class that has both positives and negatives; at most 1,000 points are kept of each.
        undefined: names of the classes that have not.
        mean_area: the mean area of all curves.
    """

    curves: list[Curve]
    undefined: list[str]
    mean_area: Estimate

    @classmethod
    def from_predictions(
        cls,
        labels: np.ndarray,
        probabilities: np.ndarray,
        class_names: Sequence[str],
        *,
        groups: np.ndarray | None = None,
    ) -> RocDisplay:
        """Compute the curves, and the intervals of their areas by the bootstrap.

        Args:
            labels: int array (n,), or 0 and 1 (n, num_classes); probabilities: float array (n, num_classes).
            groups: array (n,), what belongs together.
        """
        return cls(*_one_vs_rest(labels, probabilities, class_names, roc_curve, roc_area, groups))

    def frame(self) -> polars.DataFrame:
        """The points: class, area, its low and high, fpr, tpr."""
        return _points(self.curves, "fpr", "tpr")

    def plot(self, ax: Any = None, *, zoom: bool | None = None) -> RocDisplay:
        """Draw every curve with its area; of more than ten classes the five worst and the mean of all.

        Args:
            ax: Axes, or a Figure to fill, or None for a new one.
            zoom: show the upper left corner only; None does so when every area drawn is above 0.98.
        """
        with drawing(ax, (8.6, 4.6)) as place:
            ax = single_axes(place)
            drawn = _chosen(self.curves, self.mean_area)
            if zoom is None:
                zoom = bool(drawn) and min(curve.area.value for curve in drawn) > 0.98
            ax.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=1, linestyle="--")
            _draw(ax, drawn, "area (95% interval), class")
            reach = 0.2 if zoom else 1.0
            ax.set(xlim=(-0.01 * reach, reach), ylim=(1 - reach, 1 + 0.01 * reach))
            ax.set(xlabel="false positive rate", ylabel="true positive rate")
            ax.set_title("ROC, one class against the rest" + (" (upper left corner)" if zoom else ""))
        self.ax_, self.figure_ = ax, ax.figure
        return self


@dataclass
class PrecisionRecallDisplay:
    """Precision against recall, one class against the rest; of two classes, the second's.

    Args: as `RocDisplay`; the area is the average precision.
    """

    curves: list[Curve]
    undefined: list[str]
    mean_area: Estimate

    @classmethod
    def from_predictions(
        cls,
        labels: np.ndarray,
        probabilities: np.ndarray,
        class_names: Sequence[str],
        *,
        groups: np.ndarray | None = None,
    ) -> PrecisionRecallDisplay:
        """Compute the curves, and the intervals of their areas by the bootstrap.

        Args: as `RocDisplay.from_predictions`.
        """

        def curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return precision_recall_curve(positive, scores)[::-1]  # recall is the x

        return cls(*_one_vs_rest(labels, probabilities, class_names, curve, precision_area, groups))

    def frame(self) -> polars.DataFrame:
        """The points: class, area, its low and high, recall, precision."""
        return _points(self.curves, "recall", "precision")

    def plot(self, ax: Any = None) -> PrecisionRecallDisplay:
        """Draw every curve with its average precision; of more than ten classes the five worst and the mean of all.

        Args:
            ax: Axes, or a Figure to fill, or None for a new one.
        """
        with drawing(ax, (8.6, 4.6)) as place:
            ax = single_axes(place)
            _draw(
                ax,
                _chosen(self.curves, self.mean_area),
                "average precision (95% interval), class",
                drawstyle="steps-pre",
            )
            ax.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
            ax.set_title("Precision and recall, one class against the rest")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _one_vs_rest(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], curve: Any, area: Any, groups: Any
) -> tuple[list[Curve], list[str], Estimate]:
    """The curves of the classes that have one, the names of those that have none, and the mean area."""
    if np.ndim(labels) == 2:
        labels, probabilities = multilabel.check(labels, probabilities)
        classes = np.arange(len(class_names))
        positive = labels > 0
    else:
        labels, probabilities = check_probabilities(labels, probabilities)
        classes = np.arange(len(class_names)) if len(class_names) != 2 else np.array([1])
        positive = labels[:, None] == classes
    defined = positive.any(axis=0) & ~positive.all(axis=0)
    positive, scores = positive[:, defined], probabilities[:, classes[defined]]
    draws = resampled_areas(positive, scores, area, groups=groups)

    curves = []
    for position, k in enumerate(classes[defined]):
        own = positive[:, position], scores[:, position]
        x, y = curve(*own)
        kept = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).astype(int))  # both ends, evenly between
        value = float(area(*counts_by_threshold(*own)))
        curves.append(
            Curve(str(class_names[k]), x[kept], y[kept], unit_interval(value, draws[:, position], len(labels)))
        )
    mean = np.mean([made.area.value for made in curves]) if curves else np.nan
    mean_area = unit_interval(mean, draws.mean(axis=1) if curves else np.array([]), len(labels))
    return curves, [str(class_names[k]) for k in classes[~defined]], mean_area


def _points(curves: list[Curve], x: str, y: str) -> polars.DataFrame:
    lengths = [len(curve.x) for curve in curves]
    join = lambda arrays: np.concatenate([np.zeros(0), *arrays])  # noqa: E731
    areas = {"area": "value", "area_low": "low", "area_high": "high"}
    columns = {column: np.repeat([getattr(c.area, part) for c in curves], lengths) for column, part in areas.items()}
    points = {x: join(curve.x for curve in curves), y: join(curve.y for curve in curves)}
    return polars.DataFrame(
        {"class": [curve.name for curve in curves for _ in curve.x]} | columns | points,
        schema={"class": polars.String} | dict.fromkeys([*columns, *points], polars.Float64),
    )


def _chosen(curves: list[Curve], mean_area: Estimate) -> list[Curve]:
    """All curves of few; of many the mean of all and the five with the least area."""
    if len(curves) <= MOST_CURVES:
        return curves
    grid = np.linspace(0, 1, MOST_POINTS)
    mean = np.mean([np.interp(grid, curve.x, curve.y) for curve in curves], axis=0)
    worst = sorted(curves, key=lambda curve: curve.area.value)[:WORST]
    return [Curve(f"mean of {len(curves)} classes", grid, mean, mean_area), *worst]


def _draw(ax: Any, curves: list[Curve], title: str, **options: Any) -> None:
    for position, curve in enumerate(curves):
        # The number comes first: matplotlib leaves out of a legend what starts with an underscore.
        ax.plot(
            curve.x,
            curve.y,
            label=f"{interval_words(curve.area)}  {literal(curve.name)}",
            **line_style(position),
            **options,
        )
    if curves:
        ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1), title=title, alignment="left", borderaxespad=0)
    else:
        ax.text(0.5, 0.5, "no class has both positives and negatives", ha="center", transform=ax.transAxes)
