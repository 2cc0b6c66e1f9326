"""A recommender of the next item: its lists for histories, and its report on another log; the rest by name."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasuite import config, devices, run_directory
from kerasuite.contracts import Examples, Splits, named
from kerasuite.errors import InputError
from kerasuite.pipelines import _next_item, _ranking, _running
from kerasuite.pipelines._answers import Answered, Answers, Asked
from kerasuite.pipelines._next_item import training_parts
from kerasuite.pipelines._ranking import finish

__all__ = ["evaluate", "finish", "predict", "training_parts"]

if TYPE_CHECKING:
    from kerasuite.data.interactions import Log

CHUNK = 1024
_UNKNOWN = "(not in the catalogue)"


def predict(asked: Asked) -> Answers:
    """A row each recommended item: id, rank, item, score; of --history, and of each user of a log.

    Scores are logits; of who has no history, how often the items were had.
    """
    asked.refuse_flags("--history and logs of interactions", text=asked.texts, column=asked.column)
    if asked.precision != "float32":
        raise InputError("--precision bfloat16 is not for recommenders, whose lists it would change.")
    devices.import_tensorflow()
    from kerasuite.serving.recommender import Recommender

    recommender = Recommender(asked.run_dir / run_directory.SERVABLE, devices.local())
    log = _next_item.read_to_predict(asked) if asked.files else None
    every = chain(_written(asked.histories), _logged(log) if log else ())

    def parts() -> Iterator[Answered]:
        unknown, skipped = 0, list(log.skipped) if log else []
        while some := list(islice(every, CHUNK)):
            found = recommender((history for _, history in some), [user for user, _ in some])
            unknown += int(found.unknown.sum())
            rows = [
                [name, rank, item, f"{score:.4f}", *([recommender.titles.get(item, "")] if recommender.titles else [])]
                for (name, _), items, scores in zip(some, found.items, found.scores)
                for rank, (item, score) in enumerate(zip(items, scores), 1)
                if item
            ]
            yield Answered(rows, len(some), skipped)
            skipped = []
        if unknown:
            print(f"{unknown:,} id(s) are not in the catalogue: they were left out.", file=sys.stderr)

    return Answers(["id", "rank", "item", "score", *(["title"] if recommender.titles else [])], parts())


def _written(histories: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Histories of the command line; an id that has a comma in it stands in quotation marks."""
    import csv

    found = []
    for number, text in enumerate(histories, 1):
        try:
            cells = next(csv.reader([text], skipinitialspace=True), [])
        except csv.Error as fault:
            raise InputError(f"--history {text!r} cannot be read: {fault}. Expected ids with commas between.") from None
        found.append((f"history[{number}]", [cell.strip() for cell in cells if cell.strip()]))
    return found


def _logged(log: Log) -> Iterator[tuple[str, np.ndarray]]:
    """The history of each user of a log."""
    ends = np.flatnonzero(np.append(log.users[1:] != log.users[:-1], True)) + 1
    starts = [0, *ends[:-1]]
    return ((str(log.user_ids[log.users[k]]), log.item_ids[log.items[k:end]]) for k, end in zip(starts, ends))


def evaluate(
    settings: config.Settings, splits: Splits, run_dir: Path, data: Sequence[str], folder: Path
) -> dict[str, Any]:
    """The report of a finished run on another log: each user's last item, foreseen from those before it.

    Args:
        splits: what the run was trained on, which the baselines are fitted on again.
    """
    from kerasuite.data import histories, interactions

    began = time.monotonic()
    log = _next_item.read_another("evaluate", data, asdict(settings))
    if log.skipped:
        _running.write_skipped(folder, log.skipped, log.num_skipped)
    examples, notes = histories.last_items(log)
    warnings = [*interactions.skipped_sentence(log), *_trained_on(splits.train, examples)]
    _running.say([*log.notes, *notes], warnings)
    in_catalogue = _in_catalogue(examples, splits.train.class_names)
    counts = np.bincount(histories.sequences(splits.train).values, minlength=len(splits.train.class_names))
    served = _ranking.served_lists(run_dir, examples, splits.train.class_names, devices.local())
    known = _ranking.items(settings, splits.train.class_names)
    if known:
        known = known._replace(titles=np.append(known.titles, ""), groups=np.append(known.groups, ""))
    rankings = _ranking.rankings(settings, splits, in_catalogue, served.items, np.append(counts, 0), known)
    return _ranking.write(
        folder,
        replace(rankings, optimum=None),
        facts={
            "pipeline": _ranking.PIPELINE,
            "examples": {"test": len(examples), "skipped": log.num_skipped},
            "seconds": {"total": time.monotonic() - began},
        },
        title=f"{settings.model} trained on {Path(settings.data[0]).name}, evaluated on {Path(data[0]).name}",
        summary=" ".join([*log.notes, *notes]),
        warnings=warnings,
        settings=asdict(settings),
        command=shlex.join(["kerasuite", "evaluate", str(run_dir), "--data", *data]),
        run_dir=run_dir,
    )


def _trained_on(train: Examples, examples: Examples) -> list[str]:
    """The sentence on users whose item to be foreseen was trained on, if there are any."""
    from kerasuite.data.histories import positions, sequences

    past = sequences(train)
    users, items = positions(examples.ids, train.ids), positions(examples.class_names, train.class_names)
    rows = [
        row for row, (user, item) in enumerate(zip(users, items[examples.labels])) if user >= 0 and item in past[user]
    ]
    if not rows:
        return []
    what = f"Of {len(rows):,} of these {len(examples):,} users the item to be foreseen was trained on"
    return [named(what, [examples.ids[row] for row in rows])]


def _in_catalogue(examples: Examples, item_ids: tuple[str, ...]) -> Examples:
    """The examples in terms of the run's items, with one more that stands for all others; histories without those."""
    from kerasuite.columns import Ragged
    from kerasuite.data.histories import HISTORY, positions

    place = positions(examples.class_names, item_ids)
    history = examples.inputs[HISTORY]
    items = place[history.values]
    rows = np.repeat(np.arange(len(history)), history.lengths)[items >= 0]
    lengths = np.bincount(rows, minlength=len(history))
    kept = Ragged(items[items >= 0].astype(np.int32), np.concatenate([[0], np.cumsum(lengths)]))
    labels = np.where(place < 0, len(item_ids), place)[examples.labels]
    return replace(examples, inputs={HISTORY: kept}, labels=labels, class_names=(*item_ids, _UNKNOWN), facts={})
