"""How well scores rank positives before negatives: ROC and precision-recall curves and their areas. NumPy only."""

from __future__ import annotations

import numpy as np

from kerasuite.errors import InputError


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
    false_positives, true_positives = _counts_by_threshold(positive, scores)
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
    fpr, tpr = roc_curve(positive, scores)
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))


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
    false_positives, true_positives = _counts_by_threshold(positive, scores)
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
    if np.all(positive):
        return float("nan")
    precision, recall = precision_recall_curve(positive, scores)
    return float(np.sum(np.diff(recall) * precision[1:]))


def _counts_by_threshold(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
