"""One training of a sweep: what its process does, and the file that it leaves."""

from __future__ import annotations

import csv
import dataclasses
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from kerasuite import cli, config, run_directory, whole_files
from kerasuite.commands.sweeps import workers
from kerasuite.errors import InputError

ROWS, SHARED, TRIALS, RERUNS, ORACLE = "rows", "shared", "trials", "reruns", "oracle"
RESULT, RUN, LOG, LOCK = "result.json", "run", "log.txt", ".lock"
PRECISION = "precision"

Status = Literal["finished", "paused", "stopped", "failed"]


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a training.

    Args:
        name: of the trial.
        values: of the settings that are searched.
        status: finished; paused, as hyperband does; stopped, since it was hopeless; failed, for `reason`.
        value: of the objective, at the epoch whose weights were kept.
        epochs: done in all.
        seconds: it took, those of its earlier rounds not among them.
        trained: epochs that these seconds were for.
        run: its run directory, from the sweep's.
    """

    name: str
    values: Mapping[str, Any]
    status: Status
    value: float | None
    epochs: int
    trained: int
    seconds: float
    run: str
    seed: int
    reason: str = ""

    @classmethod
    def read(cls, path: Path) -> Result:
        """From the file that `write` wrote."""
        return cls(**whole_files.read_json(path))

    def write(self, folder: Path) -> None:
        """Into result.json of a trial's folder, its last file."""
        whole_files.write_json(folder / RESULT, dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class Job:
    """A training to be done.

    Args:
        sweep_dir: of the sweep.
        run: run directory, from the sweep's; what stands there is gone on with.
        values: of the settings that are searched.
        epochs: after which it pauses; None goes on to its end.
        total_epochs: of a training that goes on to its end.
        stop_early: end it where the median rule calls it hopeless.
    """

    pipeline: str
    settings: config.Settings
    sweep_dir: Path
    run: str
    values: Mapping[str, Any]
    objective: str
    epochs: int | None
    total_epochs: int
    stop_early: bool


def store_rows(pipeline: str, settings: config.Settings, sweep_dir: Path) -> dict[str, Any]:
    """Load once for all trials: the training and validation rows are written down, those of the test are not.

    Returns:
        The fingerprint of all rows, how many there are for each use, notes and warnings.
    """
    from kerasuite.data import kept

    splits = cli.pipeline(pipeline).load(settings)
    kept.save(sweep_dir / ROWS, (splits.train, splits.validation))
    return {
        "fingerprint": splits.fingerprint(),
        "counts": splits.counts,
        "notes": list(splits.notes),
        "warnings": list(splits.warnings),
    }


def fingerprint(pipeline: str, settings: config.Settings) -> str:
    """That of all rows, as they are now."""
    return cli.pipeline(pipeline).load(settings).fingerprint()


def train(job: Job) -> tuple[Status, float, int, int]:
    """Train as the pipeline does, on the stored rows.

    Returns:
        How it ended, the objective's value at the epoch that is kept, and the number of epochs, in all and now.
    """
    from kerasuite.data import kept
    from kerasuite.training import interruption, sweep
    from kerasuite.training.history import History

    began = time.monotonic()
    run_dir = job.sweep_dir / job.run
    earlier = len(objective_course(run_dir / run_directory.HISTORY, job.objective))
    ended: list[Status] = []

    def rule(history: History) -> bool:
        if history and job.objective not in history[-1]:
            there = ", ".join(name for name in history[-1] if name.startswith("val_"))
            raise InputError(f"--objective {job.objective}: validation has no such number; it has {there}.")
        if job.epochs is not None and len(history) >= job.epochs:
            ended.append("paused")
        elif job.stop_early and sweep.is_hopeless(history, _others(job), job.objective, job.total_epochs):
            ended.append("stopped")
        return bool(ended)

    rows, held_out = kept.load(job.sweep_dir / ROWS)
    try:
        with kept.sharing(job.sweep_dir / SHARED), interruption.pausing(rule):
            done = cli.pipeline(job.pipeline).train(job.settings, rows, held_out, run_dir)
    except interruption.Paused as pause:
        done = pause
    status = ended[0] if ended else "finished"
    _note_in_tensorboard(run_dir, job, done.best[job.objective], len(done.history))
    print(f"{status} after {time.monotonic() - began:.1f} s", flush=True)
    return status, float(done.best[job.objective]), len(done.history), len(done.history) - earlier


def _others(job: Job) -> list[list[dict[str, float]]]:
    """The objective's course in the other trials."""
    found = []
    for path in (job.sweep_dir / TRIALS).glob(f"*/{RUN}/{run_directory.HISTORY}"):
        if path.parent != job.sweep_dir / job.run:
            found.append([{job.objective: value} for value in objective_course(path, job.objective)])
    return found


def objective_course(path: Path, objective: str) -> list[float]:
    """The objective's value after each epoch, from a history.csv."""
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        return [float(row[objective]) for row in csv.DictReader(file) if row.get(objective)]


def _note_in_tensorboard(run_dir: Path, job: Job, value: float, epochs: int) -> None:
    """The settings and what they gave, for TensorBoard's page of hyperparameters."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    with tf.summary.create_file_writer(str(run_dir / run_directory.TENSORBOARD)).as_default():
        api.hparams({name: each for name, each in job.values.items()}, trial_id=job.run)
        tf.summary.scalar(job.objective, value, step=epochs)


def measured_once(sweep_dir: Path, run_dir: Path) -> None:
    """Let a training take over the arithmetic that the first trial measured: it is measured once a sweep."""
    known = sweep_dir / "measured.json"
    if not known.is_file():
        for path in sorted(sweep_dir.glob(f"{TRIALS}/*/{RUN}/{run_directory.ENVIRONMENT}")):
            found = {name: each for name, each in whole_files.read_json(path).items() if name.startswith(PRECISION)}
            if found:
                whole_files.write_json(known, found)
                break
    if known.is_file():
        for name, value in whole_files.read_json(known).items():
            run_directory.remember(run_dir, name, lambda value=value: value)


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Folders, or files in them, of trials and re-runs, by their trials' numbers: these may be of unlike lengths."""
    folder = lambda path: (path if path.is_dir() else path.parent).name  # noqa: E731
    return sorted(paths, key=lambda path: (int(folder(path).split("_")[0]), folder(path)))


def forget(sweep_dir: Path) -> None:
    """Delete what only the search needed: the rows, what was made of them, and checkpoints of what was paused."""
    for path in (sweep_dir / SHARED, *sweep_dir.glob(f"*{ROWS}*"), sweep_dir / workers.ALIVE):
        shutil.rmtree(path, ignore_errors=True)
    for path in sweep_dir.glob(f"*/*/{RUN}/{run_directory.CHECKPOINTS}"):
        shutil.rmtree(path, ignore_errors=True)
