"""How well lists of recommendations foresee what a user took next: one target a user, among all items. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kerasuite.columns import Ragged
from kerasuite.errors import InputError
from kerasuite.evaluation.intervals import Estimate, bootstrap, wilson

CUTS = (5, 10, 20)
LONGEST = max(CUTS)
# Items of a chunk, when the best of many are looked for.
CHUNK = 64
HEADLINE = "ndcg@10"
POPULARITY = ("head", "middle", "tail", "never in training")


def places(lists: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Where each target stands in its list, 0 for first, and the list's length where it does not: int (users,).

    Args:
        lists: int (users, k), positions of items, best first; -1 where a list is shorter.
        targets: int (users,).

    Example:
        >>> places(np.array([[4, 2, 7], [1, 0, 3]]), np.array([7, 5])).tolist()
        [2, 3]
    """
    found = lists == np.asarray(targets)[:, None]
    return np.where(found.any(1), found.argmax(1), lists.shape[1])


def by_user(lists: np.ndarray, targets: np.ndarray, cuts: Sequence[int] = CUTS) -> dict[str, np.ndarray]:
    """Each user's score by each measure: float (users,).

    With one target a user, the hit rate is recall too; the ideal list has the target first, so that a target in place
    p (from 0) has the discounted gain 1 / log2(p + 2) (Järvelin and Kekäläinen 2002, Cumulated gain-based evaluation)
    and the reciprocal rank 1 / (p + 1).

    Example:
        >>> scores = by_user(np.array([[4, 2], [1, 0]]), np.array([2, 5]), (2,))
        >>> {name: each.round(3).tolist() for name, each in scores.items()}
        {'ndcg@2': [0.631, 0.0], 'hit_rate@2': [1.0, 0.0], 'mrr@2': [0.5, 0.0]}
    """
    if lists.shape[1] < max(cuts):
        raise InputError(f"The lists have {lists.shape[1]} items; {max(cuts)} are needed.")
    place = places(lists, targets)
    scores = {}
    for cut in cuts:
        hit = place < cut
        scores[f"ndcg@{cut}"] = hit / np.log2(place + 2)
        scores[f"hit_rate@{cut}"] = hit.astype(float)
        scores[f"mrr@{cut}"] = hit / (place + 1)
    return scores


def estimates(scores: Mapping[str, np.ndarray], rows: np.ndarray | None = None) -> dict[str, Estimate]:
    """Means over users, each with its 95 % interval: Wilson's for hit rates, else of resampled users.

    Args:
        scores: what `by_user` gave.
        rows: of which users; all if None.
    """
    return {name: _estimate(name, each if rows is None else each[rows]) for name, each in scores.items()}


def _estimate(name: str, scores: np.ndarray) -> Estimate:
    if name.startswith("hit_rate"):
        return wilson(int(scores.sum()), len(scores))
    return bootstrap(lambda rows: scores[rows].mean() if len(scores) else np.nan, len(scores))


# Lists from scores


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """The k items with the highest scores of each row, best first; of equal ones the first: int (rows, k).

    An item with the score -inf is in no list: -1 stands there.

    Example:
        >>> best(np.array([[1.0, 3.0, 3.0, -np.inf]]), 4).tolist()
        [[1, 2, 0, -1]]
    """
    if np.isnan(scores.max(initial=-np.inf)):
        raise InputError("A model's scores of items are not numbers (NaN): there is nothing to rank by.")
    # Whatever is as good as the k-th may be in the list, so that equal scores are told apart by their place alone.
    least = np.maximum(_reached_by(scores, k), np.finfo(scores.dtype).min)
    lists = np.full((len(scores), k), -1, np.int32)
    for row, each in enumerate(scores):
        candidates = np.flatnonzero(each >= least[row])
        chosen = candidates[np.argsort(-each[candidates], kind="stable")[:k]]
        lists[row, : len(chosen)] = chosen
    return lists


def _reached_by(scores: np.ndarray, k: int) -> np.ndarray:
    """A score that k items of each row reach, and of many items few more do: (rows,).

    The k-th largest of all, or of the largest of each chunk of items, which is found sooner.
    """
    chunks = scores.shape[1] // CHUNK
    if chunks >= 4 * k:
        # A chunk has every `chunks`-th item: NumPy is slow at the largest of so few that stand side by side.
        scores = scores[:, : chunks * CHUNK].reshape(len(scores), CHUNK, chunks).max(1)
    place = scores.shape[1] - min(k, scores.shape[1])
    return np.partition(scores, place, axis=1)[:, place]


def without(scores: np.ndarray, histories: Ragged) -> np.ndarray:
    """Scores (rows, items) with -inf for what stands in the history of each row."""
    scores = np.array(scores, np.float32)
    scores[np.repeat(np.arange(len(histories)), histories.lengths), histories.values] = -np.inf
    return scores


# Beyond accuracy


def popularity_groups(counts: np.ndarray) -> np.ndarray:
    """Each item's group, a position in POPULARITY: int (items,).

    The most popular items, which together have a third of the training interactions, are the head, those of the
    second third the middle.

    Args:
        counts: interactions of each item in training.

    Example:
        >>> popularity_groups(np.array([5, 1, 3, 0, 1, 5])).tolist()
        [0, 2, 2, 3, 2, 1]
    """
    order = np.argsort(-counts, kind="stable")
    # An item is of the group in which the first of its interactions lies.
    before = np.cumsum(counts[order]) - counts[order]
    groups = np.empty(len(counts), int)
    groups[order] = np.minimum(3 * before // max(counts.sum(), 1), 2)
    return np.where(counts > 0, groups, 3)


def beyond_accuracy(lists: np.ndarray, counts: np.ndarray, cut: int = 10) -> dict[str, float]:
    """What is recommended, whether right or not, by name.

    `coverage`: share of all items that are in somebody's list. `novelty`: mean of -log2 of the share of the training
    interactions that an item has, one more interaction given to each (Castells et al. 2015, Novelty and diversity in
    recommender systems). `popularity`: training interactions of a recommended item, mean. `gini`: 0 where all items
    are recommended equally often, near 1 where a few are.

    Args:
        lists: int (users, k).
        counts: interactions of each item in training.

    Example:
        >>> found = beyond_accuracy(np.array([[0, 1], [0, 2]]), np.array([6, 1, 1, 0]), 2)
        >>> found["coverage"], found["popularity"]
        (0.75, 3.5)
    """
    shown = lists[:, :cut]
    shown = shown[shown >= 0]
    shares = (counts + 1) / (counts.sum() + len(counts))
    often = np.sort(np.bincount(shown, minlength=len(counts)))
    weights = 2 * np.arange(1, len(often) + 1) - len(often) - 1
    return {
        "coverage": float((often > 0).mean()),
        "novelty": float(-np.log2(shares[shown]).mean()),
        "popularity": float(counts[shown].mean()),
        "gini": float((weights * often).sum() / (len(often) * max(often.sum(), 1))),
    }
