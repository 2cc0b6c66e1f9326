"""`kerasuite resume`: go on with an interrupted run, to the very same weights, or with a sweep."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from kerasuite import cli, cluster, config, run_directory, whole_files
from kerasuite.commands import run, sweep
from kerasuite.errors import InputError


def main(args: list[str]) -> int:
    """Go on with the run in the directory that is the only argument."""
    parser = argparse.ArgumentParser(
        "kerasuite resume", description="Go on from a run's last checkpoint, with the run's own settings."
    )
    parser.add_argument("run_dir", type=Path, help="the directory of an interrupted run or sweep")
    given, flags = parser.parse_known_args(args)
    run_dir = given.run_dir
    if (run_dir / sweep.SWEEP).is_file():
        if flags:
            raise InputError(f"resume takes the directory of a sweep alone; received {shlex.join(flags)} too.")
        print(sweep.resume(run_dir))
        return 0
    record = whole_files.read_json(run_dir / run_directory.CONFIG)
    if not isinstance(record, dict) or not {"pipeline", "settings"} <= set(record):
        raise InputError(f"{run_dir / run_directory.CONFIG} is not the settings of a run.")
    name, module = record["pipeline"], cli.pipeline(record["pipeline"])
    settings = config.from_dict(module.Config, record["settings"], str(run_dir / run_directory.CONFIG))
    if flags:
        _refuse_others(settings, config.parse(module.Config, {}, flags, "kerasuite resume", module.__doc__, settings))
    if run_directory.is_finished(run_dir):
        print("This run is finished; nothing to do.")
    elif cluster.place().rank > 0:
        run.follow(name, settings, run_dir)
        return 0
    else:
        try:
            run.go_on(run_dir, name, settings)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(f"Go on by: kerasuite resume {run_dir}") from interrupt
    print(run_dir)
    return 0


def _refuse_others(settings: config.Settings, others: config.Settings) -> None:
    """Hold settings that were given against those of the run."""
    if unlike := config.changed(others, settings):
        told = "; ".join(f"{config.flag(name)} is {getattr(settings, name)}, not {unlike[name]}" for name in unlike)
        raise InputError(
            f"resume goes on with the settings that the run was started with: {told}. Leave them out, or start a new "
            "run."
        )
