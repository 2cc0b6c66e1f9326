"""Tables as people have them (csv, tsv, jsonl, parquet), with every cell as text."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from kerasuite.data import delimited, folders
from kerasuite.errors import InputError

DELIMITED, LINES, PARQUET = (".csv", ".tsv"), (".jsonl", ".ndjson"), (".parquet",)
ENDINGS = DELIMITED + LINES + PARQUET
NOT_TEXT = "\N{REPLACEMENT CHARACTER}"  # what stands for bytes that are not UTF-8
# Before each member of a list in jsonl or parquet: what no text has in it.
LISTED = "\x1f"
_MIXED = r"^[\[{]|\x00"
_RENAMED = re.compile(r"_duplicated_\d+$")
_MOST_WHOLE = 2**53  # above it a float no longer tells whole numbers apart


class Table(NamedTuple):
    """A frame of strings, null where a cell is missing.

    `first_row` is the number that people see beside its first row: 2 below a line of names, as spreadsheets count.
    """

    frame: pl.DataFrame
    first_row: int
    notes: tuple[str, ...] = ()


def is_table(path: str | Path) -> bool:
    """Whether a file's name ends as that of a table; .csv.gz counts too."""
    return Path(str(path).lower().removesuffix(".gz")).suffix in ENDINGS


def is_delimited(path: str | Path) -> bool:
    """Whether a file's name ends as that of a csv or tsv."""
    return Path(str(path).lower().removesuffix(".gz")).suffix in DELIMITED


def read(path: Path, takes: str = "", *, has_names: bool = True, ending: str = "") -> Table:
    """Read a table. Bytes that are no UTF-8 become U+FFFD.

    Args:
        takes: what is expected there, for errors.
        has_names: whether the first line of a csv or tsv names the columns.
        ending: what the file is to be read as, if its own says nothing.

    Raises:
        InputError: it cannot be read; names the row.
    """
    ending = ending or Path(path.name.lower().removesuffix(".gz")).suffix
    if folders.shown(path.name) != path.name:
        raise InputError(f"The name of {folders.shown(str(path))} is not UTF-8: rename it.")
    try:
        if not path.stat().st_size:
            raise pl.exceptions.NoDataError
        if ending in LINES:
            return Table(_as_text(_json_lines(path)), 1)
        if ending in PARQUET:
            return Table(_as_text(pl.read_parquet(path, glob=False)), 1)
        return Table(*delimited.read(path, has_names))
    except (OSError, EOFError, zlib.error) as fault:
        why = getattr(fault, "strerror", None) or fault
        raise InputError(f"{path} cannot be read: {why}. {takes}".rstrip()) from fault
    except pl.exceptions.NoDataError as fault:
        raise InputError(f"{path} is empty. {takes}".rstrip()) from fault
    except pl.exceptions.PolarsError as fault:
        raise InputError(f"{path} cannot be read as {ending[1:]}: {str(fault).splitlines()[0]}.") from fault


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(_column_as_text(column) for column in frame.iter_columns())


def _column_as_text(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if kind.is_nested() or kind in (pl.Binary, pl.Duration, pl.Object):
        return pl.Series(column.name, map(cell, column.to_list()), pl.String)
    if kind.is_float():
        # What pandas has missing is NaN; whole numbers come as floats where a cell is missing.
        column = column.fill_nan(None)
        return (column.cast(pl.Int64) if _is_whole(column) else column).cast(pl.String)
    return column.cast(pl.String)


def cell(value: Any) -> str | None:
    """What a value of jsonl or parquet is as text: of a list what `members` takes apart, of a dictionary its JSON.

    >>> cell(["a", "b|c"]) == f"{LISTED}a{LISTED}b|c", cell(True), cell({"a": [1]}), cell(None)
    (True, 'true', '{"a": [1]}', None)
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        texts = (json.dumps(each, default=str) if isinstance(each, list) else cell(each) for each in value)
        return LISTED + LISTED.join(text for text in texts if text is not None)
    return json.dumps(value, default=str) if isinstance(value, bool | dict) else str(value)


def sound(text: str) -> str:
    """The text, with U+FFFD for what is no character: half of a pair of surrogates, or a byte that is no UTF-8."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def members(cell: str) -> list[str] | None:
    """Those of a list; None of a cell that holds none.

    >>> members(f"{LISTED}a{LISTED}b|c"), members(LISTED), members("a|b")
    (['a', 'b|c'], [], None)
    """
    if not cell.startswith(LISTED):
        return None
    return [member for member in cell.split(LISTED) if member]


def _is_whole(numbers: pl.Series) -> bool:
    known = numbers.drop_nulls()
    return bool((known.is_finite() & (known == known.round()) & (known.abs() < _MOST_WHOLE)).all())


def _json_lines(path: Path) -> pl.DataFrame:
    with delimited.opened(path) as file:
        text = file.read().decode("utf-8-sig", "replace")
    try:
        frame = pl.read_ndjson(io.BytesIO(text.encode()), infer_schema_length=None)
    except pl.exceptions.PolarsError as fault:
        # Columns of several types, or NaN, which Python writes.
        rows = _objects(path, text, fault)
        names = dict.fromkeys(name for row in rows for name in row)
        return pl.DataFrame([_of_any(name, [row.get(name) for row in rows]) for name in names])
    # A column of strings and lists comes as strings, the lists as JSON; half a pair of surrogates comes as NUL.
    mixed = [each.name for each in frame.iter_columns() if each.dtype == pl.String and each.str.contains(_MIXED).any()]
    if mixed:
        rows = _objects(path, text)
        frame = frame.with_columns(pl.Series(name, [cell(row.get(name)) for row in rows], pl.String) for name in mixed)
    return frame


def _objects(path: Path, text: str, fault: Exception | None = None) -> list[dict[str, Any]]:
    """What the lines hold."""
    rows = []
    # Not splitlines(): a text may have a character in it that ends a line elsewhere.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        with contextlib.suppress(ValueError):
            if isinstance(row := json.loads(line), dict):
                rows.append(row)
                continue
        raise InputError(
            f"{path}, line {number} is no JSON object: {line[:80]}. Each line is one, such as "
            '{"text": "...", "label": "..."}.'
        ) from fault
    return rows


def _of_any(name: str, values: list[Any]) -> pl.Series:
    """A column of whatever the lines have; of numbers alone, one of numbers."""
    kinds = {type(value) for value in values if value is not None}
    if kinds in ({float}, {int, float}):
        return pl.Series(name, values, pl.Float64)
    return pl.Series(name, map(cell, values), pl.String)


# Columns


def plain_names(path: Path, names: list[str], wanted: Iterable[str]) -> dict[str, str]:
    """The columns by their names in lower case and without spaces around; of columns of one name the first.

    Raises:
        InputError: two columns have one of the wanted names.
    """
    plain: dict[str, str] = {}
    wanted = set(wanted)
    for name in names:
        own = original(name)
        other = plain.setdefault(own.strip().lower(), name)
        if other != name and own.strip().lower() in wanted:
            raise InputError(f"{path} has the columns {other!r} and {own!r}. Keep one.")
    return plain


def original(name: str) -> str:
    """What a column is called in the file: of two of one name polars renames the second."""
    return _RENAMED.sub("", name)


def wrongly_saved(texts: Iterable[str]) -> str:
    """What is wrong with the file, where it shows in the names of its columns."""
    if any("\r" in text for text in texts):
        return " Its lines end in CR alone: save it with the line ends of Windows or Unix."
    return " It is not UTF-8: save it as that." if any(NOT_TEXT in text for text in texts) else ""
