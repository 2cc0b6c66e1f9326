"""Which column of a table holds the texts, and which their labels, groups and parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from kerasuite.data import tables
from kerasuite.errors import InputError

TEXT, LABEL, GROUP, SPLIT = "text", "label", "group", "split"
# What a column may be called if nothing is said.
CALLED = {
    TEXT: (TEXT, "sentence", "review", "content", "comment", "body", "message", "tweet", "document"),
    LABEL: (LABEL, "labels", "class", "category", "sentiment", "target", "topic", "polarity", "intent"),
    GROUP: (GROUP,),
    SPLIT: (SPLIT, "subset"),
}


@dataclass(frozen=True)
class Columns:
    """What the columns are called, guessed where it is not said; and what stands between labels.

    Args:
        between: the character between the labels of one text, where each may have several; None where each has one.
        flag: by which a person names the column of `what`, for errors.
        usual: what the columns are called that a model was trained on, by what they are: they are taken where they
            are there, and nothing else is said.
    """

    text: str | None = None
    label: str | None = None
    between: str | None = None
    flag: str = "--{what}-column"
    usual: Mapping[str, str] = field(default_factory=dict)


UNSAID = Columns()


def find(
    path: Path, frame: pl.DataFrame, columns: Columns, *, needs_label: bool = True
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which column is which, and a sentence on what was guessed.

    Args:
        needs_label: whether it is an error that nothing says where the labels are.

    Raises:
        InputError: a column that was named is not there, or one that is needed could be several, or none.
    """
    there = f"it has {', '.join(map(repr, frame.columns))}"
    said = {what: name for what, name in ((TEXT, columns.text), (LABEL, columns.label)) if name is not None}
    if not needs_label and said.get(LABEL) not in frame.columns:
        said.pop(LABEL, None)
    for what, name in said.items():
        if name not in frame.columns:
            raise InputError(f"{path} has no column {name!r} ({columns.flag.format(what=what)}); {there}.")
    usual = {what: name for what, name in columns.usual.items() if name in frame.columns and name not in said.values()}
    found, unclear = usual | said, {}
    guessed_at = [name for what, called in CALLED.items() if what not in found for name in called]
    plain = tables.plain_names(path, frame.columns, guessed_at)
    for what, called in CALLED.items():
        guesses = [plain[name] for name in called if name in plain and plain[name] not in found.values()]
        # What is called by the plain name is meant; of other names one alone says enough.
        if what not in found and guesses and (len(guesses) == 1 or called[0] in plain):
            found[what] = guesses[0]
        elif what not in found and guesses:
            unclear[what] = guesses
    rest = [name for name in frame.columns if name not in found.values()]
    for what, other in ((TEXT, LABEL), (LABEL, TEXT)):
        # Of two columns, one of which is known, the other is the other.
        if what not in found and other in found and len(rest) == 1 and (needs_label or what == TEXT):
            found[what] = rest[0]
        if what not in found and (needs_label or what == TEXT):
            several = f"{' and '.join(map(repr, unclear[what]))} may be it; " if what in unclear else ""
            raise InputError(
                f"Which column of {path} holds the {what}s is not clear: {several}{there}."
                f"{tables.wrongly_saved(frame.columns)} Name it by {columns.flag.format(what=what)}."
            )
    if found[TEXT] == found.get(LABEL):
        raise InputError(
            f"The column {found[TEXT]!r} of {path} would hold both the texts and the labels. Name another by "
            f"{columns.flag.format(what=TEXT)}."
        )
    told = [what for what in found if what not in said and found[what] != what and (needs_label or what == TEXT)]
    guessed = [f"{found[what]!r} as the {what}" for what in told]
    return found, (f"Of {path.name}, the column {' and '.join(guessed)} is taken.",) if guessed else ()
