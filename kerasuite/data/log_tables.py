"""The tables that logs of interactions come in, and which of their columns is which."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import polars as pl

from kerasuite.data import delimited, log_times, named, tables
from kerasuite.errors import InputError

USER, ITEM, TIME, RATING = "user", "item", "time", "rating"
SOURCE, ROW, REST = "source", "row", "rest"
# What a column may be called if nothing is said, with spaces, dashes and underscores left out.
CALLED = {
    USER: (
        *(USER, "userid", "uid", "reviewerid", "customerid", "customer", "visitorid", "memberid", "accountid"),
        *("sessionid", "session"),
    ),
    ITEM: (
        *(ITEM, "itemid", "iid", "movieid", "productid", "product", "articleid", "trackid", "songid", "videoid"),
        *("bookid", "isbn", "asin", "parentasin", "businessid", "venueid", "gameid", "recipeid", "newsid", "sku"),
    ),
    TIME: (TIME, "timestamp", "ts", "date", "datetime", "unixreviewtime", "eventtime", "createdat"),
    RATING: (RATING, "ratings", "score", "overall", "stars"),
}
# What else speaks of times in a column's name, as timeframe, t_dat and InvoiceDate do; its values decide, by so many of
# the first: numbers are seconds since 1970 from 1973 on.
_SPEAKS_OF_TIMES, _LOOKED_AT, _EPOCHS = re.compile("time|date|stamp|dat$"), 1000, 1e8
# Columns of files that have no names above them, by their number.
_UNNAMED = {2: (USER, ITEM), 4: (USER, ITEM, RATING, TIME)}
_UNNAMED_ENDINGS, _DOUBLE_COLON = (".txt", ".data", ".dat"), "::"
# RecBole's atomic files: tab-separated, each name with its type behind it.
_TYPED_ENDINGS = (".inter",)
# The log among the files of a data set's folder.
_IN_FOLDERS = ("ratings.csv", "ratings.dat", "u.data", "*.inter", "interactions.csv")
TAKES = (
    f"--data takes {', '.join(named.LOGS)}, or tables of users, items, and perhaps times and ratings "
    f"({', '.join(tables.ENDINGS)}, .inter; MovieLens's .dat and .data; two columns in a .txt)"
)


@dataclass(frozen=True)
class LogColumns:
    """What the columns are called; guessed where it is not said."""

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None


class LogTable(NamedTuple):
    """Rows as text: user, item, source, row, and time and rating where there are any; nothing missing but ''.

    `rest` is a number for all that a row has besides user, item and time, as its order: rows that agree have the same.
    """

    path: Path
    frame: pl.DataFrame
    notes: tuple[str, ...]


def paths(names: Sequence[str]) -> list[Path]:
    """The files that names stand for: data sets by name, files, and the log in a data set's folder."""
    found = []
    for name in names:
        path = named.LOGS[name]() if name in named.LOGS else Path(name).expanduser()
        if path.is_dir():
            inside = list(dict.fromkeys(each for pattern in _IN_FOLDERS for each in sorted(path.glob(pattern))))
            if not inside:
                raise InputError(f"{path} has none of {', '.join(_IN_FOLDERS)} in it. Name the file.")
            if len(inside) > 1:
                raise InputError(
                    f"{path} has {' and '.join(each.name for each in inside)} in it. Name the one to read."
                )
            path = inside[0]
        if not path.is_file():
            raise InputError(f"{name} is neither the name of a data set nor there as a file. {TAKES}.")
        found.append(path)
    return found


def read(path: Path, columns: LogColumns) -> LogTable:
    """One table of a log.

    Raises:
        InputError: it cannot be read, or it is not clear which column is which; names those there are.
    """
    table = _table(path)
    names, notes = _column_names(path, table.frame.columns, columns)
    if TIME not in names:
        time, said = _time_by_its_values(path, table.frame, names.values())
        names |= {TIME: time} if time else {}
        notes += said
    in_order = [(what, names[what]) for what in CALLED if what in names]
    cells = [pl.col(name).fill_null("").str.strip_chars().alias(what) for what, name in in_order]
    frame = table.frame.select(cells).with_columns(
        pl.lit(path.name).alias(SOURCE),
        (pl.int_range(pl.len()) + table.first_row).alias(ROW),
        _rest(table.frame, names),
    )
    is_blank = pl.all_horizontal(pl.col(list(names)) == "")
    return LogTable(path, frame.filter(~is_blank), table.notes + notes)


def _rest(frame: pl.DataFrame, names: Mapping[str, str]) -> pl.Series:
    """What rows that a user, an item and a time do not tell apart are compared by."""
    others = sorted({*frame.columns} - {name for what, name in names.items() if what != RATING})
    if not others:
        return pl.zeros(len(frame), pl.UInt64, eager=True).alias(REST)
    return frame.select(pl.col(others).fill_null("").str.strip_chars()).hash_rows().alias(REST)


def _table(path: Path) -> tables.Table:
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending in _UNNAMED_ENDINGS:
        table = cells(path)
        return named_after_all(path, table) if _are_names(table.frame.row(0)) else _unnamed(path, table)
    if ending in _TYPED_ENDINGS:
        table = tables.read(path, TAKES, ending=".tsv")
        names = [name.split(":")[0] for name in table.frame.columns]
        return table._replace(frame=with_names(path, table.frame, names))
    if not tables.is_table(path):
        raise InputError(f"{path} is not named as a log is. {TAKES}.")
    table = tables.read(path, TAKES)
    if tables.is_delimited(path) and all(_is_number(name) for name in table.frame.columns):
        # The first row stands where names are expected.
        return _unnamed(path, tables.read(path, TAKES, has_names=False))
    return table


def _are_names(cells: Sequence[str | None]) -> bool:
    """Whether the first line of a file that has no names as a rule has them after all."""
    known = {name for called in CALLED.values() for name in called}
    return any(plain(cell or "") in known for cell in cells)


def named_after_all(path: Path, table: tables.Table) -> tables.Table:
    """The rows below the first, which has the names of the columns, and a note on it.

    Raises:
        InputError: two of the columns have one name.
    """
    frame, names = table.frame, [cell or f"column_{number}" for number, cell in enumerate(table.frame.row(0), 1)]
    note = f"The first line of {path.name} is taken as the names of its columns."
    return tables.Table(with_names(path, frame[1:], names), 2, (*table.notes, note))


def with_names(path: Path, frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The frame with other names of its columns.

    Raises:
        InputError: two of them have one name.
    """
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise InputError(f"{path} has several columns {', '.join(map(repr, twice))}. Rename all but one.")
    return frame.rename(dict(zip(frame.columns, names)))


def _unnamed(path: Path, table: tables.Table) -> tables.Table:
    frame, width = table.frame, len(table.frame.columns)
    if width not in _UNNAMED:
        raise InputError(
            f"{path} has {width} columns and no names above them; without names, two are taken as user and item, and "
            "four as user, item, rating and time. Put a line of names above the rows, such as user,item,time."
        )
    names = _UNNAMED[width]
    if width == 4:
        third, fourth = (log_times.seconds(frame[:_LOOKED_AT, column]).median() or 0 for column in (2, 3))
        # No rating is so large, but seconds since 1970 are.
        names = (USER, ITEM, TIME, RATING) if third > max(_EPOCHS, fourth) else names
    note = f"{path.name} has no names above its columns: they are taken as {', '.join(names)}."
    return tables.Table(frame.rename(dict(zip(frame.columns, names))), 1, (*table.notes, note))


def cells(path: Path, separators: Sequence[str] = (_DOUBLE_COLON, "\t", ",")) -> tables.Table:
    """The cells of lines as text, cut at the first of the separators that the first line has, or at spaces.

    Raises:
        InputError: it cannot be read, or is empty, or a line has more cells than the first.
    """
    try:
        raw = delimited.opened(path).read()
    except (OSError, EOFError, zlib.error) as fault:
        raise InputError(f"{path} cannot be read: {getattr(fault, 'strerror', None) or fault}.") from fault
    if not raw.strip():
        raise InputError(f"{path} is empty. {TAKES}.")
    notes = ()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        # MovieLens's older files are.
        text, notes = raw.decode("latin-1"), (f"{path.name} is not UTF-8: it is read as Latin-1.",)
    first = text.lstrip().split("\n", 1)[0]
    separator = next((mark for mark in separators if mark in first), " ")
    if separator == _DOUBLE_COLON:
        text, separator = text.replace(_DOUBLE_COLON, "\x1f"), "\x1f"
    if separator == " ":
        text = re.sub(r"(?m)^ +| +\r?$|(?<= ) +", "", text)
    try:
        frame = pl.read_csv(
            io.BytesIO(text.encode()), separator=separator, has_header=False, quote_char=None, infer_schema=False
        )
        return tables.Table(frame, 1, notes)
    except pl.exceptions.PolarsError as fault:
        width = first.count(separator) + 1
        lines = enumerate(text.splitlines(), 1)
        row, line = next(((row, line) for row, line in lines if line.count(separator) + 1 > width), (0, ""))
        why = f"line {row} has more than the {width} columns of the first line: {line[:80]!r}" if row else str(fault)
        raise InputError(f"{path} cannot be read: {why}.") from fault


def _is_number(text: str) -> bool:
    try:
        float(text.split("_duplicated_")[0])
    except ValueError:
        return False
    return True


def _column_names(path: Path, there: Sequence[str], columns: LogColumns) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which column is which, and a sentence on what was guessed."""
    listed = f"it has {', '.join(map(repr, there))}"
    found = {each.name: name for each in fields(columns) if (name := getattr(columns, each.name)) is not None}
    for what, name in found.items():
        if name not in there:
            raise InputError(f"{path} has no column {name!r} (--{what}-column); {listed}.")
    guessed = []
    for what, called in CALLED.items():
        if what in found:
            continue
        fitting = [name for name in there if plain(name) in called and name not in found.values()]
        if len(fitting) > 1:
            raise InputError(
                f"{path} has {len(fitting)} columns that may hold the {what}: {', '.join(map(repr, fitting))}. Say "
                f"which by --{what}-column."
            )
        if fitting:
            found[what] = fitting[0]
            guessed += [f"{fitting[0]!r} as the {what}"] if fitting[0] != what else []
        elif what in (USER, ITEM):
            raise InputError(
                f"Which column of {path} holds the {what}s is not clear: {listed}.{tables.wrongly_saved(there)} Name "
                f"it by --{what}-column. If that is a row and not the names of columns, put a line of names above it, "
                "such as user,item,time."
            )
    for what, name in found.items():
        if (others := [other for other in found if found[other] == name]) != [what]:
            raise InputError(f"The column {name!r} of {path} is said to hold the {' and the '.join(others)}.")
        if any(tables.original(other) == name != other for other in there):
            raise InputError(f"{path} has several columns {name!r}. Rename all but one.")
    return found, (f"Of {path.name}, the column {' and '.join(guessed)} is taken.",) if guessed else ()


def _time_by_its_values(path: Path, frame: pl.DataFrame, others: Iterable[str]) -> tuple[str | None, tuple[str, ...]]:
    """The column whose name speaks of times and whose first values are some, and a sentence on it.

    The file's order is no substitute for it, so a column that only its name speaks for is named too. Numbers may be
    durations, so they have to be such as count from 1970.
    """
    found, unread = [], {}
    for name in frame.columns:
        known = frame[name].drop_nulls().str.strip_chars().head(_LOOKED_AT)
        known = known.filter(known != "")
        if name in others or not len(known) or not _SPEAKS_OF_TIMES.search(name.lower()):
            continue
        times = log_times.seconds(known)
        are_dates = times.null_count() == 0 and not log_times.are_numbers(known).any()
        if are_dates or (times.median() or 0) > _EPOCHS:
            found.append(name)
        else:
            unread[name] = known[0]
    if len(found) > 1:
        raise InputError(
            f"{path} has {len(found)} columns that may hold the time: {', '.join(map(repr, sorted(found)))}. Say which "
            "by --time-column."
        )
    if found:
        return found[0], (f"Of {path.name}, the column {found[0]!r} is taken as the time.",)
    said = (
        f"Of {path.name}, the column {name!r} is not taken as the time: {first!r} is neither a date such as 2026-01-31 "
        "nor seconds since 1970. If it says when, write it so; --time-column takes numbers of any unit."
        for name, first in unread.items()
    )
    return None, tuple(said)


def plain(name: str) -> str:
    """A column's name in lower case, letters and digits alone."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
