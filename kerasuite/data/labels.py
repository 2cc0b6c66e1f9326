"""A table of photos and their labels, for photos that are not in class folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from kerasuite.contracts import Skipped
from kerasuite.data import tables
from kerasuite.data.folders import PART_FOLDERS, PARTS, TRAIN, VALIDATION, ClassFile, identity, listed
from kerasuite.errors import InputError

PATH, LABEL, GROUP, SPLIT = "path", "label", "group", "split"
# What else a column may be called; the first that is there counts.
_CALLED = {
    PATH: (PATH, "filename", "file", "image"),
    LABEL: (LABEL, "class", "category"),
    GROUP: (GROUP,),
    SPLIT: (SPLIT, "subset"),
}
# Rows in an error.
MOST_NAMED = 100
_PART_NAMES = PART_FOLDERS | {"dev": VALIDATION}


@dataclass
class Listed:
    """The photos that a table lists, by part, and what was noticed in reading it."""

    parts: dict[str, list[ClassFile]]
    skipped: list[Skipped] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def read(table: Path, folder: Path | None = None, *, own_first: bool = False) -> Listed:
    """The photos that a table lists: columns path and label, and perhaps group and split.

    Args:
        folder: where paths start, if not at the table's own folder; a path that is not there is looked for beside the
            table too.
        own_first: look beside the table first, and say so where photos are of the other folder.

    Raises:
        InputError: it cannot be used; names the rows, counted as spreadsheets do: the first below the names is row 2.
    """
    frame, first_row, notes = tables.read(table, "--labels takes a csv of path and label, with those names above them.")
    columns, renamed = _columns(table, list(frame.columns))
    notes += renamed
    rows = [_Row(number, *cells) for number, cells in enumerate(_cells(frame, columns), first_row)]
    # A blank line, at the end as a rule, is no row.
    rows = [row for row in rows if any((row.path, row.label, row.group, row.split))]
    if not rows:
        raise InputError(f"{table} has no rows below its column names. Each photo needs a row: its path and its label.")
    _refuse_rows(table, rows, columns)
    lone = [row for row in rows if not row.group] if any(row.group for row in rows) else []
    for row in lone:
        row.group = f"only {row.path}"
    if lone:
        notes += (f"{len(lone):,} row(s) of {table.name} have no group: each photo is a group of its own.",)
    starts = list(dict.fromkeys([folder or table.parent, table.parent]))
    places = _places(table, rows, starts[::-1] if own_first else starts)
    if own_first and (elsewhere := sum(start != table.parent for start, _ in places)):
        notes += (f"{elsewhere:,} of the photos in {table.name} are not beside it, and are those in {folder}.",)
    parts, skipped = _by_part(table, rows, [place for _, place in places])
    return Listed(parts, skipped, notes)


@dataclass
class _Row:
    number: int
    path: str
    label: str
    group: str
    split: str

    @property
    def part(self) -> str:
        """The part that the split names; train where there is none."""
        return _PART_NAMES[self.split.lower()] if self.split else TRAIN


def _columns(table: Path, names: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which column of the table is which, and a sentence on each that is not called by its plain name."""
    plain = tables.plain_names(table, names, (name for called in _CALLED.values() for name in called))
    columns, notes = {}, ()
    for what, called in _CALLED.items():
        found = next((name for name in called if name in plain), None)
        if found is not None:
            columns[what] = plain[found]
        if found not in (what, None):
            notes += (f"The column {plain[found]!r} of {table.name} is taken as the {what}.",)
    for what in (PATH, LABEL):
        if what not in columns:
            raise InputError(
                f"{table} has no column {' or '.join(_CALLED[what])}; it has {', '.join(map(repr, names))}."
                f"{tables.wrongly_saved(names)} The first line names the columns, such as path,label."
            )
    return columns, notes


def _cells(frame: pl.DataFrame, columns: dict[str, str]) -> Iterable[tuple[str, ...]]:
    """path, label, group and split of every row, stripped; empty where there is none."""
    cells = {
        what: frame[columns[what]].fill_null("").str.strip_chars().to_list() if what in columns else [""] * len(frame)
        for what in _CALLED
    }
    return zip(*cells.values())


def _refuse_rows(table: Path, rows: list[_Row], columns: dict[str, str]) -> None:
    """Raise where a cell is missing or says nothing; names the rows of the first fault."""
    faults = {
        "are not UTF-8. Save the table as UTF-8": [
            row for row in rows if tables.NOT_TEXT in row.path + row.label + row.group + row.split
        ],
        "have no path. Fill it in, or delete the row": [row for row in rows if not row.path],
        "have no label. Fill it in, or delete the row": [row for row in rows if not row.label],
    }
    for what, found in faults.items():
        if found:
            raise InputError(f"{len(found):,} row(s) of {table} {what}: {_named(found)}.")
    if SPLIT in columns:
        unknown = [row for row in rows if row.split.lower() not in _PART_NAMES]
        if unknown:
            values = listed((f"row {row.number} has {row.split!r}" for row in unknown), MOST_NAMED)
            raise InputError(
                f"{len(unknown):,} row(s) of {table} are in no part: {values}. The column "
                f"{columns[SPLIT]!r} takes {', '.join(_PART_NAMES)}; without the column, parts are held out."
            )


def _named(rows: list[_Row]) -> str:
    return listed((f"row {row.number}" + (f" ({row.path})" if row.path else "") for row in rows), MOST_NAMED)


def _places(table: Path, rows: list[_Row], starts: list[Path]) -> list[tuple[Path, str]]:
    """The first of the starts below which the file of each row is, and where that is."""
    places = [_place(row.path, starts) for row in rows]
    missing = [row for row, place in zip(rows, places) if place is None]
    if missing:
        slashes = " Write / in paths, not \\." if os.sep == "/" and any("\\" in row.path for row in missing) else ""
        raise InputError(
            f"{len(missing):,} file(s) that {table} names are not there. Paths start at "
            f"{' or '.join(map(str, starts))}; --data FOLDER sets another start.{slashes} Missing: {_named(missing)}."
        )
    return places


def _place(path: str, starts: list[Path]) -> tuple[Path, str] | None:
    # An absolute path swallows the folder that it is joined to.
    every = ((start, os.path.join(start, path)) for start in starts)
    return next((each for each in every if os.path.isfile(each[1])), None)


def _by_part(table: Path, rows: list[_Row], places: list[str]) -> tuple[dict[str, list[ClassFile]], list[Skipped]]:
    """Each file once, in its part; parts without rows are left out."""
    parts: dict[str, list[ClassFile]] = {part: [] for part in PARTS}
    first: dict[object, _Row] = {}
    skipped = []
    for row, place in zip(rows, places):
        other = first.setdefault(identity(place), row)
        if other is row:
            parts[row.part].append(ClassFile(row.path, place, row.label, row.group))
        else:
            _refuse_conflict(table, other, row)
            skipped.append(Skipped(row.path, f"row {row.number}: the same file as row {other.number}"))
    return {part: files for part, files in parts.items() if files}, skipped


def _refuse_conflict(table: Path, one: _Row, other: _Row) -> None:
    """Raise where two rows name one file, and say different things of it."""
    for what, a, b in (
        (LABEL, one.label, other.label),
        (SPLIT, one.part, other.part),
        (GROUP, one.group, other.group),
    ):
        if a != b:
            raise InputError(
                f"{table}: row {one.number} ({one.path}) and row {other.number} ({other.path}) are one file, with the "
                f"{what}s {a!r} and {b!r}. Delete one of them."
            )
