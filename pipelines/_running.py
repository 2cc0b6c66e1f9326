"""What every run does: load, train, finish; and what must stay the same when it is resumed, and on all its workers."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasuite import cluster, config, devices, run_directory, whole_files, workers
from kerasuite.contracts import Skipped, Splits

if TYPE_CHECKING:
    from kerasuite.training.fit import Fitted

# What of a machine decides how sums are rounded.
_ROUNDED_BY = ("processor", "cores", "onednn")


def run(
    config: config.Settings,
    run_dir: Path,
    load: Callable[..., Splits],
    train: Callable[..., Fitted],
    finish: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """Load, train, finish; of several workers the first alone finishes.

    Raises:
        InputError: the run was started with other data, settings or versions, or another worker has them.
    """
    began = time.monotonic()
    # Logical devices have to be set up before anything else touches TensorFlow.
    strategy = devices.strategy(config.devices, config.all_reduce)
    splits = load(config)
    say(splits.notes, splits.warnings)
    if splits.skipped:
        write_skipped(run_dir, splits.skipped, splits.counts["skipped"])
    data, settings = splits.fingerprint(), devices.versions() | config.of_all_workers
    workers.require_alike({"data": data} | settings)
    run_directory.require_same(run_dir, "data", data)
    run_directory.require_same_settings(run_dir, settings | {"number of devices": strategy.num_replicas_in_sync})
    _warn_of_another_machine(run_dir, devices.describe(strategy))
    loaded = time.monotonic()
    with _files_unchanged(splits):
        fitted = train(config, splits.train, splits.validation, run_dir)
        if not workers.go_on_alone():
            return {}
        seconds = {"load": loaded - began, "train": fitted.earlier_seconds + time.monotonic() - loaded}
        return finish(config, fitted, splits, run_dir, seconds)


def write_skipped(folder: Path, skipped: Sequence[Skipped], total: int = 0) -> None:
    """Write a table of the inputs that could not be used, with the reasons: warnings name the first of many.

    Args:
        total: how many these are, if more than are given; a last row says it.
    """
    import polars

    rows = [(str(each.id), each.reason) for each in skipped]
    if total > len(rows):
        rows.append((f"and {total - len(rows):,} more", f"this table names the first {len(rows):,}"))
    table = polars.DataFrame(rows, schema={"input": polars.String, "reason": polars.String}, orient="row")
    whole_files.write(folder / run_directory.SKIPPED, table.write_csv())


def _warn_of_another_machine(run_dir: Path, now: Mapping[str, Any]) -> None:
    """Say it where a run goes on with other arithmetic than it began with."""
    before = run_directory.remembered(run_dir, "machine") or now
    known = [name for name in _ROUNDED_BY if name in before]
    changed = [f"{name} was {before[name]!r}, is {now[name]!r}" for name in known if before[name] != now[name]]
    # Of several workers it is the first's machine that is remembered.
    if changed and cluster.place().rank == 0:
        print(
            f"Warning: this run was begun on another machine ({'; '.join(changed)}), which may round otherwise: its "
            "weights will be as good, but not the very same as without the interruption.",
            file=sys.stderr,
        )


@contextlib.contextmanager
def _files_unchanged(splits: Splits) -> Iterator[None]:
    """Name the file, where something fails because one was changed or taken away meanwhile."""
    import tensorflow as tf

    from kerasuite.data.photo_files import PhotoFiles

    try:
        yield
    except (tf.errors.OpError, OSError):
        for part in (splits.train, splits.validation, splits.test):
            PhotoFiles().refuse_changed(part)
        raise


def say(notes: Sequence[str], warnings: Sequence[str]) -> None:
    """Print what was noticed in loading."""
    for sentence in (*notes, *(f"Warning: {sentence}" for sentence in warnings)):
        print(sentence, file=sys.stderr)
