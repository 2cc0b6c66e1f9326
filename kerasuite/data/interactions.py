"""Logs of who had to do with what, and when: tables as people have them, to a cleaned log in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from kerasuite.contracts import Skipped, named
from kerasuite.data import log_tables, log_times, tables
from kerasuite.data.log_tables import ITEM, RATING, REST, ROW, SOURCE, TIME, USER, LogColumns
from kerasuite.errors import InputError

MOST_NAMED = 1000
# What pandas and dumps of databases write for a missing cell; other spellings, as none, may be ids.
_MISSING = ("NULL", "null", "NaN", "nan", "None", r"\N", "<NA>")


@dataclass(frozen=True)
class Log:
    """Interactions, user by user, each user's in order of time; where times are equal, in the order of the file.

    Args:
        users, items: int32 (n,), positions in user_ids and item_ids.
        times: float64 (n,), seconds since 1970 or whatever the log counts; None where it has none, and the order of the
            file is that of time.
        ratings: float32 (n,), or None.
        user_ids, item_ids: what the log calls them, str arrays in the order in which they appear.
        skipped: rows that could not be used, the first thousand by name.
        num_skipped: how many these are.
        notes: what was noticed and mended.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray | None
    ratings: np.ndarray | None
    user_ids: np.ndarray
    item_ids: np.ndarray
    skipped: tuple[Skipped, ...] = ()
    num_skipped: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.users)

    def take(self, keep: np.ndarray, *notes: str) -> Log:
        """Some rows (a mask or positions, in the same order), and of users and items those that are left."""
        columns = {
            name: None if column is None else column[keep]
            for name, column in (("times", self.times), ("ratings", self.ratings))
        }
        user_ids, users = _left(self.user_ids, self.users[keep])
        item_ids, items = _left(self.item_ids, self.items[keep])
        return replace(
            self,
            users=users,
            items=items,
            user_ids=user_ids,
            item_ids=item_ids,
            notes=(*self.notes, *notes),
            **columns,
        )


def _left(ids: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids that still occur, in their old order, and the codes in terms of them."""
    there = np.zeros(len(ids), bool)
    there[codes] = True
    return ids[there], (np.cumsum(there) - 1).astype(np.int32)[codes]


def read(
    names: Sequence[str],
    columns: LogColumns,
    *,
    rating_range: tuple[float, float] | None = None,
    needs_ratings: bool = True,
    may_ask: bool = False,
    may_lack_ratings: bool = False,
    most_named: int | None = MOST_NAMED,
) -> Log:
    """Read what `--data` names: a log's rows, each of a user and an item, perhaps with a time and a rating.

    Args:
        columns: what the columns are called; guessed, and said, where it is not given.
        rating_range: the least and the greatest rating there can be; rows outside are skipped, and named.
        needs_ratings: a row without a rating cannot be used; else ratings are left away, and not even looked at where
            neither their column nor their range is given.
        may_ask: a row may have no rating, which is to be foreseen: NaN. If it has no time either, it comes last.
        may_lack_ratings: a range may be given where there is no column of ratings.
        most_named: of the rows that cannot be used, so many are named; all if None.

    Raises:
        InputError: it cannot be used; says why, and what can be done.
    """
    tables = [log_tables.read(path, columns) for path in log_tables.paths(names)]
    if not (needs_ratings or rating_range or columns.rating):
        tables = [table._replace(frame=table.frame.drop(RATING, strict=False)) for table in tables]
    has = {what: {what in table.frame.columns for table in tables} for what in (TIME, RATING)}
    for what, there in has.items():
        if len(there) > 1:
            without = next(table.path for table in tables if what not in table.frame.columns)
            raise InputError(f"{without} has no column of the {what}, which others of the files have.")
    if rating_range and has[RATING] == {False} and not may_lack_ratings:
        raise InputError(
            f"--rating-range is {rating_range}, and {tables[0].path} has no column of ratings. Name it by "
            "--rating-column, or leave the range out."
        )
    rows = pl.concat([table.frame for table in tables])
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    kept, skipped, number = _usable(rows, names[0], _Ratings(rating_range, needs_ratings, may_ask), most_named)
    if not needs_ratings and RATING in kept.columns:
        kept = kept.drop(RATING)
    kept, duplicates = _each_once(kept)
    notes += tuple(duplicates)
    user_ids, users = _coded(kept[USER])
    item_ids, items = _coded(kept[ITEM])
    times = kept[TIME].to_numpy() if TIME in kept.columns else None
    ratings = kept[RATING].cast(pl.Float32).fill_null(np.nan).to_numpy() if RATING in kept.columns else None
    order, said = _order(users, times)
    return Log(
        users[order],
        items[order],
        None if times is None else times[order],
        None if ratings is None else ratings[order],
        user_ids,
        item_ids,
        skipped,
        number,
        notes + said,
    )


class _Ratings(NamedTuple):
    """What is asked of ratings: see `read`."""

    range: tuple[float, float] | None
    needed: bool
    may_ask: bool


def _usable(
    rows: pl.DataFrame, name: str, ratings: _Ratings, most_named: int | None
) -> tuple[pl.DataFrame, tuple[Skipped, ...], int]:
    """The rows that can be used, with times and ratings as numbers; the others by name; how many these are."""
    rows, faults = _with_numbers(rows, ratings)
    is_bad = pl.any_horizontal(fault for fault, _ in faults).fill_null(False)
    lost, kept = rows.filter(is_bad), rows.filter(~is_bad)
    # Sentences are made of rows that are named alone: a log may be long.
    reason = pl.coalesce(pl.when(fault).then(words) for fault, words in faults)
    named_rows = lost[:most_named].select(SOURCE, ROW, reason.alias("_reason")).rows()
    skipped = tuple(Skipped(f"{source}[{row}]", why) for source, row, why in named_rows)
    if not len(kept):
        first = f", the first is {skipped[0]}" if skipped else ""
        raise InputError(
            f"{name} has no row that can be used{first}. Each row needs a user and an item; a time is a number or a "
            "date such as 2026-01-31, a rating a number."
        )
    numbers = {f"_{what}": what for what in (TIME, RATING) if f"_{what}" in kept.columns}
    return kept.select(USER, ITEM, REST, *numbers).rename(numbers), skipped, len(lost)


Fault = tuple[pl.Expr, pl.Expr]


def _with_numbers(rows: pl.DataFrame, ratings: _Ratings) -> tuple[pl.DataFrame, list[Fault]]:
    """The rows with times and ratings as numbers too, and their faults, each with its words."""
    faults = []
    for what in (USER, ITEM):
        faults.append((pl.col(what) == "", pl.lit(f"no {what}")))
        faults.append((pl.col(what).is_in(_MISSING), pl.format(f"no {what}, but {{}}", what)))
        is_broken = pl.col(what).str.contains(tables.NOT_TEXT, literal=True)
        faults.append((is_broken, pl.format(f"{what} {{}} is not UTF-8", what)))
    if TIME in rows.columns:
        seconds, is_number = log_times.seconds(rows[TIME]), log_times.are_numbers(rows[TIME])
        is_date = ~is_number & seconds.is_not_null()
        # Numbers cannot be compared with dates: which are fewer go.
        kinds, other = (("date", "numbers"), is_date) if is_number.sum() >= is_date.sum() else (
            ("number", "dates"), is_number)  # fmt: skip
        rows = rows.with_columns(seconds.alias("_time"), other.alias("_other"))
        if ratings.may_ask and RATING in rows.columns:
            is_now = (pl.col(TIME) == "") & (pl.col(RATING) == "")
            rows = rows.with_columns(pl.when(is_now).then(float("inf")).otherwise("_time").alias("_time"))
        faults += [
            (pl.col("_time").is_null(), pl.format("time {} is neither a number nor a date", TIME)),
            (pl.col("_other"), pl.format("time {} is a {}, where most are {}", TIME, *map(pl.lit, kinds))),
        ]
    if RATING in rows.columns:
        rows = rows.with_columns(pl.col(RATING).cast(pl.Float64, strict=False).alias("_rating"))
        is_number = pl.col("_rating").is_finite().fill_null(False)
        may_be_empty = ratings.may_ask or not ratings.needed
        is_left_out = (pl.col(RATING) == "") & may_be_empty
        faults.append((~is_number & ~is_left_out, pl.format("rating {} is no number", RATING)))
        if ratings.range:
            low, high = ratings.range
            beyond = ~pl.col("_rating").is_between(low, high)
            faults.append((beyond, pl.format(f"rating {{}} is not from {low:g} to {high:g}", RATING)))
    return rows, faults


def _each_once(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Rows that are the same in every column count once, where a time tells them apart."""
    if TIME not in rows.columns:
        return rows, []
    once = rows.unique(maintain_order=True)
    lost = len(rows) - len(once)
    return once, [f"{lost:,} row(s) stood there twice, and count once."] if lost else []


def _coded(ids: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Each id once, in the order in which they appear, and the ids as positions among them."""
    once = ids.unique(maintain_order=True)
    codes = ids.replace_strict(once, pl.Series(range(len(once)), dtype=pl.Int32), return_dtype=pl.Int32)
    return once.to_numpy().astype(str), codes.to_numpy()


def _order(users: np.ndarray, times: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows by user, then by time, then as they stand; and what is to be said of it."""
    if times is None:
        return np.argsort(users, kind="stable"), ("The log has no times: its order is taken for that of time.",)
    order = np.lexsort((times, users))
    same_user = users[order][1:] == users[order][:-1]
    ties = int((same_user & (times[order][1:] == times[order][:-1])).sum())
    backwards = int((same_user & (order[1:] < order[:-1])).sum())
    notes = ()
    if backwards:
        notes += ("The log is not in order of time: it was sorted.",)
    if ties:
        notes += (f"{ties:,} interactions have the time of the user's one before: they keep the order of the file.",)
    return order, notes


def without_repeats(log: Log) -> Log:
    """Of a user's interactions with one item the first; what is asked about, a rating of NaN, stays."""
    pairs = log.users.astype(np.int64) * len(log.item_ids) + log.items
    keep = np.zeros(len(log), bool) if log.ratings is None else np.isnan(log.ratings)
    had = np.flatnonzero(~keep)
    keep[had[np.unique(pairs[had], return_index=True)[1]]] = True
    if keep.all():
        return log
    note = f"{(~keep).sum():,} interaction(s) were with an item that the user had already had: left out."
    return log.take(keep, note)


def with_enough(log: Log, least_of_item: int, least_of_user: int) -> Log:
    """Without the items and users that have too few interactions, again and again until none is left.

    The notes say how many went.

    Raises:
        InputError: nothing is left.
    """
    kept = log
    while len(kept):
        of_item = np.bincount(kept.items, minlength=len(kept.item_ids))
        of_user = np.bincount(kept.users, minlength=len(kept.user_ids))
        enough = (of_item[kept.items] >= least_of_item) & (of_user[kept.users] >= least_of_user)
        if enough.all():
            break
        kept = kept.take(enough)
    if not len(kept):
        raise InputError(
            f"With at least {least_of_item} interactions an item and {least_of_user} a user, none of the log's "
            f"{len(log):,} is left. Lower --min-item-count or --min-user-count."
        )
    if len(kept) == len(log):
        return kept
    lost = [len(a) - len(b) for a, b in ((log, kept), (log.user_ids, kept.user_ids), (log.item_ids, kept.item_ids))]
    note = (
        f"Items of under {least_of_item} interactions and users of under {least_of_user} were left out: "
        f"{lost[2]:,} items, {lost[1]:,} users, {lost[0]:,} interactions, as counted in the whole log, test and all."
    )
    return replace(kept, notes=(*log.notes, note))


def skipped_sentence(log: Log) -> list[str]:
    """The sentence on rows that could not be used, if there were any."""
    if not log.num_skipped:
        return []
    return [named(f"{log.num_skipped:,} row(s) of the log were skipped", log.skipped, total=log.num_skipped)]
