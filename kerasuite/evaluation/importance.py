"""Which settings of a sweep mattered, as far as its trials can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Fewer trials than this tell too little; a range over so many times its least value is looked at by its logarithm.
FEWEST_TRIALS, LOG_RATIO = 10, 20
# A forest that explains less of the variance than this says too little to be asked what it goes by.
LEAST_EXPLAINED = 0.1
_TREES, _REPEATS = 300, 50


@dataclass(frozen=True)
class Importance:
    """How much of the objective a forest loses where a setting's values are shuffled among the trials.

    Args:
        explained: R² of the forest on trials that a tree was not grown on; near 0 or less: settings told nothing.
        lost: of each setting, the mean loss of R² over shuffles, and its standard deviation, the largest first.
        trials: how many there were.
    """

    explained: float
    lost: dict[str, tuple[float, float]]
    trials: int

    @property
    def sentence(self) -> str:
        """What can be said, with the number of trials that it is said by."""
        by = f"by {self.trials} finished trials"
        if self.explained < LEAST_EXPLAINED:
            return f"Which settings mattered cannot be told {by}: a forest of some of them hardly foresees the others."
        first, (loss, spread) = next(iter(self.lost.items()))
        if loss <= 2 * spread:
            return f"No setting stands out {by}."
        return (
            f"{first} mattered most, {by}: a random forest of them loses most where its values are shuffled. Of the "
            f"variance among trials that a tree was not grown on it explains {self.explained:.0%}."
        )


def importance(settings: Sequence[Mapping[str, Any]], values: Sequence[float], seed: int = 0) -> Importance | None:
    """Which settings mattered to the objective; None with fewer than ten trials, or values that are all the same.

    Breiman (2001), Random Forests: permutation importance.

    Args:
        settings: of each trial, by name.
        values: of the objective.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    values = np.asarray(values, float)
    if len(values) < FEWEST_TRIALS or np.ptp(values) == 0:
        return None
    names = list(dict.fromkeys(name for each in settings for name in each))
    columns = np.stack([as_numbers([each.get(name) for each in settings]) for name in names], axis=1)
    forest = RandomForestRegressor(_TREES, oob_score=True, random_state=seed).fit(columns, values)
    found = permutation_importance(forest, columns, values, n_repeats=_REPEATS, random_state=seed)
    order = np.argsort(-found.importances_mean, kind="stable")
    lost = {names[k]: (float(found.importances_mean[k]), float(found.importances_std[k])) for k in order}
    return Importance(float(forest.oob_score_), lost, len(values))


def as_numbers(values: Sequence[Any]) -> np.ndarray:
    """A setting's values as numbers, float (n,): words by their place in the alphabet, wide ranges by logarithm.

    Example:
        >>> as_numbers(["b", "a", None]).tolist(), as_numbers([1e-4, 1e-2]).tolist()
        ([2.0, 1.0, 0.0], [-4.0, -2.0])
    """
    if not is_numeric(values):
        order = {
            word: place for place, word in enumerate(sorted({str(value) for value in values if value is not None}), 1)
        }
        return np.array([order.get(str(value), 0) if value is not None else 0 for value in values], float)
    numbers = np.array(values, float)
    return np.log10(numbers) if is_logarithmic(values) else numbers


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all are numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def is_logarithmic(values: Sequence[Any]) -> bool:
    """Whether a setting's values are best seen by their logarithms."""
    return is_numeric(values) and min(values) > 0 and max(values) > LOG_RATIO * min(values)
