"""What `--data` may name for texts, to labelled examples: tables, folders of class folders of .txt files, data sets."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from kerasuite.columns import RowIds
from kerasuite.contracts import Examples, Skipped
from kerasuite.data import classes, folders, named, tables, text_columns, text_labels
from kerasuite.data.duplicates import DIGEST, MINIMA, text_digests
from kerasuite.data.folders import PART_FOLDERS, PARTS, TEST, TRAIN, VALIDATION, FileKind, listed
from kerasuite.data.near_texts import minima
from kerasuite.data.splits import Source
from kerasuite.data.text_columns import CALLED, GROUP, LABEL, SPLIT, TEXT, UNSAID, Columns
from kerasuite.errors import InputError

_TAKES = (
    f"--data takes {', '.join(named.TEXTS)}, tables ({', '.join(tables.ENDINGS)}) of texts and labels, a folder of "
    "tables named train, validation or test, or a folder with one folder of .txt files for each class"
)
_FILES = FileKind("texts", (".txt",), _TAKES)
NOT_UTF8 = "not UTF-8, or with characters that were lost before"
# aclImdb's folder of reviews without a label, beside train/pos and train/neg.
_UNLABELLED = "unsup"


class _Found(NamedTuple):
    """Rows as frames of text, label, group, source and row, by part; and what was noticed in reading them.

    `columns` is what the texts and labels are called in the first table.
    """

    parts: dict[str, pl.DataFrame]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    columns: Mapping[str, str] = {}


def text_splits(
    data: Sequence[str], *, validation: Sequence[str] = (), test: Sequence[str] = (), columns: Columns = UNSAID
) -> Source:
    """Read what `--data`, `--validation-data` and `--test-data` name, to train on it.

    Returns:
        The parts as given, with one numbering of the classes: those of train. Each row has its digest as a fact, and
        the minima that find nearly the same texts.

    Raises:
        InputError: it cannot be used; says why, and what can be done.
    """
    given = {TRAIN: _paths(data), VALIDATION: _paths(validation), TEST: _paths(test)}
    called = folders.called([path for paths in given.values() for path in paths])
    found = _together([_read(path, columns, called) for path in given[TRAIN]])
    for part, names in ((VALIDATION, validation), (TEST, test)):
        if not names:
            continue
        if part in found.parts:
            raise InputError(f"--{part}-data {names[0]}: {data[0]} has a part {part} already. Leave one of them out.")
        others = _together([_read(path, columns, called) for path in given[part]])
        # All that the named files hold is of this part, whatever they call it.
        whole = others._replace(parts={part: pl.concat(others.parts.values())})
        found = _together([found, whole])
    source = _source(found, columns)
    if source.train is not None and not source.train.class_names:
        where = f" in the column {source.columns[LABEL]!r}" if source.columns else ""
        raise InputError(f"No text of {data[0]} has a label{where}. Name another column by --label-column.")
    return classes.settled(source, data[0])


def labelled_texts(
    data: Sequence[str], class_names: Sequence[str], columns: Columns = UNSAID
) -> tuple[Examples, tuple[Skipped, ...], tuple[str, ...]]:
    """Read what `--data` names, to evaluate on it: of each file the test part if it has one, else all of it.

    Args:
        class_names: the classes that labels are positions of in the result.

    Raises:
        InputError: it cannot be used, or has classes that are not among class_names.
    """
    paths = _paths(data)
    called, asked, notes = folders.called(paths), [], ()
    for path in paths:
        found = _read(path, columns, called)
        number = sum(map(len, found.parts.values()))
        rows = found.parts[TEST] if TEST in found.parts else pl.concat(found.parts.values())
        if len(rows) < number:
            notes += (f"Of {path}, the {len(rows):,} of {number:,} rows that are its test part are evaluated.",)
        elif found.parts.keys() & {VALIDATION}:
            notes += (f"{path} has no test part: all its rows are evaluated, those for training too.",)
        asked.append(found._replace(parts={TEST: rows}))
    source = _source(_together(asked), columns)
    return classes.known(source.test, class_names, data[0]), source.skipped, source.notes + notes


def _paths(names: Sequence[str]) -> list[Path]:
    """The files and folders that names stand for: data sets by name, and patterns such as part-*.csv."""
    found = []
    for name in names:
        if name in named.TEXTS:
            found.append(named.TEXTS[name]())
            continue
        path = Path(name).expanduser()
        matched = sorted(map(Path, glob.glob(str(path)))) if glob.has_magic(name) and not path.exists() else [path]
        if not matched or not matched[0].exists():
            raise InputError(f"{name} is neither the name of a data set nor there as a file. {_TAKES}.")
        found += matched
    return found


def _read(path: Path, columns: Columns, called: Mapping[Path, str]) -> _Found:
    """What a file or folder holds; its rows are called by what it is called, where there are others beside it."""
    if path.is_dir():
        before = f"{called[path]}/" if len(set(called.values())) > 1 else ""
        by_part = _tables_by_part(path)
        if by_part:
            found = _together([_of_table(t, columns, part, before + t.name) for part, t in by_part.items()])
            others = sorted(
                each.name for each in path.iterdir() if tables.is_table(each) and each not in by_part.values()
            )
            note = f"Of {path}, the tables {listed(others)} are named for no part, and not read."
            return found._replace(notes=(*found.notes, note)) if others else found
        return _of_folder(path, before)
    if not tables.is_table(path):
        raise InputError(f"{path} is not named as a table is. {_TAKES}.")
    return _of_table(path, columns, TRAIN, called[path])


def _together(found: Sequence[_Found]) -> _Found:
    """The rows of all, part by part."""
    parts = {part: [each.parts[part] for each in found if part in each.parts] for part in PARTS}
    return _Found(
        {part: pl.concat(frames) for part, frames in parts.items() if frames},
        tuple(one for each in found for one in each.skipped),
        tuple(dict.fromkeys(note for each in found for note in each.notes)),
        next((each.columns for each in found if each.columns), {}),
    )


# Tables


def _tables_by_part(folder: Path) -> dict[str, Path]:
    """The tables of a folder that are named by their part, such as train.tsv and dev.tsv."""
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file() and tables.is_table(path)):
        part = PART_FOLDERS.get(path.name.lower().split(".")[0])
        if part in found:
            raise InputError(f"{folder} has two tables for {part}: {found[part].name} and {path.name}. Keep one.")
        if part:
            found[part] = path
    return found


def _of_table(path: Path, columns: Columns, part: str, name: str) -> _Found:
    """The rows of a table, in the parts that its split column names, or all in one part.

    Args:
        name: of the table, in what its rows are called.
    """
    table = tables.read(path, _TAKES)
    names, notes = text_columns.find(path, table.frame, columns)
    cells = {
        what: table.frame[names[what]].str.strip_chars() if what in names else pl.Series([""] * len(table.frame))
        for what in CALLED
    }
    cells = {what: cell.fill_null("") for what, cell in cells.items()}
    if tables.is_delimited(path):
        cells[LABEL] = text_labels.of_delimited(cells[LABEL])
    rows = pl.DataFrame(cells).with_columns(source=pl.lit(name), row=pl.int_range(len(table.frame)) + table.first_row)
    kept, skipped = _usable(rows, has_several=columns.between is not None)
    if not len(kept):
        first = f", the first is {skipped[0]}" if skipped else ""
        raise InputError(f"{path} has no row that can be used{first}. Each row needs a text and a label.")
    called = {what: names[what] for what in (TEXT, LABEL)}
    found = _Found({part: kept.drop(SPLIT)}, skipped, table.notes + notes, called)
    if SPLIT not in names:
        return found
    said = kept[SPLIT].str.to_lowercase().replace("", TRAIN)
    unknown = kept.filter(~said.is_in(list(PART_FOLDERS)))
    if len(unknown):
        first = listed(f"row {row} has {value!r}" for row, value in zip(unknown["row"], unknown[SPLIT]))
        raise InputError(
            f"{len(unknown):,} row(s) of {path} are in no part: {first}. The column {names[SPLIT]!r} takes "
            f"{', '.join(PART_FOLDERS)}; without the column, parts are held out."
        )
    part_of = said.replace_strict(PART_FOLDERS)
    parts = {part: kept.filter(part_of == part).drop(SPLIT) for part in PARTS}
    return found._replace(parts={part: frame for part, frame in parts.items() if len(frame)})


def _usable(rows: pl.DataFrame, *, has_several: bool) -> tuple[pl.DataFrame, tuple[Skipped, ...]]:
    """The rows that have a text and a label in UTF-8, and the others by name."""
    has_lists = bool(rows[LABEL].str.starts_with(tables.LISTED).any())
    if has_lists and not has_several:
        rows = rows.with_columns(pl.col(LABEL).map_elements(text_labels.only_member, pl.String))
    is_bad = pl.any_horizontal(pl.col(TEXT, LABEL).str.contains(tables.NOT_TEXT, literal=True))
    reason = pl.when(pl.col(TEXT) == "").then(pl.lit("no text")).when(is_bad).then(pl.lit(NOT_UTF8))
    if has_lists or not has_several:
        # Where a text may have several labels, it may have none, which a list says by being empty.
        reason = reason.when(pl.col(LABEL) == "").then(pl.lit("no label"))
    rows = rows.with_columns(reason.otherwise(pl.lit("")).alias("reason"))
    lost = rows.filter(pl.col("reason") != "")
    skipped = tuple(Skipped(*each) for each in zip(RowIds.names(lost["source"], lost["row"]), lost["reason"]))
    return rows.filter(pl.col("reason") == "").drop("reason"), skipped


# Class folders of .txt files


def _of_folder(root: Path, before: str) -> _Found:
    parts, skipped = folders.files_by_part(root, _FILES)
    if not any(parts.values()):
        raise InputError(f"{root} has no tables, and no .txt files in class folders. {_TAKES}.")
    found, notes = {}, ()
    for part, files in parts.items():
        files, again = folders.each_once(files)
        skipped += again
        labelled = [file for file in files if file.class_name != _UNLABELLED]
        if len(labelled) < len(files):
            notes += (f"{len(files) - len(labelled):,} texts of {part} in {_UNLABELLED} have no label: not used.",)
        if not labelled:
            raise InputError(f"The texts of {part} in {root} are all in {_UNLABELLED}, which have no label. {_TAKES}.")
        texts = [text_of(file.path) for file in labelled]
        rows = pl.DataFrame(
            {
                TEXT: texts,
                LABEL: [tables.sound(file.class_name) for file in labelled],
                "source": [before + file.id for file in labelled],
            },
            schema_overrides={TEXT: pl.String},
        ).with_columns(row=pl.lit(None, pl.Int64), group=pl.lit(""))
        kept, lost = _usable(rows, has_several=False)
        skipped += lost
        if not len(kept):
            raise InputError(f"None of the texts of {part} in {root} can be used, the first is {lost[0]}.")
        found[part] = kept.select(TEXT, LABEL, GROUP, "source", "row")
    return _Found(found, tuple(skipped), notes)


def text_of(path: str) -> str:
    """The text of a file, what is no UTF-8 in it replaced; InputError where it cannot be read."""
    try:
        return Path(path).read_text("utf-8-sig", "replace").strip()
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}.") from fault


# Frames to examples


def _source(found: _Found, columns: Columns) -> Source:
    """The rows as examples, with one numbering of all classes: numbers by their size, else by the alphabet."""
    every = pl.concat(found.parts.values())
    names = every[LABEL].unique().to_list()
    lists = [several for name in names if (several := tables.members(name)) is not None]
    if columns.between is None and lists:
        first = ", ".join(lists[0])
        raise InputError(f"Texts have lists of labels, the first is [{first}]. Pass --multi-label.")
    if columns.between is not None:
        names = {label for name in names for label in text_labels.several(name, columns.between)}
    names = sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
    has_groups = bool((every[GROUP] != "").any())
    barred = [name for name in names if "|" in name and columns.between is not None]
    parts = {part: _examples(frame, tuple(names), columns.between, has_groups) for part, frame in found.parts.items()}
    notes = found.notes
    if columns.between is not None and (bare := sum(int((~part.labels.any(1)).sum()) for part in parts.values())):
        notes += (f"{bare:,} of {len(every):,} texts have no label: they count as of none of the classes.",)
    if barred:
        notes += (f"The classes {listed(map(repr, barred))} hold the | that stands between the labels of predictions.",)
    return Source(*map(parts.get, PARTS), skipped=found.skipped, notes=notes, columns=found.columns)


def _examples(rows: pl.DataFrame, names: tuple[str, ...], between: str | None, has_groups: bool) -> Examples:
    texts, place = rows[TEXT].to_numpy().astype(object), {name: k for k, name in enumerate(names)}
    if between is None:
        labels = np.array([place[name] for name in rows[LABEL]], np.int32)
    else:
        labels = np.zeros((len(rows), len(names)), np.uint8)
        for row, several in enumerate(rows[LABEL]):
            labels[row, [place[name] for name in text_labels.several(several, between)]] = 1
    if rows["source"].n_unique() == 1 and not rows["row"].has_nulls():
        ids = RowIds(rows["source"][0], rows["row"].to_numpy())
    else:
        ids = np.array(RowIds.names(rows["source"], rows["row"]), dtype=str)
    groups = None
    if has_groups:
        # A row without a group is a group of its own.
        groups = np.array([group or f"only {ids[row]}" for row, group in enumerate(rows[GROUP])], dtype=str)
    return Examples({TEXT: texts}, labels, ids, names, groups, {DIGEST: text_digests(texts), MINIMA: minima(texts)})
