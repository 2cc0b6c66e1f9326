"""Labels and probabilities in, numbers out: what a classifier's test set says. NumPy only.

The one place to import from: the confusion matrix (confusion.py), curves (curves.py), intervals and
paired tests (intervals.py) are named here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kerasuite.errors import InputError
from kerasuite.evaluation.confusion import (
    accuracy,
    balanced_accuracy,
    class_averages,
    class_estimates,
    class_numbers,
    confusion_matrix,
    macro_f1,
    per_class,
    ratio,
)
from kerasuite.evaluation.curves import average_precision, precision_recall_curve, roc_auc, roc_curve
from kerasuite.evaluation.intervals import (
    Estimate,
    bootstrap,
    mcnemar,
    paired_bootstrap,
    verdict,
    wilson,
)

__all__ = [
    "Estimate",
    "Reliability",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "bootstrap",
    "calibration_error",
    "check_probabilities",
    "class_estimates",
    "classification_metrics",
    "confusion_matrix",
    "log_loss",
    "macro_f1",
    "mcnemar",
    "paired_bootstrap",
    "per_class",
    "precision_recall_curve",
    "reliability",
    "roc_auc",
    "roc_curve",
    "top_k_accuracy",
    "verdict",
    "wilson",
]

BINS = 15
SMALLEST_PROBABILITY = 1e-7  # Keras's epsilon: a row that is wrong at full confidence costs 16.1, not infinity


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean of -log of the true class's probability, in nats; probabilities below 1e-7 count as 1e-7.

    Args:
        labels: int array (n,); probabilities: float array (n, num_classes), rows that sum to 1.

    Example:
        >>> log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.75, 0.25]]))  # (log 2 + log 4) / 2
        1.039...
    """
    return float(_row_losses(*check_probabilities(labels, probabilities)).mean())


def _row_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(own, SMALLEST_PROBABILITY, 1.0))


class Reliability(NamedTuple):
    """Rows binned by the confidence of the predicted class: arrays (bins,); an empty bin's means are NaN."""

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> Reliability:
    """Mean confidence, accuracy and count in bins of equal width, each open below and closed above.

    Args: as `log_loss`; the confidence of a row is its greatest probability.

    Example:
        >>> reliability(np.array([0, 1]), np.array([[0.9, 0.1], [0.7, 0.3]]), bins=2).accuracy.tolist()
        [nan, 0.5]
    """
    bin_of, confidence, correct = _binned(*check_probabilities(labels, probabilities), bins)
    count = np.bincount(bin_of, minlength=bins)
    total = np.bincount(bin_of, confidence, bins), np.bincount(bin_of, correct, bins)
    return Reliability(ratio(total[0], count), ratio(total[1], count), count)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """The expected calibration error of the predicted class: mean |confidence - accuracy| over bins, by their rows.

    Args: as `reliability`.

    Source: Guo et al. (2017), On calibration of modern neural networks, equation 3; 15 bins as there.

    Example:
        >>> calibration_error(np.array([0, 1]), np.array([[0.875, 0.125], [0.625, 0.375]]))  # (0.125 + 0.625) / 2
        0.375
    """
    bin_of, confidence, correct = _binned(*check_probabilities(labels, probabilities), bins)
    return _calibration_error(bin_of, confidence - correct, bins)


def _calibration_error(bin_of: np.ndarray, excess: np.ndarray, bins: int) -> float:
    return float(np.abs(np.bincount(bin_of, excess, bins)).sum() / len(bin_of))


def _binned(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row's bin, confidence and whether it is right."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return bin_of, confidence, (probabilities.argmax(axis=1) == labels).astype(np.float64)


def top_k_accuracy(labels: np.ndarray, probabilities: np.ndarray, k: int) -> float:
    """The share of rows whose true class is among the k most probable.

    A class tied with the true one counts against the model: a row of equal probabilities is right only at k =
    num_classes. (`accuracy` counts the first of tied classes as the prediction, so top 1 can be below it.)

    Example:
        >>> top_k_accuracy(np.array([0, 1, 2]), np.array([[0.5, 0.3, 0.2], [0.4, 0.3, 0.3], [0.6, 0.3, 0.1]]), 2)
        0.333...
    """
    return float(_in_top_k(*check_probabilities(labels, probabilities), k).mean())


def _in_top_k(labels: np.ndarray, probabilities: np.ndarray, k: int) -> np.ndarray:
    own = probabilities[np.arange(len(labels)), labels][:, None]
    return (probabilities >= own).sum(axis=1) <= k  # its own place is one of them


def classification_metrics(
    labels: np.ndarray, probabilities: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """Every number of a classifier's test set, each with its 95 % interval.

    Proportions have Wilson's interval, the others a seeded bootstrap; with `groups` all have the bootstrap over groups.
    The interval of the calibration error is centred (see `bootstrap`). A bootstrap has no width where no row is wrong:
    read the accuracy's interval there.

    Args:
        labels: int array (n,); probabilities: float array (n, num_classes), rows that sum to 1.
        groups: array (n,), what belongs together.

    Returns:
        accuracy, balanced_accuracy, macro_f1, log_loss, calibration_error; top_5_accuracy with more than 10 classes.
    """
    labels, probabilities = check_probabilities(labels, probabilities)
    n, num_classes = probabilities.shape
    predictions = probabilities.argmax(axis=1)
    losses = _row_losses(labels, probabilities)
    bin_of, confidence, correct = _binned(labels, probabilities, BINS)
    excess = confidence - correct

    def resample(statistic: Callable[[np.ndarray], float], centred: bool = False) -> Estimate:
        return bootstrap(statistic, n, groups=groups, seed=seed, centred=centred)

    def proportion(right: np.ndarray) -> Estimate:
        return wilson(int(right.sum()), n) if groups is None else resample(lambda rows: right[rows].mean())

    calibration = resample(lambda rows: _calibration_error(bin_of[rows], excess[rows], BINS), centred=True)
    estimates = {
        "accuracy": proportion(correct),
        **class_averages(labels, predictions, num_classes, groups, seed),
        "log_loss": resample(lambda rows: losses[rows].mean()),
        "calibration_error": Estimate(calibration.value, float(np.maximum(0.0, calibration.low)), calibration.high, n),
    }
    if num_classes > 10:
        estimates["top_5_accuracy"] = proportion(_in_top_k(labels, probabilities, 5))
    return estimates


def check_probabilities(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two as arrays, after checks that keep a wrong array from becoming a believable number.

    Raises:
        InputError: no rows, unequal lengths, a label that is no class, values that are not probabilities.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or not len(probabilities):
        raise InputError(f"Probabilities have shape {probabilities.shape}: expected (rows, classes), at least one row.")
    labels = class_numbers("labels", labels, probabilities.shape[1])
    if len(labels) != len(probabilities):
        raise InputError(f"There are {len(labels)} labels and {len(probabilities)} rows of probabilities.")
    sums = probabilities.sum(axis=1, dtype=np.float64)
    # bfloat16 rounds to three digits, so the sum of its probabilities may be off by a percent.
    wrong = ~(np.abs(sums - 1) <= 0.02) | (probabilities.min(axis=1) < 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"Row {row} has values from {probabilities[row].min():.3g} to {probabilities[row].max():.3g} that sum to "
            f"{sums[row]:.3g}: expected probabilities, which sum to 1. If these are logits, apply a softmax first."
        )
    return labels, probabilities
