"""What the cells of a column of labels say: one label, or several."""

from __future__ import annotations

import ast

import polars as pl

from kerasuite.data import tables

_WHOLE = r"^-?\d+\.0$"
_MEMBER = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?\d+)"""
_LIST = rf"^\[\s*(?:{_MEMBER}(?:\s*,\s*{_MEMBER})*)?\s*\]$"


def of_delimited(cells: pl.Series) -> pl.Series:
    """Cells of csv and tsv as jsonl and parquet have them, where all are whole numbers with a point, or all are lists.

    Pandas writes 1.0 for 1 where a cell of the column is missing, and a list as Python shows it.

    Example:
        >>> of_delimited(pl.Series(["1.0", "", "0.0"])).to_list()
        ['1', '', '0']
        >>> [tables.members(cell) for cell in of_delimited(pl.Series(["['a', 'b|c']", "[]"]))]
        [['a', 'b|c'], []]
    """
    known = cells.filter(cells != "")
    if known.str.contains(_WHOLE).all():
        return cells.str.strip_suffix(".0")
    if known.str.contains(_LIST).all():
        return pl.Series(cells.name, [cell and tables.cell(ast.literal_eval(cell)) for cell in cells], pl.String)
    return cells


def several(cell: str, between: str) -> list[str]:
    """The labels of a text that may have several: members of a list, or what stands between separators.

    >>> several("a| b|", "|")
    ['a', 'b']
    """
    members = tables.members(cell)
    parts = cell.split(between) if members is None else members
    return [part.strip() for part in parts if part.strip()]


def only_member(cell: str) -> str:
    """The member of a list that has one, nothing for an empty list; else the cell itself."""
    members = tables.members(cell)
    return cell if members is None or len(members) > 1 else "".join(members)
