"""How well scores rank positives before negatives: ROC and precision-recall curves and their areas. NumPy only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kerasuite.errors import InputError
from kerasuite.evaluation.confusion import ratio
from kerasuite.evaluation.intervals import bounded_resamples, drawing_rows, is_enough


def roc_curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The true positive rate against the false positive rate, one point a distinct score.

    Rows of equal score enter together: the curve goes through them in a straight line, whatever their order.

    Args:
        positive: bool array (n,).
        scores: float array (n,), higher means more likely positive.

    Returns:
        fpr, tpr: float arrays (distinct scores + 1,), rising from 0 to 1; NaN without negatives or without positives.

    Example:
        >>> fpr, tpr = roc_curve(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.1]))
        >>> fpr.tolist(), tpr.tolist()
        ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    false_positives, true_positives = counts_by_threshold(positive, scores)
    with np.errstate(invalid="ignore"):
        return false_positives / false_positives[-1], true_positives / true_positives[-1]


def roc_auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """The chance that a positive scores above a negative, a tie counting half; NaN if either is missing.

    Args: as `roc_curve`.

    Source: Hanley and McNeil (1982): the area is the Mann-Whitney statistic.

    Example:
        >>> roc_auc(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.1]))  # of 4 pairs, 3 right and 1 tied
        0.875
    """
    return float(roc_area(*counts_by_threshold(positive, scores)))


def precision_recall_curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision against recall, one point a distinct score, recall rising from 0 (where precision is put at 1).

    Args: as `roc_curve`.

    Returns:
        precision, recall: float arrays (distinct scores + 1,); recall is NaN without positives.

    Example:
        >>> precision, recall = precision_recall_curve(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.4, 0.1]))
        >>> precision.round(3).tolist(), recall.tolist()
        ([1.0, 1.0, 0.5, 0.667, 0.5], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    false_positives, true_positives = counts_by_threshold(positive, scores)
    found = true_positives + false_positives
    precision = np.concatenate(([1.0], true_positives[1:] / found[1:]))
    with np.errstate(invalid="ignore"):
        return precision, true_positives / true_positives[-1]


def average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    """The area under the precision-recall steps: each rise of recall times the precision where it happens.

    No line is drawn between points, since precision does not change linearly and the line would be too kind. NaN
    without positives, and without negatives, where any scores would have the area 1.

    Args: as `roc_curve`.

    Source: Davis and Goadrich (2006), The relationship between precision-recall and ROC curves.

    Example:
        >>> average_precision(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.4, 0.1]))  # 1/2 * 1 + 1/2 * 2/3
        0.833...
    """
    return float(precision_area(*counts_by_threshold(positive, scores)))


def roc_area(false_positives: np.ndarray, true_positives: np.ndarray) -> np.ndarray:
    """The area under ROC curves given as counts by threshold, each (..., thresholds + 1) from 0 to all rows: (...,)."""
    width, height = np.diff(false_positives), (true_positives[..., 1:] + true_positives[..., :-1]) / 2
    return ratio(np.sum(width * height, axis=-1), false_positives[..., -1] * true_positives[..., -1])


def precision_area(false_positives: np.ndarray, true_positives: np.ndarray) -> np.ndarray:
    """The average precision of counts by threshold. Args: as `roc_area`."""
    rises = np.diff(true_positives)
    precision = ratio(true_positives[..., 1:], true_positives[..., 1:] + false_positives[..., 1:])
    # Above the first threshold there may be no row: then recall has not risen either.
    steps = np.where(rises > 0, rises * precision, 0).sum(axis=-1)
    return np.where(false_positives[..., -1] > 0, ratio(steps, true_positives[..., -1]), np.nan)


def resampled_areas(
    positive: np.ndarray,
    scores: np.ndarray,
    area: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """The areas of several curves over resampled rows, or groups of rows: float array (resamples, curves).

    The curves share each resample, so that their means can be taken. Fewer resamples are drawn for many curves.

    Args:
        positive: bool array (n, curves).
        scores: float array (n, curves).
        area: `roc_area` or `precision_area`.
        groups: array (n,), what belongs together.
    """
    n, curves = positive.shape
    draw, units = drawing_rows(n, groups)
    number = bounded_resamples(max(n, 1000) * max(1, curves // 2), 1000) if is_enough(units, groups) else 0
    rng = np.random.default_rng(seed)
    cells = [_cells(positive[:, k], scores[:, k]) for k in range(curves)]
    areas = np.empty((number, curves))
    for resample in range(number):
        rows = draw(rng)
        for k, (cell, length) in enumerate(cells):
            counts = np.zeros((length + 1, 2))  # from no row called positive to every row
            counts[1:] = np.bincount(cell[rows], minlength=2 * length).reshape(length, 2)
            areas[resample, k] = area(*np.cumsum(counts, axis=0).T)
    return areas


def _cells(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, int]:
    """Where each row is counted: twice its segment, and one more if it is positive; and how many segments there are.

    Segments come in the order of falling scores. Rows of one score belong together, and so do all negatives between
    two positives: no area depends on their order.
    """
    order = np.argsort(-scores, kind="stable")
    hits = positive[order]
    first = np.append(True, np.diff(scores[order]) != 0)  # of the rows of one score
    mixed = np.logical_or.reduceat(hits, np.flatnonzero(first))[np.cumsum(first) - 1]  # of a score that has positives
    segment = np.cumsum(first & (mixed | np.append(True, mixed[:-1]))) - 1
    cell = np.empty(len(order), int)
    cell[order] = 2 * segment + hits
    return cell, int(segment[-1]) + 1


def counts_by_threshold(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positives when all rows from a score upward are called positive, from no row to every row."""
    positive, scores = np.asarray(positive).astype(bool), np.asarray(scores)
    if positive.ndim != 1 or positive.shape != scores.shape or not len(scores):
        raise InputError(
            f"A curve needs two arrays (n,) of the same rows, n > 0: got shapes {positive.shape} and {scores.shape}."
        )
    if np.isnan(scores).any():
        raise InputError(f"The score of row {np.isnan(scores).argmax()} is NaN: scores must be numbers to be ranked.")
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last row of each run of equal scores
    true_positives = np.cumsum(positive[order])[ends]
    return np.append(0, ends + 1 - true_positives), np.append(0, true_positives)
