"""The classes of a data set's parts: one numbering for all, and enough rows of each to learn from."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerasuite.contracts import Examples
from kerasuite.data.folders import TEST, VALIDATION, listed
from kerasuite.data.splits import Source
from kerasuite.errors import InputError

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


def settled(source: Source, data: str | Path) -> Source:
    """The source with the classes of train as the numbering of every part.

    Raises:
        InputError: there is no train, a part has classes that train has not, or there are too few classes, or rows
            of one.
    """
    if source.train is None:
        raise InputError(f"{data} has a part {' and '.join(source.parts)}, and none for training (train).")
    _refuse_unknown(source)
    source = replace(source, **{name: renumbered(part, present(source.train)) for name, part in source.parts.items()})
    _refuse_too_few(source, data)
    return replace(source, notes=(*source.notes, *_alike(source.train.class_names)))


def known(examples: Examples, class_names: Sequence[str], data: str | Path) -> Examples:
    """The examples with labels as positions in class_names.

    Raises:
        InputError: they have other classes.
    """
    unknown = [name for name in present(examples) if name not in class_names]
    if unknown:
        raise InputError(
            f"{data} has the class(es) {listed(unknown)}; the model knows {listed(class_names)}. Rename or remove them."
        )
    return renumbered(examples, tuple(class_names))


def present(examples: Examples) -> tuple[str, ...]:
    """The names of the classes that have rows."""
    return tuple(examples.class_names[label] for label in np.flatnonzero(examples.class_counts))


def is_number(name: str) -> bool:
    """Whether a class's name is a number.

    Example:
        >>> is_number("3"), is_number("-0.5"), is_number("3rd")
        (True, True, False)
    """
    return _NUMBER.fullmatch(name) is not None


def renumbered(examples: Examples, class_names: tuple[str, ...]) -> Examples:
    """The examples with labels as positions in other class names, which hold all of those that have rows."""
    place = {name: k for k, name in enumerate(class_names)}
    places = np.array([place.get(name, -1) for name in examples.class_names], np.int32)
    if not examples.is_multi_label:
        return replace(examples, labels=places[examples.labels], class_names=class_names)
    labels = np.zeros((len(examples), len(class_names)), np.uint8)
    labels[:, places[places >= 0]] = examples.labels[:, places >= 0]
    return replace(examples, labels=labels, class_names=class_names)


def joined(parts: list[Examples]) -> Examples:
    """The rows of all parts, one after another."""
    if len(parts) == 1:
        return parts[0]
    columns = lambda name: {  # noqa: E731
        key: np.concatenate([getattr(part, name)[key] for part in parts]) for key in getattr(parts[0], name)
    }
    labels = np.concatenate([part.labels for part in parts])
    ids = np.concatenate([np.array([*part.ids]) for part in parts])
    groups = None if parts[0].groups is None else np.concatenate([part.groups for part in parts])
    return Examples(columns("inputs"), labels, ids, parts[0].class_names, groups, columns("facts"))


def _refuse_unknown(source: Source) -> None:
    known = set(present(source.train))
    for name, part in source.parts.items():
        unknown = [other for other in present(part) if other not in known]
        if unknown:
            row = int(np.argmax(_rows_of(part, unknown[0])))
            raise InputError(
                f"The {name} part has the class(es) {listed(unknown)}, which train has not; the first row is "
                f"{part.ids[row]}. Add training rows of them, or remove them from {name}."
            )


def _rows_of(examples: Examples, name: str) -> np.ndarray:
    """Which rows are of a class, bool (n,)."""
    label = examples.class_names.index(name)
    return examples.labels[:, label] > 0 if examples.is_multi_label else examples.labels == label


def _alike(names: Sequence[str]) -> Iterator[str]:
    """A sentence on each two or more names that a person may mean as one."""
    meant = collections.defaultdict(list)
    for name in names:
        meant[float(name) if is_number(name) else name.casefold()].append(repr(name))
    for several in meant.values():
        if len(several) > 1:
            yield (
                f"The classes {' and '.join(several)} differ only in capitals or in how a number is written. They "
                f"count as {len(several)}: make them one in the data if they are."
            )


def _refuse_too_few(source: Source, data: str | Path) -> None:
    names = source.train.class_names
    if len(names) < 2 and not source.train.is_multi_label:
        raise InputError(f"{data} has one class only ({names[0]}); telling classes apart takes at least two.")
    if source.train.is_multi_label:
        return  # a rare label is named where a part has no row of it
    missing = [part for part in (VALIDATION, TEST) if part not in source.parts]
    small = [(name, n) for name, n in zip(names, source.train.class_counts.tolist()) if n <= len(missing)]
    if small:
        name, number = small[0]
        few = [source.train.ids[row] for row in np.flatnonzero(_rows_of(source.train, name))]
        others = f"; too few as well: {listed(f'{name!r} ({n})' for name, n in small[1:])}" if small[1:] else ""
        raise InputError(
            f"Class {name!r} has {number} row(s): {listed(few)}{others}. {', '.join(['Train', *missing[:-1]])} and "
            f"{missing[-1]} need one each. Add rows of it, leave it out, or give the parts yourself."
        )
