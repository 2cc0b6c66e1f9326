"""Logs to examples: what a user had, and what came next; parted so that nothing is foreseen from its own future."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from kerasuite.columns import Ragged
from kerasuite.contracts import Examples
from kerasuite.data.interactions import Log
from kerasuite.errors import InputError

HISTORY, TIMES, RATINGS = "history", "times", "ratings"
Kind = Literal["last", "time"]


class HistorySplits(NamedTuple):
    """Examples of each part, one a user, and what there is to say of the split.

    Each has as its input the items that a user had, in order, and as its label the one that came next.
    """

    train: Examples
    validation: Examples
    test: Examples
    notes: tuple[str, ...]


def split(log: Log, kind: Kind, *, validation_fraction: float, test_fraction: float) -> HistorySplits:
    """Part a log into what is trained on, and what is to be foreseen.

    Args:
        kind: `last`: each user's last item is the test's, the one before it validation's; users with fewer than three
            items are trained on alone. `time`: two moments part all interactions; the first that a user has after a
            moment is to be foreseen from those before it, and nothing after the first moment is trained on.
        validation_fraction: with `time`, share of the interactions before the second moment that lie after the first.
        test_fraction: with `time`, share of all interactions that lie after the second moment.

    Returns:
        Examples whose class names are the ids of all items of the log. A training example is a user's training
        interactions: the last of them is the label.

    Raises:
        InputError: the log has no times, one item alone, or too few users with enough of a past.
    """
    if len(log.item_ids) < 2:
        raise InputError(f"The log has one item alone ({log.item_ids[0]}): there is nothing to choose from.")
    if kind == "last":
        parts, notes = _last(log)
    else:
        parts, notes = _by_time(log, validation_fraction, test_fraction)
    return HistorySplits(*parts, notes)


def _last(log: Log) -> tuple[list[Examples], tuple[str, ...]]:
    lengths = np.bincount(log.users, minlength=len(log.user_ids))
    # Interactions of the user that follow each one.
    follow = np.cumsum(lengths)[log.users] - 1 - np.arange(len(log))
    enough = lengths[log.users] >= 3
    short = int((lengths < 3).sum())
    if short == len(lengths):
        raise InputError(
            f"None of the log's {len(lengths):,} users has three items: one to train on, one to validate with and one "
            "to test. Look at --user-column, or pass --split time."
        )
    notes = (f"{short:,} user(s) with fewer than three items are trained on, not tested.",) if short else ()
    before = np.where(enough, follow, follow + 2)  # a user who is not tested is trained on whole
    return [
        _examples(log, before >= 2),
        _examples(log, enough & (follow >= 1)),
        _examples(log, enough),
    ], notes


def _by_time(log: Log, validation_fraction: float, test_fraction: float) -> tuple[list[Examples], tuple[str, ...]]:
    if log.times is None:
        raise InputError("--split time needs the time of each interaction. Name its column by --time-column.")
    # Interactions of one moment stay together, on the later side.
    of_test = _moment(log.times, test_fraction)
    earlier = log.times[log.times < of_test]
    if not len(earlier):
        raise InputError(f"All of the log's interactions have one time ({of_test:g}): pass --split last.")
    of_validation = _moment(earlier, validation_fraction)
    found, notes = [_examples(log, log.times < of_validation)], ()
    for part, start, end in (("validation", of_validation, of_test), ("test", of_test, np.inf)):
        first, cold = _first_after(log, start, end)
        if not first.any():
            raise InputError(
                f"No user has interactions both before and after the moment that {part} begins at ({start:g}). Pass "
                f"another --{part}-fraction, or --split last."
            )
        found.append(_examples(log, first | ((log.times < start) & np.isin(log.users, log.users[first]))))
        if cold:
            notes += (f"{cold:,} user(s) of {part} have nothing before it, and are left out.",)
    if not len(found[0]):
        raise InputError(f"No interaction lies before the moment that validation begins at ({of_validation:g}).")
    return found, notes


def _moment(times: np.ndarray, fraction: float) -> float:
    """The time from which on this share of the interactions lies."""
    return float(np.sort(times)[len(times) - max(round(fraction * len(times)), 1)])


def _first_after(log: Log, start: float, end: float) -> tuple[np.ndarray, int]:
    """The first interaction of each user from start on, if it is before the end and some came before it; and how many
    users have none before."""
    after = log.times >= start
    is_new_user = np.concatenate([[True], log.users[1:] != log.users[:-1]])
    came_before = np.concatenate([[False], ~after[:-1]])
    inside = after & (log.times < end)
    return inside & came_before & ~is_new_user, int((inside & is_new_user).sum())


def _examples(log: Log, rows: np.ndarray) -> Examples:
    """One example a user: of some of their interactions the last is the label, those before it the history.

    Facts are the times and the ratings of all of these, the label's last.
    """
    users, items = log.users[rows], log.items[rows]
    starts = np.flatnonzero(np.concatenate([[True], users[1:] != users[:-1]])) if len(users) else np.array([], int)
    ends = np.append(starts[1:], len(users))
    is_history = np.ones(len(users), bool)
    is_history[ends - 1] = False
    offsets = np.concatenate([[0], np.cumsum(ends - starts - 1)])
    known = {TIMES: log.times, RATINGS: log.ratings}
    facts = {
        name: Ragged(column[rows], np.append(starts, len(users)))
        for name, column in known.items()
        if column is not None
    }
    return Examples(
        {HISTORY: Ragged(items[is_history], offsets)},
        items[ends - 1],
        log.user_ids[users[starts]],
        tuple(log.item_ids.tolist()),
        facts=facts,
    )


def last_items(log: Log) -> tuple[Examples, tuple[str, ...]]:
    """Each user's last item, to be foreseen from those before it; and how many users have no item before.

    Raises:
        InputError: no user has two items.
    """
    found = _examples(log, np.ones(len(log), bool))
    lengths = found.inputs[HISTORY].lengths
    if not lengths.any():
        raise InputError(f"None of the log's {len(lengths):,} users has two items: there is nothing to foresee from.")
    lone = int((lengths == 0).sum())
    notes = (f"{lone:,} user(s) with one item alone are left out.",) if lone else ()
    return found.take(np.flatnonzero(lengths)), notes


def sequences(examples: Examples) -> Ragged:
    """Each row's history with its label behind it."""
    history = examples.inputs[HISTORY]
    values = np.insert(history.values, history.offsets[1:], examples.labels)
    return Ragged(values, history.offsets + np.arange(len(history.offsets)))


def whole(examples: Examples) -> Examples:
    """Examples whose histories end with their label: what a model that foresees every item is trained on."""
    return replace(examples, inputs={HISTORY: sequences(examples)})


def pieces(column: Ragged, longest: int, overlap: int) -> tuple[Ragged, np.ndarray]:
    """Rows that are too long in several pieces, counted from their ends; the row that each is of.

    Args:
        longest: values of a piece at most, more than the overlap.
        overlap: values that a piece has in common with the one before it.

    Example:
        >>> parts, rows = pieces(Ragged.of([[1, 2, 3, 4, 5], [6]]), 3, 1)
        >>> [part.tolist() for part in parts], rows.tolist()
        ([[3, 4, 5], [1, 2, 3], [6]], [0, 0, 1])
    """
    step = longest - overlap
    numbers = np.maximum(-(-(column.lengths - overlap) // step), 1)
    rows = np.repeat(np.arange(len(column)), numbers)
    # Of a row's pieces the last comes first.
    number = np.arange(len(rows)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    ends = column.offsets[1:][rows] - number * step
    starts = np.maximum(ends - longest, column.offsets[:-1][rows])
    offsets = np.concatenate([[0], np.cumsum(ends - starts)])
    places = np.repeat(starts - offsets[:-1], ends - starts) + np.arange(offsets[-1])
    return Ragged(column.values[places], offsets), rows


def behind(numbers: np.ndarray, column: Ragged) -> Ragged:
    """Each row with a number before its values.

    Example:
        >>> [row.tolist() for row in behind(np.array([7, 8]), Ragged.of([[1, 2], [3]]))]
        [[7, 1, 2], [8, 3]]
    """
    values = np.insert(column.values, column.offsets[:-1], numbers)
    return Ragged(values, column.offsets + np.arange(len(column.offsets)))


def positions(ids: Sequence[str] | np.ndarray, among: Sequence[str] | np.ndarray) -> np.ndarray:
    """Where each id, of any shape, stands among others; -1 where it does not.

    Example:
        >>> positions(["b", "x"], ["c", "b", "a"]).tolist()
        [1, -1]
    """
    ids, among = np.asarray(ids), np.asarray(among)
    order = np.argsort(among)
    place = order[np.minimum(np.searchsorted(among, ids, sorter=order), len(among) - 1)]
    return np.where(among[place] == ids, place, -1)
