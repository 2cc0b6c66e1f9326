"""Texts without labels, to be predicted: in tables, .txt files and folders of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from kerasuite.contracts import Skipped
from kerasuite.data import tables, text_columns
from kerasuite.data.text_columns import TEXT, UNSAID, Columns
from kerasuite.data.text_sources import NOT_UTF8, text_of
from kerasuite.errors import InputError


def texts(names: Sequence[str], columns: Columns = UNSAID) -> Iterator[tuple[str, str] | tuple[str, Skipped]]:
    """Each text of tables, .txt files and folders of these, in order: its name, and itself or why it cannot be used.

    Args:
        names: files and folders.
        columns: of tables, guessed where they are not said.

    Raises:
        InputError: a file is not there, or it is not clear which of its columns holds the texts.
    """
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            below = [each for each in sorted(path.rglob("*")) if each.suffix.lower() == ".txt" or tables.is_table(each)]
            if not below:
                raise InputError(f"{name} has no .txt files and no tables ({', '.join(tables.ENDINGS)}) in it.")
            yield from texts([str(each) for each in below], columns)
        elif not path.is_file():
            raise InputError(f"{name} is neither a file nor a folder.")
        elif tables.is_table(path):
            yield from _texts_of_table(path, columns)
        else:
            yield name, _usable_text(name, text_of(name))


def _texts_of_table(path: Path, columns: Columns) -> Iterator[tuple[str, str | Skipped]]:
    frame, first_row, _ = tables.read(path)
    column = frame.columns[0] if len(frame.columns) == 1 else _text_column(path, frame, columns)
    for row, text in enumerate(frame[column].fill_null("").str.strip_chars(), first_row):
        name = f"{path.name}[{row}]"
        yield name, _usable_text(name, text)


def _text_column(path: Path, frame: pl.DataFrame, columns: Columns) -> str:
    """The column of the texts: as it is said, or guessed as for training."""
    names, _ = text_columns.find(path, frame, columns, needs_label=False)
    return names[TEXT]


def _usable_text(name: str, text: str) -> str | Skipped:
    if not text:
        return Skipped(name, "no text")
    return Skipped(name, NOT_UTF8) if tables.NOT_TEXT in text else text
