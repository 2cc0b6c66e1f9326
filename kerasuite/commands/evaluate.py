"""`kerasuite evaluate`: the report of a finished run on other labelled data."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses

from kerasuite import cli, config, devices, run_directory, whole_files
from kerasuite.commands import run
from kerasuite.errors import InputError

_COLUMNS = ("text_column", "label_column")


def main(args: list[str]) -> int:
    """Evaluate a run on the data that --data names; the last line printed is the directory of the report."""
    parser = argparse.ArgumentParser(
        "kerasuite evaluate",
        description="Score a run's exported model, and its baselines, on labelled data that it has not seen, and write "
        "the same report.",
    )
    parser.add_argument("run_dir", help="a finished run")
    parser.add_argument(
        "--data", nargs="+", required=True, help="labelled data, in any form that the run's pipeline takes"
    )
    for name in _COLUMNS:
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, help="of texts, where it is not called as it was in training")
    parser.add_argument("--output", help="directory to make; RUN_DIR/evaluations/DATE_TIME if not given")
    given = parser.parse_args(args)
    run_dir = run_directory.open_finished(given.run_dir)
    record = whole_files.read_json(run_dir / run_directory.CONFIG)
    module = cli.pipeline(record["pipeline"])
    settings = config.from_dict(module.Config, record["settings"], str(run_dir / run_directory.CONFIG))
    if named := {name: value for name in _COLUMNS if (value := getattr(given, name)) is not None}:
        if not all(hasattr(settings, name) for name in named):
            flag = next(iter(named)).replace("_", "-")
            raise InputError(f"--{flag} is of texts; this is a run of {record['pipeline']}.")
        settings = dataclasses.replace(settings, **named)
    folder = run_directory.create(given.output, run_dir / "evaluations")
    devices.import_tensorflow()
    try:
        module.evaluate(settings, run_dir, given.data, folder)
    except BaseException:
        # Half an evaluation is of no use, and a whole one is soon done again.
        run.discard(folder, made_parents=False)
        with contextlib.suppress(OSError):
            (run_dir / "evaluations").rmdir()
        raise
    print(folder)
    return 0
