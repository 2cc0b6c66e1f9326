"""The directory of a run: the names of its files, whose it is, and what it remembers. Does not import TensorFlow."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kerasuite import workers
from kerasuite.errors import InputError, InUse
from kerasuite.whole_files import is_left_over, read_json, write_json

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
CHECKPOINTS = "checkpoints"
HISTORY = "history.csv"
TENSORBOARD = "tensorboard"
MODEL = "model.keras"
SERVABLE = "servable"
BASELINES = "baselines.npz"
SEEN = "trained_on.npz"
VOCABULARY = "vocabulary.txt"
SKIPPED = "skipped.csv"
PREDICTIONS = "predictions.csv"
CONFUSION_MATRIX = "confusion_matrix"
REPORT = "report.html"
METRICS = "metrics.json"
SEEDS = "seeds.json"
WORKERS = "workers"
_PROBE = ".probe"


def create(output: str | None, parent: Path) -> Path:
    """Make the run directory: `output`, or a folder named by date and time in `parent`.

    Raises:
        InputError: it exists and is not empty, or cannot be written.
    """
    path = Path(output) if output else parent
    try:
        if output:
            refuse_used(path)
            path.mkdir(parents=True, exist_ok=True)
        else:
            path = claimed(parent)
        probe = path / _PROBE
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputError(f"--output {path} cannot be written: {error.strerror}. Pass a directory that can.") from None
    return path


def refuse_used(path: Path) -> None:
    """Refuse a directory in which there is more than the output of workers that are about to fill it.

    Files that a kill left unfinished do not count.

    Raises:
        InputError: there is.
    """
    if path.is_dir() and not all(each.name in (WORKERS, _PROBE) or is_left_over(each.name) for each in path.iterdir()):
        how = "it holds a finished run" if is_finished(path) else "it is not empty"
        raise InputError(
            f"--output {path}: {how}. Pass a directory that does not exist yet, "
            f"or continue an interrupted run by: kerasuite resume {path}"
        )


def claimed(parent: Path) -> Path:
    """A new folder in `parent`, named by date and time: of this process alone, whoever else begins in that second."""
    parent.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}"
    for path in itertools.chain([parent / name], (parent / f"{name}_{number}" for number in itertools.count(2))):
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path


def is_finished(run_dir: Path) -> bool:
    """A run is finished once its metrics are written: they are the last file."""
    return (run_dir / METRICS).is_file() or (run_dir / SEEDS).is_file()


def open_finished(run_dir: str | Path) -> Path:
    """The path of a finished run.

    Raises:
        InputError: there is no run, or it is not finished.
    """
    path = Path(run_dir)
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} is not a run directory: it has no {CONFIG}.")
    if not is_finished(path):
        raise InputError(f"The run in {path} is not finished. Continue it by: kerasuite resume {path}")
    if not (path / METRICS).is_file():
        runs = ", ".join(sorted(str(child.parent) for child in path.glob(f"*/{METRICS}")))
        raise InputError(f"{path} holds several runs, one a seed. Name one of them: {runs}.")
    return path


@contextlib.contextmanager
def locked(run_dir: Path, file_name: str = CONFIG) -> Iterator[None]:
    """Keep a run, or a sweep, to this process as long as it lives, however it ends.

    Args:
        file_name: what is locked; made if it is not there, and not to be replaced meanwhile.

    Raises:
        InUse: another process has it.
    """
    with open(run_dir / file_name, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"What is in {run_dir} is under way in another process. Wait for its end, or stop it first."
            ) from None
        except OSError as error:
            print(f"Warning: {run_dir} cannot be locked ({error.strerror}); start nothing else in it.", file=sys.stderr)
        yield


def remember(run_dir: Path, name: str, make: Callable[[], Any]) -> Any:
    """What environment.json has under this name; where it has nothing yet, what `make` gives, which is then written.

    So a decision that was measured once is the same when the run is resumed, and the first worker's is that of all.
    """

    def known_or_made() -> Any:
        known = _environment(run_dir)
        if name not in known:
            known[name] = make()
            write_json(run_dir / ENVIRONMENT, known)
        return known[name]

    return workers.of_first(known_or_made)


def remembered(run_dir: Path, name: str) -> Any:
    """What environment.json has under this name, or None."""
    return workers.of_first(lambda: _environment(run_dir).get(name))


def _environment(run_dir: Path) -> dict[str, Any]:
    path = run_dir / ENVIRONMENT
    return read_json(path) if path.is_file() else {}


def require_same(run_dir: Path, name: str, value: str) -> None:
    """Record a value in environment.json, or hold it against the one recorded when the run started.

    Raises:
        InputError: it differs: going on would not be the same run.
    """
    known = remember(run_dir, name, lambda: value)
    if known != value:
        raise InputError(
            f"The {name} is not that with which the run in {run_dir} started (fingerprint {value}, was {known}). "
            "Put it back as it was, or start a new run."
        )


def require_same_settings(run_dir: Path, settings: Mapping[str, Any]) -> None:
    """Record settings and versions in environment.json, or hold them against those that a run started with.

    Raises:
        InputError: some differ; says which, and what they were.
    """
    given = json.loads(json.dumps(settings))
    known = remember(run_dir, "started with", lambda: given)
    unlike = [
        f"{name} was {known.get(name)!r}, is {given.get(name)!r}"
        for name in known | given
        if known.get(name) != given.get(name)
    ]
    if unlike:
        raise InputError(
            f"The run in {run_dir} was started otherwise: {'; '.join(unlike)}. Going on would not be the same run: put "
            "that back as it was, or start a new run."
        )
