"""Columns that are no arrays and are indexed like them: rows of unlike lengths, and the names of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


class RowIds(Sequence):
    """Names of rows of an array, such as `x_train[17]`, each made when it is asked for.

    Args:
        source: what the rows are rows of.
        rows: int array (n,), the row's number in the source.
    """

    def __init__(self, source: str, rows: np.ndarray):
        self.source = source
        self.rows = np.asarray(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        if np.ndim(index) == 0 and not isinstance(index, slice):
            return f"{self.source}[{self.rows[index]}]"
        return RowIds(self.source, self.rows[index])

    @staticmethod
    def names(sources: Iterable[str], rows: Iterable[int | None]) -> list[str]:
        """The names of rows of several sources; a source that is no table has no rows.

        Example:
            >>> RowIds.names(["a.csv", "b.txt"], [3, None])
            ['a.csv[3]', 'b.txt']
        """
        return [source if row is None else f"{source}[{row}]" for source, row in zip(sources, rows)]


@dataclass(frozen=True)
class Ragged:
    """A column whose rows are of unlike lengths, one after another; indexed as an array is.

    Args:
        values: (total, ...); may lie on disk.
        offsets: int64 (n + 1,): row k is values[offsets[k] : offsets[k + 1]].

    Example:
        >>> column = Ragged.of([[7, 8], [], [9]])
        >>> len(column), column.lengths.tolist(), column[np.array([2, 0])].values.tolist(), column[0].tolist()
        (3, [2, 0, 1], [9, 7, 8], [7, 8])
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]], dtype: Any = np.int32) -> Ragged:
        """A column of these rows."""
        lengths = [len(row) for row in rows]
        values = np.concatenate([np.asarray(row, dtype) for row in rows]) if rows else np.empty(0, dtype)
        return cls(values, np.cumsum([0, *lengths]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index) -> Ragged | np.ndarray:
        if np.ndim(index) == 0 and not isinstance(index, slice):
            row = range(len(self))[index]
            return self.values[self.offsets[row] : self.offsets[row + 1]]
        rows = np.arange(len(self))[index]
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        # Where each value stands: its row's start, and how far it is from there.
        places = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Ragged(self.values[places], offsets)

    @property
    def lengths(self) -> np.ndarray:
        """Values a row, int64 (n,)."""
        return np.diff(self.offsets)

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return self.values.dtype
