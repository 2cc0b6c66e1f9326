"""Train, validation and test: stratified, by group, and never with a row in two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from kerasuite.columns import RowIds
from kerasuite.contracts import Examples, Skipped, Splits, skipped_warning
from kerasuite.data.folders import listed
from kerasuite.errors import InputError


@dataclass(frozen=True)
class Source:
    """The parts that a data set came in; None for a part that it has not."""

    train: Examples | None
    validation: Examples | None = None
    test: Examples | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Examples]:
        """The parts there are, by name."""
        return {name: part for name in ("train", "validation", "test") if (part := getattr(self, name)) is not None}


def hold_out(examples: Examples, fraction: float, seed: int, *, keep: int = 1) -> tuple[Examples, Examples]:
    """Split in two, each class in its share; with groups, whole groups move.

    Rows that may be of several classes are drawn at random.

    Args:
        fraction: share of the rows in the second part, over 0 and under 1.
        keep: rows of each class that stay in the first at least; with groups, groups.

    Returns:
        The larger part and the held-out part, rows in their old order.

    Raises:
        InputError: a class (or a data set of groups) too small to stand in both parts.
    """
    rng = np.random.default_rng([seed, 0x5B117])
    if examples.groups is not None:
        held = _groups(examples, fraction, rng, keep)
    elif examples.is_multi_label:
        held = rng.permutation(len(examples))[: max(round(len(examples) * fraction), 1)]
    else:
        held = _strata(examples, fraction, rng, keep)
    mask = np.zeros(len(examples), bool)
    mask[held] = True
    return examples.take(np.flatnonzero(~mask)), examples.take(np.flatnonzero(mask))


def _strata(examples: Examples, fraction: float, rng: np.random.Generator, keep: int) -> np.ndarray:
    """Rows to hold out: of each class its share, at least one, while so many stay."""
    held = []
    for label, name in enumerate(examples.class_names):
        rows = np.flatnonzero(examples.labels == label)
        if len(rows) == 0:
            continue
        if len(rows) <= keep:
            raise InputError(
                f"Class {name!r} has {len(rows)} row(s), the first is {examples.ids[rows[0]]}: too few to stand in "
                f"{keep + 1} parts. Add rows of it, or leave the class out."
            )
        number = min(max(round(len(rows) * fraction), 1), len(rows) - keep)
        held.append(rng.permutation(rows)[:number])
    return np.concatenate(held)


def _groups(examples: Examples, fraction: float, rng: np.random.Generator, keep: int) -> np.ndarray:
    """Rows to hold out: whole groups, in random order, while they come nearer to each class's share; one at least.

    Every class keeps at least one group on the training side.
    """
    names, group_of = np.unique(examples.groups, return_inverse=True)
    if len(names) <= keep:
        raise InputError(
            f"All rows belong to {len(names)} group(s) ({listed(map(str, names))}): too few to stand in {keep + 1} "
            "parts, each in one. Give finer groups, or parts of your own."
        )
    counts = np.zeros((len(names), len(examples.class_names) + examples.is_multi_label))
    if examples.is_multi_label:
        # Rows without a label are held out in their share too.
        np.add.at(counts, group_of, np.column_stack([examples.labels, ~examples.labels.any(1)]))
    else:
        np.add.at(counts, (group_of, examples.labels), 1)
    wanted, taken, left = counts.sum(0) * fraction, np.zeros(counts.shape[1]), counts.sum(0)
    empties = lambda group: np.any((left - counts[group] <= 0) & (counts[group] > 0))  # noqa: E731
    distance = lambda group: np.abs(taken + counts[group] - wanted).sum()  # noqa: E731
    order, chosen = rng.permutation(len(names)), []
    for group in order:
        is_nearer = distance(group) < np.abs(taken - wanted).sum()
        if is_nearer and not empties(group) and len(chosen) < len(names) - keep:
            chosen.append(group)
            taken, left = taken + counts[group], left - counts[group]
    if not chosen:
        # Where groups are few each is more than the share: then the smallest is held out.
        possible = [group for group in order if not empties(group)]
        if not possible:
            raise InputError(
                f"No group of {len(names)} can be held out without emptying a class of the training rows. "
                "Give finer groups, or parts of your own."
            )
        chosen = [min(possible, key=distance)]
    return np.flatnonzero(np.isin(group_of, chosen))


def complete(source: Source, *, validation_fraction: float, test_fraction: float, seed: int) -> Splits:
    """The parts that were given, and the missing ones held out of the training rows.

    Args:
        validation_fraction: share of the rows that remain for training once the test rows are out.
        test_fraction: share of all rows.

    Returns:
        Splits with the source's notes, and warnings of what was skipped and of classes that a part lacks.

    Raises:
        InputError: too few rows to hold out, or a row or a group in two parts.
    """
    train, validation, test = source.train, source.validation, source.test
    if test is None:
        train, test = hold_out(train, test_fraction, seed, keep=1 if validation is not None else 2)
    if validation is None:
        train, validation = hold_out(train, validation_fraction, seed + 1)
    parts = {"train": train, "validation": validation, "test": test}
    refuse_overlap(**parts)
    notes = source.notes
    if train.groups is not None and len(source.parts) < len(parts):
        held = {name: part for name, part in parts.items() if part.groups is not None}
        shares = [f"{len(np.unique(part.groups)):,} for {name} ({len(part):,} rows)" for name, part in held.items()]
        notes += (f"All rows of a group stand in one part. Groups: {', '.join(shares)}.",)
    absent = [sentence for name, part in parts.items() for sentence in absent_classes(name, part)]
    warnings = (*skipped_warning(source.skipped), *absent)
    return Splits(train, validation, test, source.skipped, notes, warnings, columns=source.columns)


def absent_classes(part: str, examples: Examples) -> list[str]:
    """The sentence on classes that a part has no row of, if there are any."""
    names = [repr(name) for name, count in zip(examples.class_names, examples.class_counts) if not count]
    lost = "the model cannot learn them" if part == "train" else "its numbers say nothing of them"
    return [f"No row of {part} is of the class(es) {', '.join(names)}: {lost}."] if names else []


def refuse_overlap(**parts: Examples) -> None:
    """Raise where two parts share an id or a group.

    Raises:
        InputError: names both parts and the first of what they share.
    """
    for (first, a), (second, b) in combinations(parts.items(), 2):
        for what, left, right in (("row", a.ids, b.ids), ("group", a.groups, b.groups)):
            shared = _shared(left, right)
            if len(shared):
                raise InputError(
                    f"{len(shared)} {what}(s) stand both in {first} and in {second}, the first is {shared[0]}. "
                    "Each may be in one part only: remove it from the others."
                )


def _shared(left, right) -> list[str]:
    if left is None or right is None:
        return []
    if isinstance(left, RowIds) and isinstance(right, RowIds):
        rows = np.intersect1d(left.rows, right.rows) if left.source == right.source else np.array([], int)
        return [f"{left.source}[{row}]" for row in rows]
    return sorted(set(map(str, left)) & set(map(str, right)))
