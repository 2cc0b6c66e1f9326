"""`kerasuite predict`: unlabelled inputs through `servable/` alone."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from kerasuite import cli, devices, run_directory
from kerasuite.errors import InputError

CHUNK = 64


def main(args: list[str]) -> int:
    """Predict each input with the run's exported model."""
    parser = argparse.ArgumentParser(
        "kerasuite predict",
        description="Write a line each input, in order: id, prediction, probability, then the probability of each "
        "class. Inputs that cannot be read are named on the error stream with the reason, and have no line.",
    )
    parser.add_argument("run_dir", help="a finished run")
    parser.add_argument("inputs", nargs="+", metavar="file_or_folder", help="what to predict")
    parser.add_argument("--output", type=Path, help="csv file to write; the terminal if not given")
    given = parser.parse_args(args)
    run_dir, output = run_directory.open_finished(given.run_dir), given.output
    if output and not output.parent.is_dir():
        raise InputError(f"--output {output}: there is no folder {output.parent}.")
    if output and output.is_dir():
        raise InputError(f"--output {output} is a folder; name a csv file to write.")
    module = cli.pipeline(run_directory.read_json(run_dir / run_directory.CONFIG)["pipeline"])
    names = module.find_inputs(given.inputs)
    devices.import_tensorflow()
    skipped: list = []
    if output:
        text = io.StringIO()
        predicted = _write(text, run_dir, module, names, skipped)
        run_directory.write(output, text.getvalue())
    else:
        predicted = _write(sys.stdout, run_dir, module, names, skipped)
    for name, reason in skipped:
        print(f"Skipped {name}: {reason}", file=sys.stderr)
    print(f"{predicted} predicted, {len(skipped)} skipped.", file=sys.stderr)
    if not predicted:
        raise InputError("None of the inputs could be read.")
    return 0


def _write(file, run_dir: Path, module, names: list[str], skipped: list) -> int:
    """Write the table; returns its number of lines."""
    from kerasuite.serving.predictor import Predictor

    predictor = Predictor(run_dir / run_directory.SERVABLE)
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["id", "prediction", "probability", *(f"p({name})" for name in predictor.class_names)])
    written = 0
    for chunk in _progress(names):
        raw, bad = module.read_inputs(chunk)
        skipped += bad
        rows = dict(zip(raw, predictor.probabilities(raw.values())))
        for name in chunk:
            if name not in rows:
                continue
            row = rows[name]
            best = int(row.argmax())
            table.writerow([name, predictor.class_names[best], f"{row[best]:.6f}", *(f"{p:.6f}" for p in row)])
            written += 1
    return written


def _progress(names: list[str]) -> Iterator[list[str]]:
    from rich.console import Console
    from rich.progress import track

    starts = range(0, len(names), CHUNK)
    for start in track(starts, "Predicting", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        yield names[start : start + CHUNK]
