"""`kerasuite predict`: unlabelled inputs through `servable/` alone."""

from __future__ import annotations

import argparse
import contextlib
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from kerasuite import cli, progress, run_directory, whole_files
from kerasuite.errors import InputError

if TYPE_CHECKING:
    from kerasuite.pipelines._answers import Answers


def main(args: list[str]) -> int:
    """Predict each input with the run's exported model."""
    given = _parser().parse_args(args)
    run_dir, output = run_directory.open_finished(given.run_dir), given.output
    if output and not _is_open(output):
        # What a link leads to is written, and the link stays.
        output = output.resolve()
    if output and not output.parent.is_dir():
        raise InputError(f"--output {output}: there is no folder {output.parent}.")
    if output and output.is_dir():
        raise InputError(f"--output {output} is a folder; name a csv file to write.")
    if not given.inputs and not given.text and not given.history:
        raise InputError("Nothing to predict: name files or folders, or pass --text or --history.")
    answers = _asked(run_dir, given)
    skipped: list = []
    with _opened(output) as file:
        predicted = _write(file, answers, skipped)
    for name, reason in skipped:
        print(f"Skipped {name}: {reason}", file=sys.stderr)
    print(f"{predicted} predicted, {len(skipped)} skipped.", file=sys.stderr)
    if not predicted:
        raise InputError("None of the inputs could be read.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "kerasuite predict",
        description="Write a line each input, in order: id, prediction, its probability, then the probability of each "
        "class (where an input may be of several classes, the prediction is all that are at least 0.5, with | between "
        "them, and has no probability of its own); of a recommender a line each recommended item: id, rank, item, "
        "score. Inputs that cannot be read are named on the error stream with the reason, and have no line.",
    )
    parser.add_argument("run_dir", help="a finished run")
    parser.add_argument("inputs", nargs="*", metavar="file_or_folder", help="what to predict")
    parser.add_argument("--text", action="append", default=[], help="a text to predict; may be given several times")
    parser.add_argument(
        "--history", action="append", default=[], help="item ids of a history, by comma; may be given several times"
    )
    parser.add_argument("--column", help="of tables, the column of the inputs; guessed as in training if not given")
    parser.add_argument("--output", type=Path, help="csv file to write; the terminal if not given")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="bfloat16 is faster on many processors, and not exactly what the run was scored with: the difference is "
        "measured on the first inputs, and said",
    )
    return parser


def _asked(run_dir: Path, given: argparse.Namespace) -> Answers:
    from kerasuite.pipelines._answers import Asked

    record = whole_files.read_json(run_dir / run_directory.CONFIG)
    module = cli.pipeline(record["pipeline"])
    asked = Asked(run_dir, record["settings"], given.inputs, given.text, given.history, given.column, given.precision)
    return module.predict(asked)


def _is_open(output: Path) -> bool:
    """Whether there is a pipe or a device, which takes what is written."""
    return output.exists() and not output.is_file() and not output.is_dir()


@contextlib.contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    """What the table is written to: a new file in the place of an old one, or a pipe or a device as it is."""
    if output is None:
        yield sys.stdout
        return
    to = contextlib.nullcontext(output) if _is_open(output) else whole_files.writing(output)
    with to as path, open(path, "w", encoding="utf-8", newline="") as file:
        yield file


def _write(file, answers: Answers, skipped: list) -> int:
    """Write the table; returns how many inputs have lines in it."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow(answers.columns)
    predicted = 0
    with progress.bar("Predicting") as shown:
        for part in answers.parts:
            skipped += part.skipped
            table.writerows(part.rows)
            predicted += part.number
            shown(predicted, None)
    return predicted
