"""What passes between the rooms: Examples, Splits and Plan. Each is plain data; none needs TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from kerasuite.columns import Ragged, RowIds
from kerasuite.errors import InputError

_ROWS_AT_ONCE = 256


class Skipped(NamedTuple):
    """An input that could not be used, by name, with the reason."""

    id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.id}: {self.reason}"


def named(what: str, items: Iterable[Any], most: int = 20, total: int | None = None) -> str:
    """A sentence that names items, the first of them where they are many; total, if there are more than are given.

    Example:
        >>> named("2 inputs were skipped", [Skipped("a.png", "empty"), Skipped("b.png", "broken")])
        '2 inputs were skipped: a.png: empty; b.png: broken.'
    """
    items = [str(item) for item in items]
    others = (len(items) if total is None else total) - min(len(items), most)
    more = f"; and {others:,} more" if others else ""
    return f"{what}: {'; '.join(items[:most])}{more}."


def skipped_warning(skipped: Sequence[Skipped]) -> list[str]:
    """The sentence on what was skipped, if anything was."""
    one = len(skipped) == 1
    return [named(f"{len(skipped):,} input{' was' if one else 's were'} skipped", skipped)] if skipped else []


@dataclass(frozen=True)
class Examples:
    """Columns of equal length with random access: one row an example.

    Args:
        inputs: what the model reads, by column name; arrays or ragged columns of n rows.
        labels: int array (n,), positions in class_names; or uint8 (n, classes), 1 for each class that a row is of,
            where it may be of several; None when there are no labels.
        ids: n names, one an example: a path, or a source and its row. Strings or RowIds.
        class_names: the name of each label.
        groups: array (n,) of what belongs together (a patient, an object), or None.
        facts: what else is known of each row (the size of a picture, a digest of its content), by name; not for the
            model.

    Raises:
        InputError: columns of unequal length, or labels outside class_names.

    Example:
        >>> examples = Examples({"image": np.zeros((3, 8, 8, 1), np.uint8)}, np.array([0, 1, 0]))
        >>> len(examples), examples.ids[2], examples.class_names
        (3, 'row[2]', ('0', '1'))
    """

    inputs: dict[str, np.ndarray | Ragged]
    labels: np.ndarray | None = None
    ids: Sequence[str] | np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    groups: np.ndarray | None = None
    facts: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        lengths = {name: len(column) for name, column in (self.inputs | self.facts).items()}
        n = len(next(iter(self.inputs.values())))
        if self.ids is None:
            object.__setattr__(self, "ids", RowIds("row", np.arange(n)))
        if self.labels is not None:
            if np.asarray(self.labels).dtype.kind not in "iub":
                raise InputError(
                    f"Labels are {np.asarray(self.labels).dtype}; expected whole numbers, positions in class_names."
                )
            kind = np.uint8 if np.ndim(self.labels) == 2 else np.int32
            object.__setattr__(self, "labels", np.asarray(self.labels, kind))
            if self.class_names is None:
                number = self.labels.shape[1] if self.is_multi_label else np.max(self.labels, initial=-1) + 1
                names = tuple(map(str, range(number)))
                object.__setattr__(self, "class_names", names)
        if self.class_names is not None and len(set(self.class_names)) < len(self.class_names):
            raise InputError(f"A class name stands twice in {', '.join(self.class_names)}. Each class needs its own.")
        lengths["ids"] = len(self.ids)
        for name in ("labels", "groups"):
            if getattr(self, name) is not None:
                lengths[name] = len(getattr(self, name))
        if len(set(lengths.values())) > 1:
            raise InputError(f"The columns have unequal lengths: {lengths}. Each needs one entry an example.")
        if self.is_multi_label:
            if self.labels.shape[1] != len(self.class_names) or self.labels.max(initial=0) > 1:
                raise InputError(
                    f"Labels of several classes have the shape {self.labels.shape}; expected 0 or 1 for each row and "
                    f"each of {len(self.class_names)} classes."
                )
        elif self.labels is not None and n and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise InputError(
                f"Labels run from {self.labels.min()} to {self.labels.max()}, but there are {len(self.class_names)} "
                f"class names: labels are positions 0 to {len(self.class_names) - 1}."
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_multi_label(self) -> bool:
        """Whether a row may be of several classes, or of none."""
        return self.labels is not None and self.labels.ndim == 2

    @property
    def class_counts(self) -> np.ndarray:
        """Rows of each class, int (classes,)."""
        if self.is_multi_label:
            return self.labels.sum(axis=0, dtype=int)
        return np.bincount(self.labels, minlength=len(self.class_names))

    def take(self, indices: np.ndarray) -> Examples:
        """The examples at these positions, in this order."""
        pick = lambda column: None if column is None else column[indices]  # noqa: E731
        return replace(
            self,
            inputs={name: column[indices] for name, column in self.inputs.items()},
            labels=pick(self.labels),
            ids=self.ids[indices],
            groups=pick(self.groups),
            facts={name: column[indices] for name, column in self.facts.items()},
        )

    def fingerprint(self) -> str:
        """A digest of every row, its label, its place, and the names of the classes: 16 hexadecimal digits."""
        content = hashlib.blake2b(repr(self.class_names).encode(), digest_size=8)
        for column in (*self.inputs.values(), *self.facts.values(), self.labels, self.groups):
            if column is None:
                continue
            # A share at a time: a column may lie on disk and be larger than the memory.
            for start in range(0, len(column), _ROWS_AT_ONCE):
                rows = column[np.arange(start, min(start + _ROWS_AT_ONCE, len(column)))]
                if column.dtype.kind in "UO":
                    content.update(repr(rows.tolist()).encode())
                    continue
                parts = (rows.lengths, rows.values) if isinstance(rows, Ragged) else (rows,)
                for part in parts:
                    content.update(np.ascontiguousarray(part).data.cast("B"))
        return content.hexdigest()

    @classmethod
    def from_frame(cls, frame: Any, *, label: str, id: str | None = None, group: str | None = None) -> Examples:
        """Examples from a data frame (pandas or polars): every column that is not named here is an input.

        Args:
            frame: a data frame with `columns` and item access by column name.
            label: the column of class names.
            id: the column that names each row; row numbers if None.
            group: the column of what belongs together.
        """
        absent = [name for name in (label, id, group) if name is not None and name not in list(frame.columns)]
        if absent:
            raise InputError(f"The frame has no column {', '.join(absent)}; it has {', '.join(frame.columns)}.")
        given = np.asarray(frame[label], object)
        # A missing label is None, or what is not equal to itself: NaN, NaT and pandas' NA.
        missing = [row for row, each in enumerate(given) if each is None or not _is_equal(each, each)]
        if missing:
            raise InputError(f"{len(missing):,} row(s) of the frame have no {label}, the first is row {missing[0]}.")
        names, labels = np.unique(given.astype(str), return_inverse=True)
        columns = [name for name in frame.columns if name not in (label, id, group)]
        return cls(
            {name: _column(frame[name]) for name in columns},
            labels.astype(np.int32),
            None if id is None else np.asarray(frame[id]).astype(str),
            tuple(names.tolist()),
            None if group is None else np.asarray(frame[group]),
        )


def _is_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except TypeError:
        # As pandas' NA is neither equal nor unequal to anything.
        return False


def _column(values: Any) -> np.ndarray:
    """An array of a frame's column; a column whose cells are arrays becomes one array of them."""
    values = np.asarray(values)
    return np.stack(list(values)) if values.dtype == object and isinstance(values[0], np.ndarray) else values


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets of examples, and what was noticed on the way.

    Args:
        skipped: inputs that could not be used, with reasons; of very many the first.
        num_skipped: how many these are, if more than are named.
        notes: sentences that a reader of the report should know (a size that was chosen).
        warnings: sentences to read before any number (what was skipped, what stands in train and in test).
        columns: of a table, what those are called that were taken: "text" and "label", each with its name.
    """

    train: Examples
    validation: Examples
    test: Examples
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    num_skipped: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        empty = [name for name in ("train", "validation", "test") if not len(getattr(self, name))]
        if empty:
            raise InputError(f"No rows for {' and '.join(empty)}: each of train, validation and test needs some.")

    @property
    def counts(self) -> dict[str, int]:
        """Rows a part, and how many inputs were skipped."""
        parts = {name: len(getattr(self, name)) for name in ("train", "validation", "test")}
        return parts | {"skipped": max(self.num_skipped, len(self.skipped))}

    def fingerprint(self) -> str:
        """A digest of all three parts."""
        return "-".join(part.fingerprint() for part in (self.train, self.validation, self.test))


@dataclass(frozen=True)
class Plan:
    """The order of the rows of every epoch: a pure function of (seed, epoch).

    `epoch(e)` gives `indices`, int64 (steps, batch_size), and `weights`, float32 of the same shape: 1, or 0 for the
    rows that fill up the last batch.

    Args:
        num_rows: rows an epoch.
        views: how many versions of each row the examples hold, view by view: row r in view v stands at
            v * num_rows + r. An epoch has each row in one view, and consecutive epochs go through all of them; rows
            begin with different views, so that each epoch has some of every view.

    Example:
        >>> plan = Plan(4, batch_size=4, seed=0, views=3)
        >>> sorted(int(i) for epoch in range(3) for i in plan.epoch(epoch)[0].ravel()) == list(range(12))
        True
    """

    num_rows: int
    batch_size: int
    seed: int
    shuffle: bool = True
    views: int = 1
    steps_per_epoch: int = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "steps_per_epoch", -(-self.num_rows // self.batch_size))

    def epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows and the weights of each step of an epoch."""
        # NumPy's generator seeded by both numbers: TensorFlow's index_shuffle gives like orders in unlike epochs.
        rows = (
            np.random.default_rng([self.seed, epoch]).permutation(self.num_rows)
            if self.shuffle
            else np.arange(self.num_rows)
        )
        if self.views > 1:
            # A third number, and not 0, keeps these apart from the orders of the epochs.
            first = np.random.default_rng([self.seed, 0, 1]).integers(self.views, size=self.num_rows)
            rows = (epoch + first[rows]) % self.views * self.num_rows + rows
        short = self.steps_per_epoch * self.batch_size - self.num_rows
        weights = np.ones(self.num_rows + short, np.float32)
        weights[self.num_rows :] = 0
        # np.resize repeats the order from its start: the fillers are rows of other batches, wherever there are others.
        shape = (self.steps_per_epoch, self.batch_size)
        return np.resize(rows, shape).astype(np.int64), weights.reshape(shape)
