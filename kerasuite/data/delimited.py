"""csv and tsv, whatever their separator: what polars makes of them, and where to look when it cannot."""

from __future__ import annotations

import contextlib
import csv
import re
from pathlib import Path

import polars as pl

from kerasuite.errors import InputError

_SEPARATORS = ",;\t"
_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
# What Excel reads in a first line, and writes in none: which separator follows.
_SAID = re.compile(rb"(?:\xef\xbb\xbf)?sep=([\t -~])\r?\n", re.IGNORECASE)
_ENCLOSED = re.compile(rb'"[^"]*("|$)')
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read(path: Path, has_names: bool = True) -> tuple[pl.DataFrame, int, tuple[str, ...]]:
    """A frame of strings, the number that people see beside its first row, and notes, as `tables.Table` has them.

    Raises:
        InputError: it cannot be read as a table; names the row.
    """
    separator, before = separator_of(path)
    quote, notes = '"', ()
    if separator == "\t" and _has_plain_quotes(path):
        quote, notes = None, (f"Quotation marks in {path.name} are taken as plain characters.",)
    try:
        frame = pl.read_csv(
            path,
            separator=separator,
            has_header=has_names,
            quote_char=quote,
            infer_schema=False,
            encoding="utf8-lossy",
            glob=False,
            skip_lines=before,
        )
    except pl.exceptions.NoDataError:
        raise
    except pl.exceptions.PolarsError as fault:
        raise InputError(f"{path} cannot be read as a table. {_malformed(path, separator, before)}") from fault
    return frame, before + (2 if has_names else 1), notes


def separator_of(path: Path) -> tuple[str, int]:
    """What parts the cells, and how many lines stand before the table.

    It is what a first line such as `sep=;` says; or of comma, semicolon and tab, outside quotation marks, the one that
    the second line has as often as the first; then the one that the first has most of; then what the file's name says.

    Raises:
        InputError: the file is UTF-16.
    """
    with opened(path) as file:
        line = file.readline()
        if line.startswith(_UTF_16):
            raise InputError(f"{path} is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8).")
        if said := _SAID.fullmatch(line):
            return said[1].decode(), 1
        while line and not line.strip(b"\r\n"):
            line = file.readline()
        first, second = (_ENCLOSED.sub(b"", each).decode("utf-8", "replace") for each in (line, file.readline()))
    by_name = "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ""
    counts = {each: (first.count(each), second.count(each)) for each in by_name + _SEPARATORS}
    return max(counts, key=lambda each: (counts[each][0] == counts[each][1] > 0, counts[each][0])), 0


def opened(path: Path):
    """A file's bytes, unpacked where it is a .gz."""
    import gzip

    return gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb")


def _has_plain_quotes(path: Path) -> bool:
    """Whether the quotation marks of a tsv enclose nothing: every line is a row, and some cell only begins with one."""
    with opened(path) as file:
        lines = file.read().splitlines()
    if len({line.count(b"\t") for line in lines if line}) > 1:
        return False
    cells = (cell for line in lines for cell in line.split(b"\t") if cell.startswith(b'"'))
    return any(not _QUOTED.fullmatch(cell) for cell in cells)


def _malformed(path: Path, separator: str, before: int) -> str:
    """Which row to look at, since polars does not say."""
    with opened(path) as file:
        for _ in range(before):
            file.readline()
        lines = [line.decode("utf-8", "replace") for line in file.read().lstrip(b"\r\n").splitlines(keepends=True)]
    # Python's csv takes no cell of over 131,072 characters by itself.
    csv.field_size_limit(max(csv.field_size_limit(), sum(map(len, lines))))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    # A cell in quotation marks may go over several lines.
    row, start, width = 1 + before, 0, None
    with contextlib.suppress(csv.Error):
        for cells in reader:
            width = width or len(cells)
            if len(cells) > width:
                break
            row, start = row + 1, reader.line_num
        else:
            # What polars refuses and Python's csv reads: a quotation mark within a cell that has none around it.
            own = re.escape(separator)
            quoted = (k for k, line in enumerate(lines) if re.search(rf'[^{own}"\r\n]"(?!["{own}\r\n])', line))
            line = next(quoted, None)
            where = "" if line is None else f" Look at line {before + line + 1}: {lines[line].rstrip()[:80]}"
            return f"A quotation mark in a cell is doubled, and the cell stands in quotation marks.{where}"
    return (
        f"Its cells are taken to be parted by {separator!r}. Row {row} has more cells than there are columns, or a "
        f"stray quotation mark; a cell that holds {separator!r} stands in quotation marks: {lines[start].rstrip()[:80]}"
    )
