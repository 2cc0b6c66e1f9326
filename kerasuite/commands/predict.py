"""`kerasuite predict`: unlabelled inputs through `servable/` alone."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from kerasuite import cli, devices, progress, run_directory
from kerasuite.contracts import Skipped
from kerasuite.errors import InputError

COMPARED = 32

# What a pipeline's `inputs` gives, some at a time: names and raw inputs, in order, and those that cannot be read.
Chunks = Iterator[tuple[list[tuple[str, bytes]], list[Skipped]]]


def main(args: list[str]) -> int:
    """Predict each input with the run's exported model."""
    parser = argparse.ArgumentParser(
        "kerasuite predict",
        description="Write a line each input, in order: id, prediction, probability, then the probability of each "
        "class. Inputs that cannot be read are named on the error stream with the reason, and have no line.",
    )
    parser.add_argument("run_dir", help="a finished run")
    parser.add_argument("inputs", nargs="*", metavar="file_or_folder", help="what to predict")
    parser.add_argument("--text", action="append", default=[], help="a text to predict; may be given several times")
    parser.add_argument("--output", type=Path, help="csv file to write; the terminal if not given")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="bfloat16 is faster on many processors, and not exactly what the run was scored with: the difference is "
        "measured on the first inputs, and said",
    )
    given = parser.parse_args(args)
    run_dir, output = run_directory.open_finished(given.run_dir), given.output
    if output and not output.parent.is_dir():
        raise InputError(f"--output {output}: there is no folder {output.parent}.")
    if output and output.is_dir():
        raise InputError(f"--output {output} is a folder; name a csv file to write.")
    if not given.inputs and not given.text:
        raise InputError("Nothing to predict: name files or folders, or pass --text.")
    record = run_directory.read_json(run_dir / run_directory.CONFIG)
    module = cli.pipeline(record["pipeline"])
    chunks = module.inputs(given.inputs, given.text, record["settings"])
    devices.import_tensorflow()
    skipped: list = []
    if output:
        with run_directory.writing(output) as path, open(path, "w", encoding="utf-8", newline="") as file:
            predicted = _write(file, run_dir, chunks, skipped, given.precision)
    else:
        predicted = _write(sys.stdout, run_dir, chunks, skipped, given.precision)
    for name, reason in skipped:
        print(f"Skipped {name}: {reason}", file=sys.stderr)
    print(f"{predicted} predicted, {len(skipped)} skipped.", file=sys.stderr)
    if not predicted:
        raise InputError("None of the inputs could be read.")
    return 0


def _write(file, run_dir: Path, chunks: Chunks, skipped: list, precision: str) -> int:
    """Write the table; returns its number of lines."""
    from kerasuite.serving.predictor import Predictor

    predictor = Predictor(run_dir / run_directory.SERVABLE, precision)
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["id", "prediction", "probability", *(f"p({name})" for name in predictor.class_names)])
    written = 0
    with progress.bar("Predicting") as shown:
        for some, bad in chunks:
            if precision != "float32" and some and not written:
                first = [raw for _, raw in some[:COMPARED]]
                print(
                    f"Probabilities in {precision} lie at most {predictor.difference(first):.4f} from those in float32 "
                    f"on the first {len(first)} inputs.",
                    file=sys.stderr,
                )
            skipped += bad
            for (name, _), row in zip(some, predictor.probabilities(raw for _, raw in some)):
                table.writerow([name, predictor.said(row), f"{row.max():.6f}", *(f"{p:.6f}" for p in row)])
            written += len(some)
            shown(written, None)
    return written
