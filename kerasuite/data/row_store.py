"""Rows of one shape under keys, in a folder on disk: appended to, never changed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kerasuite.data.duplicates import across

KEY = np.dtype("S64")
_ROWS, _INDEX, _LOCK = "rows.bin", "index.bin", "lock"


class Column:
    """Rows that lie in files on disk, in an order of their own: what an array is to those who index it.

    Args:
        parts: (rows of a file (m, ...), places int (n,): which of the file's rows stand where), one after another.

    Example:
        >>> column = Column([(np.arange(6).reshape(3, 2), np.array([2, 0])), (np.zeros((1, 2), int), np.array([0]))])
        >>> column.shape, column[np.array([2, 0])].tolist()
        ((3, 2), [[0, 0], [4, 5]])
    """

    def __init__(self, parts: Iterable[tuple[np.ndarray, np.ndarray]]):
        self._parts = list(parts)
        rows = self._parts[0][0]
        self._ends = np.cumsum([len(places) for _, places in self._parts])
        self.shape, self.dtype, self.ndim = (int(self._ends[-1]), *rows.shape[1:]), rows.dtype, rows.ndim

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index) -> np.ndarray:
        wanted = np.arange(len(self))[index]
        rows = np.atleast_1d(wanted)
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        part_of = np.searchsorted(self._ends, rows, side="right")
        for k, (file, places) in enumerate(self._parts):
            mine = np.flatnonzero(part_of == k)
            found[mine] = file[places[rows[mine] - self._ends[k] + len(places)]]
        return found if np.ndim(wanted) else found[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def followed_by(self, other: Column) -> Column:
        """These rows, then the other's."""
        return Column([*self._parts, *other._parts])


class RowStore:
    """Rows under keys of at most 64 bytes.

    A row counts once its key is in the index, which is written after it: what a killed process leaves behind is
    overwritten by the next.

    Args:
        folder: made when it is needed.
        shape, dtype: of one row.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: np.dtype | type):
        self.folder, self.shape, self.dtype = folder, tuple(shape), np.dtype(dtype)
        self.row_bytes = int(np.prod(shape)) * self.dtype.itemsize

    def bytes_of(self, number: int) -> int:
        """What so many rows take on the disk, with their keys."""
        return number * (self.row_bytes + KEY.itemsize)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing and from deleting."""
        path, is_ours = self.folder / _LOCK, False
        while not is_ours:
            self.folder.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as held:
                # Another process may delete the store, the lock with it, while this one makes it or waits for it.
                with contextlib.suppress(FileNotFoundError):
                    file = held.enter_context(open(path, "wb"))
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        print(f"Another process is at work in {self.folder}: waiting for it.", file=sys.stderr)
                        fcntl.flock(file, fcntl.LOCK_EX)
                    is_ours = _is_at(file, path)
                if is_ours:
                    yield

    def places(self, keys: np.ndarray) -> np.ndarray:
        """Where the row of each key lies, int (n,); -1 where there is none."""
        found, first = across(self._index(), keys.astype(KEY))
        places = np.full(len(keys), -1)
        places[found] = first
        return places

    def missing(self, keys: np.ndarray) -> np.ndarray:
        """Positions of the keys that have no row, each key once, in order."""
        first = np.unique(keys, return_index=True)[1]
        return np.intersect1d(first, np.flatnonzero(self.places(keys) < 0))

    def append(self, keys: np.ndarray, values: np.ndarray) -> None:
        """Add rows (n, ...) under their keys, to be called within `locked`."""
        known = self._count()
        # Keys that have lost their rows are gone before other rows come to lie there.
        self._cut(_INDEX, known * KEY.itemsize)
        # The rows are on the disk before the index names them.
        self._write(_ROWS, known * self.row_bytes, np.ascontiguousarray(values, self.dtype))
        self._write(_INDEX, known * KEY.itemsize, keys.astype(KEY))

    def _write(self, name: str, at: int, values: np.ndarray) -> None:
        """Put an array's bytes at a place of a file, which ends behind them."""
        path = self.folder / name
        path.touch()
        try:
            with open(path, "r+b") as file:
                file.truncate(at)
                file.seek(at)
                file.write(values.tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            # What is half-written must not take the space that is missing.
            with contextlib.suppress(OSError):
                os.truncate(path, at)
            raise

    def _cut(self, name: str, at: int) -> None:
        """Let a file end at this place, if it goes on behind it."""
        path = self.folder / name
        if path.is_file() and path.stat().st_size > at:
            self._write(name, at, np.empty(0))

    def clear(self) -> None:
        """Drop all rows, to be called within `locked`. Columns that are in use keep theirs."""
        for name in (_ROWS, _INDEX):
            (self.folder / name).unlink(missing_ok=True)

    def column(self, keys: np.ndarray) -> Column:
        """The rows of these keys, in this order, read when they are asked for."""
        places = self.places(keys)
        if (places < 0).any():
            raise KeyError(keys[places < 0][0])
        rows = np.memmap(self.folder / _ROWS, self.dtype, "r", shape=(self._count(), *self.shape))
        return Column([(rows, places)])

    def _count(self) -> int:
        """How many rows are whole: on the disk, and in the index."""
        sizes = [(self.folder / _INDEX, KEY.itemsize), (self.folder / _ROWS, self.row_bytes)]
        return min(path.stat().st_size // size if path.is_file() else 0 for path, size in sizes)

    def _index(self) -> np.ndarray:
        """The keys of the rows that are whole, in their order."""
        number = self._count()
        return np.fromfile(self.folder / _INDEX, KEY, number) if number else np.empty(0, KEY)


# Stores that others have made


def is_store(folder: Path) -> bool:
    """Whether a folder holds a store, and nothing else."""
    try:
        names = set(os.listdir(folder))
    except OSError:
        return False
    return _LOCK in names and names <= {_ROWS, _INDEX, _LOCK}


def bytes_taken(folder: Path) -> int:
    """What a store takes on the disk."""
    taken = 0
    for name in (_ROWS, _INDEX):
        with contextlib.suppress(FileNotFoundError):
            taken += (folder / name).stat().st_size
    return taken


def delete(folder: Path) -> bool:
    """Delete a store, or leave it and say False where a process is at work in it. Columns that are in use stay."""
    path = folder / _LOCK
    try:
        with open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(file, path):
                return False
            for name in (_ROWS, _INDEX, _LOCK):
                (folder / name).unlink(missing_ok=True)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        # Another process was faster.
        pass
    # It may be there anew already.
    with contextlib.suppress(OSError):
        folder.rmdir()
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file still is the one at a path."""
    return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
