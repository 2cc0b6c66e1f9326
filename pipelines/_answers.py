"""What `kerasuite predict` asks of a finished run, and what it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kerasuite.contracts import Skipped
from kerasuite.errors import InputError


@dataclass(frozen=True)
class Asked:
    """What is to be predicted: files and folders, or what was written on the command line itself.

    Args:
        settings: of the run.
        texts, histories: the values of --text and --history.
        column: of tables, that of the inputs; guessed if None.
        precision: of the exported model's arithmetic.
    """

    run_dir: Path
    settings: Mapping[str, Any]
    files: Sequence[str] = ()
    texts: Sequence[str] = ()
    histories: Sequence[str] = ()
    column: str | None = None
    precision: str = "float32"

    def refuse_flags(self, what: str, **flags: Any) -> None:
        """Raise where a flag was given that this run has no use for.

        Raises:
            InputError: says what it takes.
        """
        given = [flag for flag, value in flags.items() if value]
        if given:
            raise InputError(f"--{given[0]} is not for this run, which takes {what}.")


class Answered(NamedTuple):
    """Some inputs' rows of the table, how many inputs these are of, and inputs that cannot be used."""

    rows: list[list[Any]]
    number: int
    skipped: list[Skipped]


class Answers(NamedTuple):
    """The columns of the table, and its rows some at a time, in the order of the inputs."""

    columns: list[str]
    parts: Iterator[Answered]
