"""Rows of unlike lengths in batches of like lengths: less padding, and an order that is still a plan."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

# Lengths count as equal where they are rounded up to the same number: at most an eighth of a batch is padding.
_FINEST, _SHARE = 2, 8


def rounded(lengths: np.ndarray) -> np.ndarray:
    """Lengths rounded up, to multiples of 2 at first and then to coarser ones: at most by an eighth, or by 1.

    Example:
        >>> rounded(np.array([1, 4, 5, 33, 63, 65, 513])).tolist()
        [2, 4, 6, 36, 64, 72, 576]
    """
    lengths = np.maximum(np.asarray(lengths), 1)
    # The largest power of two that is at most an eighth of the length.
    grain = np.maximum(2 ** np.floor(np.log2(np.maximum(lengths, _SHARE) / _SHARE)).astype(int), _FINEST)
    return -(-lengths // grain) * grain


@dataclass(frozen=True)
class LengthPlan:
    """Batches of rows of like lengths, of so many tokens at most: the order is a pure function of (seed, epoch).

    `epoch(e)` gives `indices` and `weights`, one array a step each. Rows of equal (rounded) length are dealt out anew
    in each epoch, and the batches come in a new order; how many there are never changes.

    Args:
        lengths: tokens of each row, int (n,).
        max_tokens: of a batch, padding counted; a row longer than that is a batch of its own.
        max_rows: of a batch.
        multiple: a batch is filled up to a multiple of so many rows, with rows of weight 0, so that it can be shared
            evenly. Which rows stand together does not depend on it.
        row_weights: what each row counts, float (n,); 1 if not given.

    Example:
        >>> plan = LengthPlan(np.array([3, 9, 4, 12, 4]), max_tokens=12, max_rows=8, seed=0, shuffle=False)
        >>> [rows.tolist() for rows in plan.epoch(0)[0]]
        [[0, 2, 4], [1], [3]]
    """

    lengths: np.ndarray
    max_tokens: int
    max_rows: int
    seed: int
    shuffle: bool = True
    multiple: int = 1
    row_weights: np.ndarray | None = None
    num_rows: int = field(init=False)
    steps_per_epoch: int = field(init=False)
    batch_size: None = field(init=False, default=None)
    _cuts: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "num_rows", len(self.lengths))
        object.__setattr__(self, "_cuts", self._cut())
        object.__setattr__(self, "steps_per_epoch", len(self._cuts) + 1)

    def _cut(self) -> np.ndarray:
        """Where one batch ends and the next begins, among the rows from the shortest to the longest."""
        lengths = np.sort(rounded(self.lengths))
        cuts, start = [], 0
        while True:
            rows = np.arange(1, min(self.max_rows, len(lengths) - start) + 1)
            fits = rows * lengths[start : start + len(rows)] <= self.max_tokens
            # A longer row makes all of its batch longer, so that what fits is a beginning.
            start += max(int(fits.sum()), 1)
            if start >= len(lengths):
                return np.array(cuts, int)
            cuts.append(start)

    def epoch(self, epoch: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The rows and the weights of each step of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        dealt = rng.permutation(self.num_rows) if self.shuffle else np.arange(self.num_rows)
        order = dealt[np.argsort(rounded(self.lengths)[dealt], kind="stable")]
        batches = np.split(order, self._cuts)
        if self.shuffle:
            batches = [batches[k] for k in rng.permutation(len(batches))]
        short = [-len(rows) % self.multiple for rows in batches]
        indices = [np.resize(rows, len(rows) + missing) for rows, missing in zip(batches, short)]
        weights = [
            np.concatenate([self._weights(rows), np.zeros(missing, np.float32)])
            for rows, missing in zip(batches, short)
        ]
        return indices, weights

    def _weights(self, rows: np.ndarray) -> np.ndarray:
        return np.ones(len(rows), np.float32) if self.row_weights is None else self.row_weights[rows].astype(np.float32)
