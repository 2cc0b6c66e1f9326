"""Numbers of a classifier whose rows may be of several classes, or of none: labels and answers are 0 or 1 a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars
from scipy import sparse

from kerasuite.errors import InputError
from kerasuite.evaluation.confusion import class_estimates, ratio
from kerasuite.evaluation.drawing import drawing, literal
from kerasuite.evaluation.intervals import Estimate, bootstrap, paired_statistic, wilson

THRESHOLD = 0.5
SMALLEST_PROBABILITY = 1e-7
MOST_MATRICES, COLUMNS = 12, 4


def answers(probabilities: np.ndarray) -> np.ndarray:
    """Which classes are said of each row: bool (n, classes), at a probability of one half or more."""
    return np.asarray(probabilities) >= THRESHOLD


def micro_f1(labels: np.ndarray, said: np.ndarray) -> float:
    """Twice what was said rightly, over all that was said and all that is so; NaN where nothing was said or is so.

    Args:
        labels, said: 0 or 1, (n, classes).

    Example:
        >>> micro_f1(np.array([[1, 0], [1, 1]]), np.array([[1, 1], [0, 1]]))  # 2 * 2 / (3 + 3)
        0.666...
    """
    return _micro_f1(labels, said)(np.arange(len(labels)))


def _micro_f1(labels: np.ndarray, said: np.ndarray) -> Callable[[np.ndarray], float]:
    """The same of chosen rows, which are many times drawn: what each row adds is summed once."""
    right, counted = (labels & said).sum(axis=1), labels.sum(axis=1) + said.sum(axis=1)
    return lambda rows: float(ratio(2 * right[rows].sum(), counted[rows].sum()))


def macro_f1(labels: np.ndarray, said: np.ndarray) -> float:
    """The mean F1 of the classes that are so or were said anywhere.

    Example:
        >>> macro_f1(np.array([[1, 0], [1, 1]]), np.array([[1, 1], [0, 1]]))  # (2/3 + 2/3) / 2
        0.666...
    """
    return _macro_f1(labels, said)(np.arange(len(labels)))


def _macro_f1(labels: np.ndarray, said: np.ndarray) -> Callable[[np.ndarray], float]:
    """The same of chosen rows: most of both arrays is 0."""
    right, counted = sparse.csr_array((labels & said).T), sparse.csr_array((labels + said).T)

    def of(rows: np.ndarray) -> float:
        drawn = np.bincount(rows, minlength=labels.shape[0])
        found = ratio(2 * (right @ drawn), counted @ drawn)
        return float(np.mean(found[np.isfinite(found)])) if np.isfinite(found).any() else np.nan

    return of


def multilabel_metrics(
    labels: np.ndarray, probabilities: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """Every number of such a classifier's test set, each with its 95 % interval.

    Args:
        labels: 0 or 1, (n, classes); probabilities: (n, classes), of each class by itself.
        groups: array (n,), what belongs together.

    Returns:
        micro_f1, macro_f1, exact_match_accuracy (rows with all classes right), log_loss (mean over rows and classes).
    """
    labels, probabilities = check(labels, probabilities)
    said, n = answers(probabilities).astype(np.int64), len(labels)
    exact = (said == labels).all(axis=1)
    losses = _row_losses(labels, probabilities)

    def resample(statistic) -> Estimate:
        return bootstrap(statistic, n, groups=groups, seed=seed)

    return {
        "micro_f1": resample(_micro_f1(labels, said)),
        "macro_f1": resample(_macro_f1(labels, said)),
        "exact_match_accuracy": wilson(int(exact.sum()), n)
        if groups is None
        else resample(lambda rows: exact[rows].mean()),
        "log_loss": resample(lambda rows: losses[rows].mean()),
    }


def multilabel_log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean over rows and classes of -log of the probability of what is so, in nats; below 1e-7 counts as 1e-7."""
    return float(_row_losses(*check(labels, probabilities)).mean())


def _row_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    likely = np.clip(np.where(labels > 0, probabilities, 1 - probabilities), SMALLEST_PROBABILITY, 1)
    return -np.log(likely).mean(axis=1)


def check(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two as arrays, int64 and float64.

    Raises:
        InputError: no rows, unequal shapes, or values that are no labels or no probabilities.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if labels.ndim != 2 or labels.shape != probabilities.shape or not len(labels):
        raise InputError(
            f"Labels have the shape {labels.shape}, probabilities {probabilities.shape}: expected (rows, classes) of "
            "both, at least one row."
        )
    if not np.isin(labels, (0, 1)).all():
        raise InputError("Labels of several classes are 0 or 1 for each class.")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise InputError("Probabilities lie outside 0 to 1. If these are logits, apply a sigmoid first.")
    return labels.astype(np.int64), probabilities


def class_rows(
    labels: np.ndarray, said: np.ndarray, class_names: Sequence[str], groups: np.ndarray | None = None
) -> list[list[Any]]:
    """A row each class: its name, precision, recall and F1 with their intervals, and how many rows are of it."""
    rows = []
    for k, name in enumerate(class_names):
        found = class_estimates(labels[:, k].astype(int), said[:, k].astype(int), 2, groups=groups)
        rows.append([name, *(found[measure][1] for measure in ("precision", "recall", "f1")), int(labels[:, k].sum())])
    return rows


def verdict(
    labels: np.ndarray,
    model: np.ndarray,
    baseline: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    alpha: float = 0.05,
) -> tuple[str, float]:
    """Whether a model's micro F1 is shown to be better than a baseline's on the same rows, and the p-value.

    Args:
        model, baseline: probabilities (n, classes).
    """
    first, second = (
        _micro_f1(np.asarray(labels, np.int64), answers(each).astype(np.int64)) for each in (model, baseline)
    )
    difference, p = paired_statistic(
        lambda rows: np.nan_to_num(first(rows)) - np.nan_to_num(second(rows)), len(labels), groups=groups
    )
    if p >= alpha:
        return "not shown", p
    return ("better" if difference.value > 0 else "worse"), p


def named(labels: np.ndarray, class_names: Sequence[str]) -> str:
    """The names of the classes that are 1, with | between them.

    Example:
        >>> named(np.array([1, 0, 1]), ("a", "b", "c")), named(np.array([0, 0, 0]), ("a", "b", "c"))
        ('a|c', '')
    """
    return "|".join(str(class_names[k]) for k in np.flatnonzero(labels))


@dataclass
class MistakesTable:
    """The rows with the class that the model was most sure of and wrong about.

    Args:
        index: int array (m,), the row in the test set, surest first.
        rows: label, prediction, confidence and id of each, of several labels all of them.
        total: how many rows have a mistake.
    """

    index: np.ndarray
    rows: list[tuple[str, str, float, str]]
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
    ) -> MistakesTable:
        """Pick the n rows with the surest mistakes.

        Args: as `LabelMatricesDisplay.from_predictions`, and the names of the rows.
        """
        labels, probabilities = check(labels, probabilities)
        said = answers(probabilities)
        sure = np.where(said == (labels > 0), 0, np.maximum(probabilities, 1 - probabilities)).max(axis=1)
        wrong = np.flatnonzero(sure)
        index = wrong[np.argsort(-sure[wrong], kind="stable")[:n]]
        told = [
            (named(labels[k], class_names), named(said[k], class_names), float(sure[k]), str(ids[k])) for k in index
        ]
        return cls(index, told, len(wrong))

    @property
    def title(self) -> str:
        """How many of how many mistakes these are."""
        return f"The {len(self.index):,} surest of {self.total:,} rows with a mistake" if self.total else "No mistakes"

    def frame(self) -> polars.DataFrame:
        """One row a mistake: label, prediction, confidence, id."""
        schema = {
            "label": polars.String,
            "prediction": polars.String,
            "confidence": polars.Float64,
            "id": polars.String,
        }
        return polars.DataFrame(self.rows, schema=schema, orient="row")


@dataclass
class LabelMatricesDisplay:
    """A confusion matrix for each class: whether a row is of it (rows), and whether that was said (columns).

    Args:
        matrices: int array (classes, 2, 2).
        class_names: one a class.
    """

    matrices: np.ndarray
    class_names: Sequence[str]

    @classmethod
    def from_predictions(cls, labels: np.ndarray, said: np.ndarray, class_names: Sequence[str]) -> LabelMatricesDisplay:
        """Count.

        Args:
            labels, said: 0 or 1, (n, classes).
        """
        labels, said = np.asarray(labels, bool), np.asarray(said, bool)
        counts = [
            [(~labels & ~said).sum(0), (~labels & said).sum(0)],
            [(labels & ~said).sum(0), (labels & said).sum(0)],
        ]
        return cls(np.moveaxis(np.array(counts), 2, 0), tuple(class_names))

    def frame(self) -> polars.DataFrame:
        """One row a class: its name and the four counts."""
        cells = self.matrices.reshape(-1, 4)
        names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
        return polars.DataFrame({"class": list(self.class_names)} | {name: cells[:, k] for k, name in enumerate(names)})

    def plot(self, ax: Any = None, *, normalize: bool = False) -> LabelMatricesDisplay:
        """Draw a matrix for each class, of many for the twelve with the most rows.

        Args:
            ax: a Figure to fill, or None for a new one.
            normalize: shares of each true state instead of counts.
        """
        support = self.matrices[:, 1].sum(axis=1)
        shown = np.sort(np.argsort(-support, kind="stable")[:MOST_MATRICES])
        columns = min(COLUMNS, len(shown))
        lines = -(-len(shown) // columns)
        with drawing(ax, (2.3 * columns, 2.5 * lines)) as place:
            axes = place.subplots(lines, columns, squeeze=False)
            for panel in axes.flat[len(shown) :]:
                panel.axis("off")
            for panel, k in zip(axes.flat, shown):
                matrix = self.matrices[k]
                cells = ratio(matrix, matrix.sum(axis=1, keepdims=True)) if normalize else matrix
                panel.imshow(ratio(matrix, matrix.sum(axis=1, keepdims=True)), cmap="Blues", vmin=0, vmax=1)
                for (row, column), value in np.ndenumerate(cells):
                    share = matrix[row, column] / max(matrix[row].sum(), 1)
                    text = ("–" if np.isnan(value) else f"{value:.2f}") if normalize else f"{value:,}"
                    panel.text(column, row, text, ha="center", va="center", color="white" if share > 0.6 else "#222222")
                panel.set_xticks([0, 1], ["not said", "said"])
                panel.set_yticks([0, 1], ["is not", "is"])
                panel.grid(False)
                panel.set_title(literal(self.class_names[k], 22), fontsize=10)
        self.ax_, self.figure_ = axes, place
        return self
