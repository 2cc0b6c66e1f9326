"""`kerasuite run`: settings, run directory, then the pipeline, once for each seed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from kerasuite import cli, cluster, config, devices, run_directory, whole_files
from kerasuite.errors import InputError, InUse


def main(args: list[str]) -> int:
    """Run the pipeline that the first argument names; the last line printed is the run directory."""
    if not args or args[0] in ("-h", "--help"):
        print("usage: kerasuite run NAME [--sample] [--config FILE] [settings]\n")
        print("\n".join(f"  {name}  {line}" for name, line in cli.pipelines().items()))
        print("\nkerasuite run NAME --help lists the settings of a pipeline.")
        return 0
    name = args[0]
    module = cli.pipeline(name)
    settings = config.parse(module.Config, module.SAMPLE, args[1:], f"kerasuite run {name}", module.__doc__)
    # What clusters start again after a stop is the same command.
    begun = _begun_by_workers(name, settings)
    if cluster.place().rank > 0:
        follow(name, settings, begun)
    elif begun:
        go_on(begun, name, settings)
        print(begun)
    else:
        print(start(name, settings))
    return 0


def _begun_by_workers(name: str, settings: config.Settings) -> Path | None:
    """The run directory that --output names, where several workers began this very run in it and did not finish."""
    path = Path(settings.output or "")
    if cluster.place().count == 1 or not (path / run_directory.CONFIG).is_file() or run_directory.is_finished(path):
        return None
    record = whole_files.read_json(path / run_directory.CONFIG)
    if record != json.loads(json.dumps(_record(name, settings))):
        return None
    print(f"Going on with the run in {path}.", file=sys.stderr)
    return path


def script(path: str) -> None:
    """What `python pipelines/NAME.py` does: the same as `kerasuite run NAME`; ends the process."""
    sys.exit(cli.guarded(lambda: main([Path(path).stem, *sys.argv[1:]])))


def start(name: str, settings: config.Settings) -> Path:
    """Make a run directory and run the pipeline in it.

    Raises:
        InputError: the settings or the data cannot be used; then no run directory is left behind.
    """
    run_dir = begin(name, settings)
    try:
        go_on(run_dir, name, settings)
    except InUse:
        raise
    except InputError:
        # Nothing was trained: no run is left behind that could not be resumed.
        if not any(path for name in (run_directory.CHECKPOINTS, run_directory.METRICS) for path in run_dir.rglob(name)):
            discard(run_dir, made_parents=not settings.output)
        raise
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"What was done so far is kept. Go on by: kerasuite resume {run_dir}") from interrupt
    return run_dir


def follow(name: str, settings: config.Settings, run_dir: Path | None = None) -> None:
    """Take part in a run that another worker leads and writes.

    Args:
        run_dir: of the run, where it is resumed.
    """
    with tempfile.TemporaryDirectory(prefix="kerasuite-worker-") as folder:
        go_on(Path(folder), name, settings, leader=run_dir)


def discard(run_dir: Path, *, made_parents: bool) -> None:
    """Delete all in a directory in which nothing was done, it itself, and the folders above that were made for it.

    What cannot be deleted (a mount, a link, `.`) stays, empty.
    """
    for each in run_dir.iterdir():
        whole_files.remove(each)
    with contextlib.suppress(OSError):
        run_dir.rmdir()
        for parent in (run_dir.parent, run_dir.parent.parent) if made_parents else ():
            parent.rmdir()


def begin(name: str, settings: config.Settings) -> Path:
    """Make the run directory of a pipeline and write the settings into it, the first file of a run.

    Raises:
        InputError: the directory is in use, or cannot be written.
    """
    run_dir = run_directory.create(settings.output, Path("runs") / name)
    write_settings(run_dir, name, settings)
    return run_dir


def write_settings(run_dir: Path, name: str, settings: config.Settings) -> None:
    """Write config.json, the first file of a run."""
    whole_files.write_json(run_dir / run_directory.CONFIG, _record(name, settings))


def _record(name: str, settings: config.Settings) -> dict[str, Any]:
    return {
        "pipeline": name,
        "command": config.command(name, settings),
        "settings": dataclasses.asdict(settings),
    }


def go_on(run_dir: Path, name: str, settings: config.Settings, leader: Path | None = None) -> None:
    """Run, or go on with, what the run directory is for; finished seeds are left as they are.

    Args:
        leader: the run directory of the worker that leads, if this is another.

    Raises:
        InputError: another process has the run.
    """
    devices.import_tensorflow()
    with contextlib.nullcontext() if cluster.place().rank > 0 else run_directory.locked(run_dir):
        if settings.seeds == 1:
            cli.pipeline(name).run(settings, run_dir)
        else:
            _each_seed(run_dir, name, settings, leader or run_dir)


def _each_seed(run_dir: Path, name: str, settings: config.Settings, leader: Path) -> None:
    children = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        child = run_dir / f"seed_{seed}"
        children.append(child)
        if run_directory.is_finished(leader / child.name):
            continue
        print(f"Seed {seed} ({len(children)} of {settings.seeds})", flush=True)
        one = dataclasses.replace(settings, seed=seed, seeds=1, output=None)
        child.mkdir(exist_ok=True)
        write_settings(child, name, one)
        go_on(child, name, one)
    if cluster.place().rank > 0:
        return
    summary = summarise(children)
    whole_files.write_json(run_dir / run_directory.SEEDS, summary)
    for metric, numbers in summary["test"].items():
        print(
            f"{metric}: mean {numbers['mean']:.4f}, standard deviation {numbers['sd']:.4f} over {settings.seeds} seeds"
        )


def summarise(children: list[Path]) -> dict:
    """Mean, median, standard deviation and range of each test metric over runs.

    Returns:
        {"pipeline", "runs": names, "test": {metric: {"mean", "median", "sd", "min", "max", "values"}}}
    """
    runs = [whole_files.read_json(child / run_directory.METRICS) for child in children]
    table = {}
    for metric in runs[0]["test"]:
        values = [run["test"][metric]["value"] for run in runs]
        table[metric] = {
            "mean": statistics.fmean(values),
            "median": statistics.median(values),
            "sd": statistics.stdev(values),
            "min": min(values),
            "max": max(values),
            "values": values,
        }
    names = [child.name for child in children]
    return {"pipeline": runs[0]["pipeline"], "headline": runs[0]["headline"], "runs": names, "test": table}
