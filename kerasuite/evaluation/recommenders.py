"""What a recommender has to beat: popularity, neighbours, the item before, and a linear model. SciPy only.

Each gives lists of items for histories. Items that it knows nothing of follow by their popularity (of EASE, by their
number), and what stands in a history is not recommended, unless that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from kerasuite.columns import Ragged
from kerasuite.evaluation.ranking import best, without

# EASE takes the inverse of a matrix of items by items: at 8,000 items 0.5 GB, and some ten seconds.
MOST_ITEMS_OF_EASE = 8000
NEIGHBOURS, SHRINK = 100, 10.0
RIDGE = 250.0
RECENT = 0.1
# Numbers in memory at a time, in each of a few arrays: such as stay in the cache where they are put in order.
_BLOCK_CELLS = 2**18


@dataclass(frozen=True)
class Past:
    """What a baseline is fitted on: the training interactions, user by user, in order of time.

    Args:
        sequences: items of each user.
        num_items: of the catalogue, those never seen in training counted.
        times: of each interaction, or None.
        repeats: whether a user's earlier items may be recommended.
    """

    sequences: Ragged
    num_items: int
    times: Ragged | None = None
    repeats: bool = False

    @property
    def counts(self) -> np.ndarray:
        """Interactions of each item, int (items,)."""
        return np.bincount(self.sequences.values, minlength=self.num_items)


Lists = Callable[[Ragged, int], np.ndarray]


def fit_all(past: Past) -> dict[str, Lists]:
    """Every baseline that the data permit, by name: from histories and a length to lists, int (rows, length)."""
    fitted = {"most_popular": most_popular(past)}
    if past.times is not None:
        fitted["most_popular_recently"] = most_popular_recently(past)
    fitted |= {"item_knn": item_knn(past), "markov": markov(past)}
    if past.repeats:
        fitted["own_most_frequent"] = own_most_frequent(past)
    if past.num_items <= MOST_ITEMS_OF_EASE:
        fitted["ease"] = ease(past)
    return fitted


def most_popular(past: Past) -> Lists:
    """The items with the most interactions."""
    return _by_links(past, None, past.counts)


def most_popular_recently(past: Past) -> Lists:
    """The items with the most interactions in the last tenth of the training interactions."""
    since = np.quantile(past.times.values, 1 - RECENT)
    recent = np.bincount(past.sequences.values[past.times.values >= since], minlength=past.num_items)
    # Of items that are equal there, those that are popular at all come first.
    return _by_links(past, None, recent + past.counts / (past.counts.sum() + 1))


def own_most_frequent(past: Past) -> Lists:
    """What the user had most often themselves, and after it what is popular.

    Where items come again it is hard to beat: Hu et al. (2020), Modeling Personalized Item Frequency Information for
    Next-basket Recommendation, arXiv:2006.00556.
    """
    return _by_links(past, sparse.identity(past.num_items, np.float32, "csr"), past.counts, counted=True)


def markov(past: Past) -> Lists:
    """The items that most often came next after the last item of the history: a first-order Markov chain."""
    values, offsets = past.sequences.values, past.sequences.offsets
    is_last = np.zeros(len(values), bool)
    is_last[offsets[1:][past.sequences.lengths > 0] - 1] = True
    before = np.flatnonzero(~is_last)
    shape = (past.num_items, past.num_items)
    links = sparse.coo_matrix((np.ones(len(before), np.float32), (values[before], values[before + 1])), shape).tocsr()
    return _by_links(past, links, past.counts, only_last=True)


def item_knn(past: Past) -> Lists:
    """The items whose users are most like those of the history's items.

    Sarwar et al. (2001), Item-based collaborative filtering: cosines of the items' columns of users, the hundred
    nearest of each item. Cosines that few users stand behind are drawn towards 0, as Bell and Koren (2007) do.
    """
    users = np.repeat(np.arange(len(past.sequences)), past.sequences.lengths)
    shape = (len(past.sequences), past.num_items)
    had = sparse.coo_matrix((np.ones(len(users), np.float32), (users, past.sequences.values)), shape).tocsr()
    had.data[:] = 1
    norms = np.sqrt(np.asarray(had.sum(0)).ravel())
    near = []
    columns = had.T.tocsr()
    # The pairs of an item with others: as many as its users have items, some counted more than once.
    for rows in _blocks(columns @ past.sequences.lengths):
        both = (columns[rows] @ had).tocsr()
        of_row = np.repeat(rows, np.diff(both.indptr))
        cosines = both.data / (norms[of_row] * norms[both.indices])
        cosines *= both.data / (both.data + SHRINK)
        cosines[of_row == both.indices] = 0
        near.append(_largest(sparse.csr_matrix((cosines, both.indices, both.indptr), both.shape), NEIGHBOURS))
    return _by_links(past, sparse.vstack(near).tocsr(), past.counts)


def ease(past: Past) -> Lists:
    """The linear model that foresees each item of a user from all others: Steck (2019), arXiv:1905.03375.

    Its weights are -P / diag(P) with P the inverse of the items' counts in common, plus a ridge.
    """
    users = np.repeat(np.arange(len(past.sequences)), past.sequences.lengths)
    shape = (len(past.sequences), past.num_items)
    had = sparse.coo_matrix((np.ones(len(users), np.float32), (users, past.sequences.values)), shape).tocsr()
    had.data[:] = 1
    common = (had.T @ had).toarray()
    common[np.diag_indices(past.num_items)] += RIDGE
    inverse = np.linalg.inv(common)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)

    def lists(histories: Ragged, k: int) -> np.ndarray:
        found = np.empty((len(histories), k), np.int32)
        for rows in _blocks(np.full(len(histories), past.num_items)):
            some = histories[rows]
            scores = _rows_of(some, past.num_items) @ weights
            found[rows] = best(scores if past.repeats else without(scores, some), k)
        return found

    return lists


def _by_links(
    past: Past,
    links: sparse.csr_matrix | None,
    popularity: np.ndarray,
    *,
    only_last: bool = False,
    counted: bool = False,
) -> Lists:
    """Lists by the sum of the links from the history's items, and after them by popularity.

    Args:
        links: (items, items), from one that was had to one that is recommended; None leaves popularity alone.
        only_last: of a history the last item counts alone.
        counted: an item counts as often as it stands in the history.
    """
    order = np.argsort(-popularity, kind="stable")
    # Under every link there is: a popular item comes after those that are linked to, and tells equal ones apart.
    least = links.data.min(initial=1.0, where=links.data > 0) if links is not None else 1.0
    fallback = (1e-3 * least * popularity / max(popularity.max(), 1)).astype(np.float32)

    def lists(histories: Ragged, k: int) -> np.ndarray:
        found = np.empty((len(histories), k), np.int32)
        read = _last_alone(histories) if only_last else histories
        linked = _rows_of(read, len(popularity)) @ np.diff(links.indptr) if links is not None else 0 * histories.lengths
        # Longest first: every row of a block has as many of the popular items as its first.
        longest_first = np.argsort(-histories.lengths, kind="stable")
        for rows in _blocks(linked[longest_first], k + histories.lengths[longest_first]):
            rows = longest_first[rows]
            some = histories[rows]
            often = order[: k + (0 if past.repeats else some.lengths.max(initial=0))]
            candidates = _candidates(read[rows], links, often, len(popularity), counted)
            candidates.data += fallback[candidates.indices]
            if not past.repeats:
                candidates = _leave_out(candidates, some)
            found[rows] = _lists(candidates, k)
        return found

    return lists


def _blocks(cells: np.ndarray, width: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Row numbers, so many at a time that their cells fit into memory; a row is never cut.

    Args:
        cells: of each row.
        width: further cells that each row of a block has, as many as the block's first.
    """
    width, start = np.zeros(len(cells), int) if width is None else width, 0
    while start < len(cells):
        some = cells[start : start + _BLOCK_CELLS]
        needed = np.cumsum(some) + width[start] * np.arange(1, len(some) + 1)
        end = start + max(1, int(np.searchsorted(needed, _BLOCK_CELLS, side="right")))
        yield np.arange(start, end)
        start = end


def _last_alone(histories: Ragged) -> Ragged:
    """The last item of each history, of those that have any."""
    last = histories.offsets[1:][histories.lengths > 0] - 1
    return Ragged(histories.values[last], np.cumsum([0, *(histories.lengths > 0)]))


def _candidates(
    histories: Ragged, links: sparse.csr_matrix | None, often: np.ndarray, num_items: int, counted: bool
) -> sparse.csr_matrix:
    """What is linked to, with the sum of its links, and popular items, with 0 where they are not."""
    n = len(histories)
    popular = sparse.csr_matrix(
        (np.zeros(n * len(often), np.float32), np.tile(often, n), np.arange(n + 1) * len(often)), (n, num_items)
    )
    if links is None:
        return popular
    return _united(_rows_of(histories, num_items, counted) @ links, popular)


def _united(first: sparse.csr_matrix, second: sparse.csr_matrix) -> sparse.csr_matrix:
    """The sum of both, with the zeros of the second kept."""
    first, second = first.tocoo(), second.tocoo()
    parts = [np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("row", "col", "data")]
    # From coordinates to rows scipy adds up what stands twice, and keeps zeros.
    return sparse.coo_matrix((parts[2], (parts[0], parts[1])), first.shape).tocsr()


def _rows_of(histories: Ragged, num_items: int, counted: bool = False) -> sparse.csr_matrix:
    """1 for each item of each history, or how often it stands there."""
    # A copy: its items are put in order where they are.
    cells = np.ones(len(histories.values), np.float32), np.array(histories.values), histories.offsets
    made = sparse.csr_matrix(cells, (len(histories), num_items))
    made.sum_duplicates()
    if not counted:
        made.data[:] = 1
    return made


def _leave_out(scores: sparse.csr_matrix, histories: Ragged) -> sparse.csr_matrix:
    """Without the entries of items that stand in a row's history."""
    rows, width = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr)), np.int64(scores.shape[1])
    had = np.sort(np.repeat(np.arange(len(histories)), histories.lengths) * width + histories.values)
    keys = rows * width + scores.indices
    keep = np.ones(len(keys), bool)
    if len(had):
        keep = had[np.minimum(np.searchsorted(had, keys), len(had) - 1)] != keys
    starts = np.searchsorted(rows[keep], np.arange(scores.shape[0] + 1))
    return sparse.csr_matrix((scores.data[keep], scores.indices[keep], starts), scores.shape)


def _largest(scores: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """The k largest of each row."""
    rows, place, order = _ordered(scores)
    keep = place < k
    starts = np.searchsorted(rows[keep], np.arange(scores.shape[0] + 1))
    return sparse.csr_matrix((scores.data[order[keep]], scores.indices[order[keep]], starts), scores.shape)


def _ordered(scores: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the entries, row by row and the largest first, the row, the place in it, and the position among all.

    Of equal ones the first comes first.
    """
    lengths = np.diff(scores.indptr)
    rows = np.repeat(np.arange(scores.shape[0]), lengths)
    # One number an entry, which is put in order much sooner than two: floats from 0 on are in the order of their bits.
    turned_round = np.iinfo(np.int32).max - scores.data.astype(np.float32, copy=False).view(np.int32)
    order = np.argsort(rows << 32 | turned_round, kind="stable")
    return rows, np.arange(len(rows)) - np.repeat(scores.indptr[:-1], lengths), order


def _lists(scores: sparse.csr_matrix, k: int) -> np.ndarray:
    """The k items of each row with the highest scores; of equal ones the first: int (rows, k), -1 where too few."""
    scores.sort_indices()
    rows, place, order = _ordered(scores)
    found = np.full((scores.shape[0], k), -1, np.int32)
    keep = place < k
    found[rows[keep], place[keep]] = scores.indices[order][keep]
    return found
