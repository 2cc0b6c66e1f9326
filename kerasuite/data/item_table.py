"""What items are called, and what groups they belong to: a table beside a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from kerasuite.data import log_tables, tables
from kerasuite.errors import InputError

ID, TITLE, GROUP = "id", "title", "group"
MOST_LETTERS = 200
# What a column may be called, with spaces, dashes and underscores left out.
_CALLED = {
    ID: (ID, *log_tables.CALLED[log_tables.ITEM]),
    TITLE: (TITLE, "name", "movietitle", "itemname", "productname"),
    GROUP: (GROUP, "genre", "genres", "category", "categories", "class", "brand"),
}
# Beside a log in the folder of a data set.
_BESIDE = ("movies.csv", "movies.dat", "items.csv")
# MovieLens's movies.dat has no names above its columns.
_UNNAMED = (ID, TITLE, GROUP)
# Its u.item has five columns, then one of 0 or 1 for each of these, in the order of its u.genre.
_BEFORE_GENRES = 5
_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


class Items(NamedTuple):
    """Titles and groups of items, '' where nothing is known, in the order of a catalogue; and what was noticed."""

    titles: np.ndarray
    groups: np.ndarray
    notes: tuple[str, ...] = ()


def beside(log: Path) -> Path | None:
    """The table of items that lies beside a log, as MovieLens and RecBole have it."""
    own = f"{log.name.split('.')[0]}.item"
    if log.suffix == ".inter":
        names = (own,)
    elif log.suffix in (".dat", ".data") or log.name == "ratings.csv":
        names = (own, *_BESIDE)
    else:
        names = ()
    return next((log.parent / name for name in names if (log.parent / name).is_file()), None)


def unused(path: Path, fault: InputError, number: int) -> Items:
    """Nothing of so many items, where a table that was not asked for cannot be used."""
    empty = np.full(number, "")
    return Items(empty, empty, (f"{path.name}, which lies beside the log, is not used. {fault}",))


def read(path: Path, item_ids: Sequence[str]) -> Items:
    """The titles and groups of a catalogue's items. Of several groups (`Drama|Crime`, or a list) the first counts.

    Raises:
        InputError: it cannot be read, no column holds ids, or none of the ids is in the catalogue.
    """
    frame, notes = _frame(path)
    names, said = _columns(path, frame, item_ids)
    cells = [pl.col(name).fill_null("").str.strip_chars().alias(what) for what, name in names.items()]
    with_id = frame.select(cells).filter(pl.col(ID) != "")
    known = with_id.unique(ID, keep="first", maintain_order=True)
    if not len(known):
        raise InputError(f"{path} has no item in it.")
    catalogue = pl.DataFrame({ID: np.asarray(item_ids, object)}, schema={ID: pl.String})
    found = catalogue.join(known, on=ID, how="left", maintain_order="left")
    number = int(catalogue[ID].is_in(known[ID].to_list()).sum())
    if not number:
        raise InputError(
            f"None of the {len(known):,} items of {path} is in the log; the first is {known[ID][0]!r}, and the log's "
            f"first is {item_ids[0]!r}."
        )
    titles = _texts(found, TITLE)
    groups = [_first(several) for several in _texts(found, GROUP)]
    counted = {
        f"of {len(item_ids):,} items are not in it": len(item_ids) - number,
        "row(s) of it have no id": len(frame) - len(with_id),
        "row(s) of it have an id that stands there before": len(with_id) - len(known),
        f"titles of over {MOST_LETTERS} letters are cut": sum(len(title) > MOST_LETTERS for title in titles),
    }
    notes += (*said, f"Titles and groups of the items are those of {path.name}.")
    notes += tuple(f"{count:,} {what}." for what, count in counted.items() if count)
    if any(groups):
        notes += (
            f"Of {path.name}, {names[GROUP]!r} is taken as the group of an item, the first where there are several.",
        )
    # Each array is as wide as the longest that it holds.
    return Items(*(np.array([text[:MOST_LETTERS] for text in texts]) for texts in (titles, groups)), notes)


def _texts(frame: pl.DataFrame, what: str) -> list[str]:
    return frame[what].fill_null("").to_list() if what in frame.columns else [""] * len(frame)


def _first(groups: str) -> str:
    parts = tables.members(groups) or groups.split("|")
    return parts[0].strip()


def _frame(path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The table with names of its columns, and a sentence on where these are from, if that is not as usual."""
    if not path.is_file():
        raise InputError(f"--items {path} is not there as a file.")
    if path.suffix.lower() in (".dat", ".item"):
        frame = log_tables.cells(path, ("::", "\t", "|")).frame
        if ":" in (frame.row(0)[0] or ""):
            return _typed(path, frame), ()
        if _are_names(frame.row(0)):
            named = log_tables.named_after_all(path, tables.Table(frame, 1))
            return named.frame, named.notes
        if frame.width == _BEFORE_GENRES + len(_GENRES):
            return _flagged(frame), ()
        return frame.rename(dict(zip(frame.columns, _UNNAMED))), ()
    if not tables.is_table(path):
        raise InputError(f"--items {path} is not named as a table is ({', '.join(tables.ENDINGS)}, .item, .dat).")
    return tables.read(path, "--items takes a table of ids, titles and groups.").frame, ()


def _are_names(cells: Sequence[str | None]) -> bool:
    """Whether a first line has names, as in HetRec's files: of the ids and of titles or groups, and no number."""
    there = {log_tables.plain(cell or "") for cell in cells}
    told = {*_CALLED[TITLE], *_CALLED[GROUP]}
    return bool(there & {*_CALLED[ID]} and there & told) and not any(cell.isdigit() for cell in there)


def _flagged(frame: pl.DataFrame) -> pl.DataFrame:
    """MovieLens 100K's u.item: the genres that are flagged, with | between them."""
    flags = zip(frame.columns[_BEFORE_GENRES:], _GENRES)
    genres = [pl.when(pl.col(column) == "1").then(pl.lit(genre)) for column, genre in flags]
    names = [pl.col(column).alias(name) for column, name in zip(frame.columns, (ID, TITLE))]
    return frame.select(*names, pl.concat_str(genres, separator="|", ignore_nulls=True).alias(GROUP))


def _typed(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """RecBole's: each name in the first row with its type; spaces part the members of a sequence."""
    named = [str(name).split(":") for name in frame.row(0)]
    frame = log_tables.with_names(path, frame[1:], [name for name, *_ in named])
    lists = [name for name, *kind in named if kind == ["token_seq"] and log_tables.plain(name) in _CALLED[GROUP]]
    return frame.with_columns(pl.col(name).str.replace_all(" ", "|", literal=True) for name in lists)


def _columns(path: Path, frame: pl.DataFrame, item_ids: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which column is which, and a sentence on what was guessed."""
    there, found, notes = frame.columns, {}, ()
    for what, called in _CALLED.items():
        fitting = [name for name in there if log_tables.plain(name) in called and name not in found.values()]
        if what == ID and len(fitting) > 1:
            fitting = [max(fitting, key=lambda name: frame[name].str.strip_chars().is_in(item_ids).sum())]
            notes = (f"Of {path.name}, {fitting[0]!r} is taken as the ids: most of its values are in the log.",)
        if fitting:
            found[what] = min(fitting, key=lambda name: called.index(log_tables.plain(name)))
    if ID not in found:
        raise InputError(
            f"No column of --items {path} is called as ids are (item, item_id, movieId, ...); it has "
            f"{', '.join(map(repr, there))}."
        )
    if len(found) == 1:
        raise InputError(f"--items {path} has no titles and no groups; it has {', '.join(map(repr, there))}.")
    return found, notes
