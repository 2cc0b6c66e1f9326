"""Texts without labels, to be predicted: in tables, .txt files and folders of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from kerasuite.contracts import Skipped
from kerasuite.data import folders, tables, text_columns
from kerasuite.data.text_columns import TEXT, UNSAID, Columns
from kerasuite.data.text_sources import NOT_UTF8, text_of
from kerasuite.errors import InputError


def texts(
    names: Sequence[str],
    columns: Columns = UNSAID,
    *,
    column: str | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Iterator[tuple[str, str] | tuple[str, Skipped]]:
    """Each text of tables, .txt files and folders of these, in order: its name, and itself or why it cannot be used.

    Args:
        names: files and folders.
        columns: of the tables that were trained on; guessed where they are not said.
        column: of these tables, that of the texts. If None it is the one that was trained on, or a table's only one.
        say: gets a sentence on what was guessed.

    Raises:
        InputError: a file is not there, or it is not clear which of its columns holds the texts.
    """
    # All are looked for before the first is read.
    files = [file for name in names for file in _files(name)]
    called = folders.called([path for path in files if tables.is_table(path)])
    for path in files:
        if path in called:
            yield from _texts_of_table(path, called[path], columns, column, say)
        else:
            name = folders.shown(str(path))
            yield name, usable(name, text_of(str(path)))


def _files(name: str) -> list[Path]:
    """The file of this name, or the tables and .txt files below the folder, without the hidden."""
    path = Path(name).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{name} is neither a file nor a folder.")
    below = sorted(each for each in map(Path, folders.walk(path)) if each.is_file())
    if found := [each for each in below if each.suffix.lower() == ".txt" or tables.is_table(each)]:
        return found
    raise InputError(f"{name} has no .txt files and no tables ({', '.join(tables.ENDINGS)}) in it.")


def _texts_of_table(
    path: Path, called: str, columns: Columns, column: str | None, say: Callable[[str], None]
) -> Iterator[tuple[str, str | Skipped]]:
    frame, first_row, notes = tables.read(path)
    found, guessed = _text_column(path, frame, columns, column)
    for sentence in (*notes, *guessed):
        say(sentence)
    for row, text in enumerate(frame[found].fill_null("").str.strip_chars(), first_row):
        name = f"{called}[{row}]"
        yield name, usable(name, text)


def _text_column(path: Path, frame: pl.DataFrame, columns: Columns, column: str | None) -> tuple[str, tuple[str, ...]]:
    """The column of the texts, as it is said, or guessed as for training; and a sentence on what was guessed."""
    only, *others = frame.columns
    if column is None and not others:
        is_known = only in (columns.text, columns.usual.get(TEXT)) or only.strip().lower() in text_columns.CALLED[TEXT]
        note = f"The first line of {path.name}, {only!r}, is taken as the name of its column, not as a text."
        return only, () if is_known or not tables.is_delimited(path) else (note,)
    names, notes = text_columns.find(path, frame, replace(columns, text=column or columns.text), needs_label=False)
    return names[TEXT], notes


def usable(name: str, text: str) -> str | Skipped:
    """The text, or why it cannot be used."""
    if not text:
        return Skipped(name, "no text")
    return Skipped(name, NOT_UTF8) if tables.NOT_TEXT in tables.sound(text) else text
