"""How sure a number is: intervals, and paired tests of two models on the same rows. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kerasuite.errors import InputError

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile: two-sided 95 %
MAX_DRAWN_ROWS = 2e7
MIN_RESAMPLES = 200
# What fewer groups say of others no resampling of them tells.
FEWEST_GROUPS = 5

Word = Literal["better", "not shown", "worse"]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and the count of rows behind it. NaN where there is nothing to tell."""

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain numbers for JSON, which has no NaN: None stands for it.

        >>> Estimate(0.5, float("nan"), 1.0, 2).as_dict()
        {'value': 0.5, 'low': None, 'high': 1.0, 'n': 2}
        """
        bounds = {name: float(getattr(self, name)) for name in ("value", "low", "high")}
        return {name: number if math.isfinite(number) else None for name, number in bounds.items()} | {"n": int(self.n)}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, float | int | None]) -> Estimate:
        """What `as_dict` gave.

        >>> Estimate.from_dict(Estimate(0.5, float("nan"), 1.0, 2).as_dict())
        Estimate(value=0.5, low=nan, high=1.0, n=2)
        """
        return cls(**{name: math.nan if number is None else number for name, number in numbers.items()})


def interval_words(estimate: Estimate) -> str:
    """A number with its interval, as text; a dash where there is nothing to tell.

    >>> interval_words(Estimate(0.5, 0.25, 1.0, 8)), interval_words(Estimate(0.5, math.nan, math.nan, 1))
    ('0.500 (0.250 to 1.000)', '0.500')
    """
    if not math.isfinite(estimate.value):
        return "–"
    interval = f" ({estimate.low:.3f} to {estimate.high:.3f})" if math.isfinite(estimate.low + estimate.high) else ""
    return f"{estimate.value:.3f}{interval}"


def wilson(successes: int, n: int, z: float = Z_95) -> Estimate:
    """The score interval of a proportion: stays inside 0 and 1, and has a width at 0 and at n successes too.

    Args:
        successes: how many of the n.
        n: number of independent rows; 0 gives NaN between 0 and 1.
        z: the normal quantile of the wanted coverage.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.

    Example:
        >>> wilson(8, 10)  # (8 + z²/2) / (10 + z²) = 0.717, plus or minus 0.227
        Estimate(value=0.8, low=0.49..., high=0.94..., n=10)
    """
    if not 0 <= successes <= n:
        raise InputError(f"{successes} successes of {n} rows: expected a count from 0 to {n}.")
    if n == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    value = float(successes) / n
    centre = (value + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
    # Rounding alone would put the bound of a perfect score at 0.9999999999999999.
    return Estimate(value, max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half)), int(n))


def bounded_resamples(n: int, resamples: int) -> int:
    """As many resamples as asked for while rows times resamples stays within 2e7, but never below 200.

    >>> bounded_resamples(10_000, 1000), bounded_resamples(40_000, 1000), bounded_resamples(10**7, 1000)
    (1000, 500, 200)
    """
    return min(resamples, max(MIN_RESAMPLES, int(MAX_DRAWN_ROWS // max(n, 1))))


def percentile_interval(value: float, draws: np.ndarray, n: int, *, centred: bool = False) -> Estimate:
    """The middle 95 % of the resampled values; those that are NaN are left out. For `centred` see `bootstrap`.

    >>> percentile_interval(2.0, np.array([1.0, 2.0, 3.0, np.nan]), 9)
    Estimate(value=2.0, low=1.05, high=2.95, n=9)
    """
    draws = np.asarray(draws, np.float64)
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Estimate(float(value), math.nan, math.nan, int(n))
    low, high = np.quantile(draws, (0.025, 0.975)) + (value - draws.mean() if centred else 0.0)
    return Estimate(float(value), float(low), float(high), int(n))


def group_codes(groups: np.ndarray, n: int) -> tuple[int, np.ndarray]:
    """How many groups there are, and each row's group as a number from 0: int array (n,)."""
    if np.shape(groups) != (n,):
        raise InputError(
            f"The groups have shape {np.shape(groups)}, but there are {n} rows: one group a row is needed."
        )
    names, codes = np.unique(groups, return_inverse=True)
    return len(names), codes


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    n: int,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    resamples: int = 1000,
    centred: bool = False,
) -> Estimate:
    """The percentile interval of a statistic over resampled rows, or over resampled groups of rows.

    Rows of one patient or one user are not independent. With `groups`, whole groups are drawn, so that the interval is
    about new groups; fewer than five say next to nothing about others, and the interval is NaN.

    Args:
        statistic: takes row numbers, int array, and returns a number.
        n: number of rows.
        groups: array (n,), the group of each row.
        resamples: how many; bounded, see `bounded_resamples`.
        centred: shift the interval by the resampled values' bias. For statistics that the noise of resampling pushes
            one way (a sum of absolute differences goes up), where the plain interval can miss the value itself.

    Source: Efron (1979), Bootstrap methods; groups: Davison and Hinkley (1997), section 3.8.

    Example:
        >>> right = np.array([1, 1, 0, 1, 0])
        >>> bootstrap(lambda rows: right[rows].mean(), 5)
        Estimate(value=0.6, low=0.2, high=1.0, n=5)
    """
    value = float(statistic(np.arange(n)))
    draw, units = drawing_rows(n, groups)
    if not is_enough(units, groups):
        return Estimate(value, math.nan, math.nan, n)
    rng = np.random.default_rng(seed)
    draws = np.array([statistic(draw(rng)) for _ in range(bounded_resamples(n, resamples))], np.float64)
    return percentile_interval(value, draws, n, centred=centred)


def is_enough(units: int, groups: np.ndarray | None) -> bool:
    """Whether so many rows, or groups where there are groups, can be resampled for an interval.

    >>> is_enough(2, None), is_enough(2, np.array([0, 0, 1])), is_enough(5, np.arange(5))
    (True, False, True)
    """
    return units >= (2 if groups is None else FEWEST_GROUPS)


def drawing_rows(n: int, groups: np.ndarray | None) -> tuple[Callable[[np.random.Generator], np.ndarray], int]:
    """A function that draws one resample of row numbers, and the number of units that it draws from."""
    if groups is None:
        return lambda rng: rng.integers(n, size=n), n
    num_groups, codes = group_codes(groups, n)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes, minlength=num_groups)
    starts = np.cumsum(sizes) - sizes

    def draw(rng: np.random.Generator) -> np.ndarray:
        drawn = rng.integers(num_groups, size=num_groups)
        lengths = sizes[drawn]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return order[np.repeat(starts[drawn], lengths) + within]

    return draw, num_groups


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> float:
    """The exact two-sided p-value that two models are right equally often, from the rows on which they differ.

    Under that hypothesis the rows that only the first gets right are Binomial(differing rows, 1/2).

    Args:
        first_correct: bool array (n,); second_correct: likewise, on the same rows.

    Source: McNemar (1947); the exact form is the binomial test. In logarithms, since 2**-10000 is zero in floats.

    Example:
        >>> mcnemar(np.array([1, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 0]))  # 4 of 4 differing rows: 2 * (1/2)**4
        0.125
    """
    first, second = _paired(first_correct, second_correct)
    only_first, only_second = int((first > second).sum()), int((first < second).sum())
    n, k = only_first + only_second, np.arange(1, min(only_first, only_second) + 1)
    log_choose = np.concatenate(([0.0], np.cumsum(np.log(n - k + 1) - np.log(k))))
    return float(min(1.0, 2 * np.exp(log_choose - n * math.log(2)).sum()))


def paired_bootstrap(
    first: np.ndarray, second: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 0, resamples: int = 1000
) -> tuple[Estimate, float]:
    """The mean difference of two models' scores on the same rows (or users), its interval, and a two-sided p-value.

    The p-value is below 0.05 when the 95 % interval leaves out zero. It is never below 2 / 2**units: by chance alone
    that often all units favour the same model, whatever resampling a handful of them says. One unit gives 1.

    Args:
        first: float or bool array (n,), higher is better; second: likewise, on the same rows.
        groups: array (n,); whole groups are drawn.

    Example:
        >>> difference, p = paired_bootstrap(np.ones(8), np.zeros(8))
        >>> difference.value, p  # 2 / 2**8
        (1.0, 0.0078125)
    """
    first, second = _paired(first, second)
    differences = first.astype(np.float64) - second.astype(np.float64)
    mean = lambda rows: differences[rows].mean()  # noqa: E731
    return paired_statistic(mean, len(differences), groups=groups, seed=seed, resamples=resamples)


def paired_statistic(
    difference: Callable[[np.ndarray], float],
    n: int,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[Estimate, float]:
    """As `paired_bootstrap`, of any difference of two models that is worked out over row numbers."""
    draws = []

    def statistic(rows: np.ndarray) -> float:
        draws.append(difference(rows))
        return draws[-1]

    estimate = bootstrap(statistic, n, groups=groups, seed=seed, resamples=resamples)
    draws = np.array(draws[1:])  # the first is the value itself
    units = n if groups is None else len(np.unique(groups))
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    return estimate, float(min(1.0, max(2 * (1 + tail) / (1 + len(draws)), 2.0 ** (1 - units))))


def verdict(
    model_correct: np.ndarray,
    baseline_correct: np.ndarray,
    alpha: float = 0.05,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[Word, float]:
    """Whether a model is shown to be better than a baseline on the same rows, and the p-value.

    McNemar's exact test where rows are right or wrong and independent; the paired bootstrap where rows come in
    groups, or where each row (a user, say) has a score that is not a yes or no.

    Args:
        model_correct: bool array (n,), or float array of scores, higher is better; baseline_correct: likewise.
        alpha: the p-value below which a difference counts as shown.

    Returns:
        "better", "not shown" or "worse", and the two-sided p-value.

    Example:
        >>> verdict(np.ones(10, bool), np.zeros(10, bool))
        ('better', 0.001953125)
    """
    model, baseline = _paired(model_correct, baseline_correct)
    if groups is None and _is_binary(model) and _is_binary(baseline):
        p = mcnemar(model, baseline)
    else:
        p = paired_bootstrap(model, baseline, groups=groups, seed=seed)[1]
    if p >= alpha:
        return "not shown", p
    return ("better" if model.mean() > baseline.mean() else "worse"), p


def _is_binary(scores: np.ndarray) -> bool:
    return bool(np.isin(scores, (0, 1)).all())


def _paired(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise InputError(
            f"Paired scores need two arrays (n,) of the same rows, n > 0: got shapes {first.shape} and {second.shape}."
        )
    return first + 0, second + 0  # numbers, not bools: bools cannot be subtracted
