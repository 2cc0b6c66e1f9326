"""The confusion matrix and what follows from it alone. Rows are true classes, columns predicted. NumPy only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kerasuite.errors import InputError
from kerasuite.evaluation.intervals import (
    Estimate,
    bounded_resamples,
    group_codes,
    is_enough,
    percentile_interval,
    wilson,
)


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """How often each true class (row) was called each class (column): int64 array (num_classes, num_classes).

    Args:
        labels: int array (n,), true classes; predictions: int array (n,), the model's.

    Raises:
        InputError: unequal lengths, or a class outside 0 to num_classes - 1.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0]), 3).tolist()
        [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    """
    labels = class_numbers("labels", labels, num_classes)
    predictions = class_numbers("predictions", predictions, num_classes)
    if len(labels) != len(predictions):
        raise InputError(f"There are {len(labels)} labels and {len(predictions)} predictions: expected one each a row.")
    counts = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


class _Margins(NamedTuple):
    """What the averages need of a confusion matrix, or of a stack of them: arrays (..., num_classes)."""

    hits: np.ndarray
    support: np.ndarray
    predicted: np.ndarray


def _margins(matrix: np.ndarray) -> _Margins:
    matrix = np.asarray(matrix)
    return _Margins(matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and NaN for 0 / 0, without the warning."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole, np.float64)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis of what is not NaN; NaN where nothing is left."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def per_class(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support of each class: arrays (num_classes,).

    A quotient 0 / 0 is NaN, never a silent 0: the precision of a class that was never predicted, the recall of a class
    without true rows, the F1 of a class with neither.

    Args:
        matrix: confusion matrix, rows true.

    Example:
        >>> scores = per_class(np.array([[2, 1, 0], [0, 3, 0], [0, 0, 0]]))
        >>> scores["precision"].tolist(), scores["support"].tolist()
        ([1.0, 0.75, nan], [3, 3, 0])
    """
    margins = _margins(matrix)
    return _ratios(margins) | {"support": margins.support}


def accuracy(matrix: np.ndarray) -> float:
    """The share of rows on the diagonal of a confusion matrix; NaN without rows.

    >>> accuracy(np.array([[2, 1], [0, 1]]))
    0.75
    """
    return float(_accuracy(_margins(matrix)))


def balanced_accuracy(matrix: np.ndarray) -> float:
    """The mean recall of the classes that have true rows (scikit-learn's convention); NaN without rows.

    A class that is absent from the test set has no recall, and is neither a success nor a failure.

    >>> balanced_accuracy(np.array([[2, 1, 1], [0, 1, 0], [0, 0, 0]]))  # (2/4 + 1/1) / 2
    0.75
    """
    return float(_balanced_accuracy(_margins(matrix)))


def macro_f1(matrix: np.ndarray) -> float:
    """The mean F1 of the classes that occur in labels or predictions (scikit-learn's convention); NaN without rows.

    A class without true rows that is predicted nonetheless counts, with an F1 of 0: the model invented it.

    >>> macro_f1(np.array([[2, 0, 1], [0, 1, 0], [0, 0, 0]]))  # (4/5 + 1 + 0) / 3
    0.6
    """
    return float(_macro_f1(_margins(matrix)))


def _accuracy(margins: _Margins) -> np.ndarray:
    return ratio(margins.hits.sum(axis=-1), margins.support.sum(axis=-1))


def _balanced_accuracy(margins: _Margins) -> np.ndarray:
    return _mean_of_defined(ratio(margins.hits, margins.support))


def _macro_f1(margins: _Margins) -> np.ndarray:
    return _mean_of_defined(ratio(2 * margins.hits, margins.support + margins.predicted))


def class_averages(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int, groups: np.ndarray | None, seed: int
) -> dict[str, Estimate]:
    """Balanced accuracy and macro F1, from resampled confusion matrices."""
    whole = _margins(confusion_matrix(labels, predictions, num_classes))
    drawn = _resampled(labels, predictions, num_classes, groups, seed)
    averages = {"balanced_accuracy": _balanced_accuracy, "macro_f1": _macro_f1}
    return {
        name: unit_interval(float(average(whole)), average(drawn), len(labels)) for name, average in averages.items()
    }


def class_estimates(
    labels: np.ndarray,
    predictions: np.ndarray,
    num_classes: int,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, list[Estimate]]:
    """Precision, recall and F1 of each class with their intervals: lists (num_classes,).

    Of independent rows all three are Wilson's: precision over the rows that were called so, recall over the true ones,
    and F1 by way of the share of hits among the rows that are either, of which it is a rising function: 2s / (1 + s).
    Of rows in groups: the bootstrap over groups.

    Source: Lam, Gopal and Qian (2023), Confidence intervals for the F1 score, arXiv:2309.14621, Wilson indirect.

    Example:
        >>> found = class_estimates(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
        >>> found["precision"][1].n, found["recall"][1].n, found["f1"][1].n, found["f1"][1].value
        (2, 1, 2, 0.666...)
    """
    matrix = confusion_matrix(labels, predictions, num_classes)
    whole = _margins(matrix)
    either = whole.support + whole.predicted - whole.hits
    behind = {"precision": whole.predicted, "recall": whole.support, "f1": either}
    if groups is None:
        pairs = {name: zip(whole.hits, counts) for name, counts in behind.items()}
        found = {name: [wilson(int(hits), int(n)) for hits, n in pair] for name, pair in pairs.items()}
        return found | {"f1": [_doubled(share) for share in found["f1"]]}
    drawn = _ratios(_resampled(labels, predictions, num_classes, groups, seed))
    return {
        name: [unit_interval(values[k], drawn[name][:, k], int(behind[name][k])) for k in range(num_classes)]
        for name, values in _ratios(whole).items()
    }


def _ratios(margins: _Margins) -> dict[str, np.ndarray]:
    hits, support, predicted = margins
    return {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, support),
        "f1": ratio(2 * hits, support + predicted),
    }


def _doubled(share: Estimate) -> Estimate:
    """F1 from the share of hits among the rows that are of a class or called so."""
    value, low, high = (2 * s / (1 + s) for s in (share.value, share.low, share.high))
    return Estimate(value, low, high, share.n)


def _resampled(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int, groups: np.ndarray | None, seed: int
) -> _Margins:
    """The margins of resampled confusion matrices: arrays (resamples, num_classes); none with too few units to draw.

    Drawing n rows anew is drawing the matrix's cells from a multinomial: the same distribution at a fraction of the
    work. With groups, the multinomial is over groups, and each row counts as often as its group was drawn.
    """
    n = len(labels)
    if groups is None:
        matrix = confusion_matrix(labels, predictions, num_classes)
        rows, columns = matrix.nonzero()
        units, chances, unit_of = n, matrix[rows, columns] / n, slice(None)
    else:
        rows, columns = labels, predictions
        units, unit_of = group_codes(groups, n)
        chances = np.full(units, 1 / units)
    if not is_enough(units, groups):
        return _Margins(*np.empty((3, 0, num_classes)))

    rng = np.random.default_rng(seed)
    margins = []
    for _ in range(bounded_resamples(n, 1000)):
        weights = rng.multinomial(units, chances)[unit_of]
        hits = np.bincount(rows, weights * (rows == columns), num_classes)
        margins.append((hits, np.bincount(rows, weights, num_classes), np.bincount(columns, weights, num_classes)))
    return _Margins(*np.moveaxis(np.array(margins), 1, 0))


def unit_interval(value: float, draws: np.ndarray, n: int) -> Estimate:
    """The centred percentile interval of a number that lies in 0 to 1."""
    # With few rows a class, resampled averages lie below the value: drawing anew loses some rare classes' hits.
    estimate = percentile_interval(value, draws, n, centred=True)
    low, high = np.clip((estimate.low, estimate.high), 0, 1)  # NaN stays NaN
    return Estimate(float(value), float(low), float(high), n)


def class_numbers(name: str, values: np.ndarray, num_classes: int) -> np.ndarray:
    """The values as int64 (n,), or an InputError that names the first row that is no class."""
    values = np.asarray(values)
    if values.ndim != 1 or not (np.issubdtype(values.dtype, np.integer) or not len(values)):
        raise InputError(f"The {name} are {values.dtype} of shape {values.shape}: expected integers of shape (n,).")
    values = values.astype(np.int64)
    outside = (values < 0) | (values >= num_classes)
    if outside.any():
        row = int(outside.argmax())
        raise InputError(f"Row {row} of the {name} is {values[row]}: expected a class from 0 to {num_classes - 1}.")
    return values
