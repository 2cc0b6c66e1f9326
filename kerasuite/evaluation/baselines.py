"""What a model must beat: the most frequent class, and linear models on the same rows.

Fitted on train, chosen on validation (`best`), kept as plain arrays in one .npz, and applied by NumPy alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from os import PathLike

import numpy as np

from kerasuite.errors import InputError
from kerasuite.evaluation import multilabel
from kerasuite.evaluation.metrics import log_loss
from kerasuite.evaluation.tfidf import TfidfLogisticRegression

MAJORITY = "majority"
# The strongest penalty first: it is taken where all are as good.
INVERSE_PENALTIES = (0.01, 0.1, 1.0)
TFIDF_INVERSE_PENALTIES = (1.0, 4.0, 16.0)
CHUNK = 8192  # rows standardised at a time, so that predicting needs no second copy of the features


@dataclass(frozen=True)
class Majority:
    """Says the training set's class frequencies of every row, and so predicts the most frequent class.

    Args:
        frequencies: float array (num_classes,), sums to 1.

    Example:
        >>> Majority.fit(np.zeros((4, 2)), np.array([1, 1, 1, 0]), 3).probabilities(np.zeros((1, 2))).tolist()
        [[0.25, 0.75, 0.0]]
    """

    frequencies: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray, num_classes: int) -> Majority:
        """Count the labels; the features are not looked at, only their number.

        Where a row may be of several classes, labels are 0 and 1, (n, num_classes), and each class has its own share.
        """
        if np.ndim(labels) == 2:
            return cls(np.mean(labels, axis=0))
        labels = _checked_labels(labels, len(features), num_classes)
        return cls(np.bincount(labels, minlength=num_classes) / len(labels))

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """The same row for each of n rows: float array (n, num_classes)."""
        return np.tile(self.frequencies, (len(features), 1))


@dataclass(frozen=True)
class LogisticRegression:
    """Multinomial logistic regression with an L2 penalty, on standardised features.

    Each feature has its own mean, and all share one scale: for pixels, a scale each would blow up the noise of those
    that are nearly constant at the border.

    Args:
        coefficients: float array (d, num_classes), in standardised units; a class absent from train has zeros.
        intercepts: float array (num_classes,); a class absent from train has -inf, which is probability 0.
        mean: float array (d,), subtracted from the features; scale: float, divides them.
        converged: False when the optimiser ran out of iterations, which leaves a fair baseline all the same.
    """

    coefficients: np.ndarray
    intercepts: np.ndarray
    mean: np.ndarray
    scale: float
    converged: bool

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        labels: np.ndarray,
        num_classes: int,
        *,
        inverse_penalty: float = 1.0,
        max_iter: int = 200,
        tol: float = 1e-3,
    ) -> LogisticRegression:
        """Fit on train.

        Args:
            features: float array (n, d), flattened images or the like.
            labels: int array (n,); num_classes: their number, at least as many as occur.
            inverse_penalty: scikit-learn's C: the weight of the summed loss against the penalty.
            max_iter: most steps of L-BFGS.
            tol: stop when no entry of the mean loss's gradient exceeds this. On MNIST (54,000 x 784, two cores) the
                default takes 7 s to 92.07 % on validation; a tenth of it has 92.10 % after 10 s and goes on.
        """
        features = _checked_features(features)
        labels = _checked_labels(labels, len(features), num_classes)
        mean = features.mean(axis=0, dtype=np.float64)
        centred = (features - mean.astype(np.float32)).astype(np.float32, copy=False)
        scale = float(np.sqrt(np.mean(np.square(centred), dtype=np.float64))) or 1.0  # all constant: nothing to scale
        present = np.unique(labels)
        coefficients = np.zeros((features.shape[1], num_classes))
        intercepts = np.full(num_classes, -np.inf)
        intercepts[present] = 0.0
        converged = True
        if len(present) > 1:
            centred /= scale
            fitted, converged = _optimise(centred, labels, C=inverse_penalty, max_iter=max_iter, tol=tol)
            # For two classes scikit-learn keeps only the second's row: the first's are zeros.
            coefficients[:, present[-len(fitted.coef_) :]] = fitted.coef_.T
            intercepts[present[-len(fitted.intercept_) :]] = fitted.intercept_
        return cls(coefficients, intercepts, mean, scale, converged)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Softmax of the linear scores: float array (n, num_classes).

        Raises:
            InputError: features of another width than those of the fit.
        """
        features = _checked_features(features)
        if features.shape[1] != len(self.mean):
            raise InputError(
                f"The features have {features.shape[1]} columns, but the baseline was fitted on {len(self.mean)}."
            )
        logits = np.empty((len(features), len(self.intercepts)))
        for start in range(0, len(features), CHUNK):
            rows = slice(start, start + CHUNK)
            logits[rows] = (features[rows] - self.mean) / self.scale @ self.coefficients + self.intercepts
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


Baseline = Majority | LogisticRegression | TfidfLogisticRegression


def fit_all(
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    num_classes: int,
    *,
    validation: tuple[Mapping[str, np.ndarray], np.ndarray] | None = None,
) -> dict[str, Baseline]:
    """The baselines that a classifier is held against, by name: `majority`, and a linear one a set of features.

    Args:
        features: train's, float arrays (n, d), or texts (n,), by the name of the logistic regression to fit on each.
        labels: int array (n,).
        validation: its features and labels. With them each linear one has the penalty, of three, with the lowest log
            loss there, and takes three times as long; without, scikit-learn's. On TrashNet (1,768 x 1,280 features of
            EfficientNet-Lite0, twelve splits) the choice takes test accuracy from 87.6 to 88.4 %.
    """
    if not features:
        raise InputError("No features for the baselines: expected at least one set, by name.")
    majority = Majority.fit(next(iter(features.values())), labels, num_classes)

    def linear(name: str) -> LogisticRegression | TfidfLogisticRegression:
        is_text = np.asarray(features[name]).dtype == object
        kind = TfidfLogisticRegression if is_text else LogisticRegression
        if not validation:
            return kind.fit(features[name], labels, num_classes)
        penalties = TFIDF_INVERSE_PENALTIES if is_text else INVERSE_PENALTIES
        own, answers = validation[0][name], validation[1]
        found, least = None, np.inf
        for penalty in penalties:
            candidate = kind.fit(features[name], labels, num_classes, inverse_penalty=penalty)
            loss = _log_loss(answers, candidate.probabilities(own))
            if found is None or loss < least:
                found, least = candidate, loss
        return found

    return {MAJORITY: majority} | {name: linear(name) for name in features}


def probabilities(baselines: Mapping[str, Baseline], features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each baseline says of the same n rows, from its own features: float arrays (n, num_classes), by name.

    Args:
        features: (n, d) by the baseline's name. One without features, as the majority, needs none of its own.

    Raises:
        InputError: a linear baseline's features are missing.
    """
    missing = [name for name, kind in baselines.items() if not isinstance(kind, Majority) and name not in features]
    if missing or not features:
        raise InputError(
            f"The baselines {', '.join(missing or baselines)} lack their features: got those of {list(features)}."
        )
    anyones = next(iter(features.values()))
    return {name: baseline.probabilities(features.get(name, anyones)) for name, baseline in baselines.items()}


def best(baselines: Mapping[str, Baseline], features: Mapping[str, np.ndarray], labels: np.ndarray) -> str:
    """The name of the baseline with the best accuracy (of several labels: micro F1) on validation; of equals Majority.

    Args:
        baselines: by name.
        features: validation's, as for `probabilities`; labels: int array (n,).
    """
    if not baselines or not len(labels):
        raise InputError(f"The best of {len(baselines)} baselines on {len(labels)} validation rows: need one of each.")
    answers = probabilities(baselines, features)

    def standing(name: str) -> tuple[float, bool]:
        said, is_simple = answers[name], isinstance(baselines[name], Majority)
        if np.ndim(labels) == 2:
            return np.nan_to_num(multilabel.micro_f1(labels, multilabel.answers(said))), is_simple
        return float(np.mean(said.argmax(axis=1) == labels)), is_simple

    return max(baselines, key=standing)


def _log_loss(labels: np.ndarray, said: np.ndarray) -> float:
    if np.ndim(labels) == 2:
        return multilabel.multilabel_log_loss(labels, said)
    return log_loss(labels, said)


def save(path: str | PathLike, baselines: dict[str, Baseline]) -> None:
    """Write baselines by name to one .npz of plain arrays."""
    arrays = {}
    for name, baseline in baselines.items():
        for field in fields(baseline):
            arrays[f"{name}/{type(baseline).__name__}/{field.name}"] = np.asarray(getattr(baseline, field.name))
    with open(path, "wb") as file:  # a path would have .npz appended, which breaks writing to a temporary name
        np.savez(file, **arrays)


def load(path: str | PathLike) -> dict[str, Baseline]:
    """The baselines that `save` wrote. Nothing in the file is executed.

    Raises:
        InputError: the file holds something else.
    """
    kinds = {kind.__name__: kind for kind in (Majority, LogisticRegression, TfidfLogisticRegression)}
    try:
        held: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                name, kind, field = key.rsplit("/", 2)
                held.setdefault((name, kind), {})[field] = arrays[key] if arrays[key].ndim else arrays[key].item()
        return {name: kinds[kind](**values) for (name, kind), values in held.items()}
    except (ValueError, KeyError, TypeError, EOFError, AttributeError) as error:
        raise InputError(f"{path} does not hold baselines: expected a file written by baselines.save.") from error


def _optimise(features: np.ndarray, labels: np.ndarray, **options: float):
    """scikit-learn's fitted classifier, and whether it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression as Classifier

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = Classifier(**options).fit(features, labels)
    for warning in caught:
        if not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return fitted, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def _checked_features(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features)
    if features.ndim != 2:
        raise InputError(f"The features have shape {features.shape}: expected (n, d). Flatten images: reshape(n, -1).")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise InputError(f"Row {int(finite.argmin())} of the features holds NaN or infinity.")
    return features


def _checked_labels(labels: np.ndarray, n: int, num_classes: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (n,) or not n:
        raise InputError(
            f"The labels have shape {labels.shape}, the features {n} rows: expected one label a row, n > 0."
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise InputError(f"Labels run from {labels.min()} to {labels.max()}: expected classes 0 to {num_classes - 1}.")
    return labels
