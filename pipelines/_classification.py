"""What follows training in every pipeline that classifies: scoring, the report, and other data later."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kerasuite import config, devices, run_directory, whole_files
from kerasuite.contracts import Examples, Skipped, Splits, named, skipped_warning
from kerasuite.pipelines._answers import Answered, Answers, Asked
from kerasuite.pipelines._running import say, write_skipped

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from kerasuite.evaluation.classification import Scores
    from kerasuite.evaluation.report import Section
    from kerasuite.serving.export import RawPreparation
    from kerasuite.serving.predictor import Predictor, Raw
    from kerasuite.training.fit import Fitted


@dataclass(frozen=True)
class Rows:
    """What the rows of a pipeline are, images or texts, and what can be done with any of them.

    Args:
        plural: as sentences call them, and the name of the SavedModel's input, if it has one alone.
        serving_input: the argument of its signature, as Python.
        read: what `evaluate --data` names, for the given classes: examples, skipped inputs, notes.
        raw: the raw inputs of examples, as they are served.
        signature: of the SavedModel, where it has several inputs.
        batch_size: how many are scored at a time.
        answers: what a model in Python says of examples, float32 (rows, classes).
        shown: what a person looks at: `thumbnails`, small pictures of examples, or `texts`, themselves.
    """

    plural: str
    serving_input: str
    read: Callable[[Sequence[str], Sequence[str]], tuple[Examples, Sequence[Skipped], Sequence[str]]]
    raw: Callable[[Examples], Iterable[Raw]]
    answers: Callable[[keras.Model, Examples], np.ndarray]
    shown: tuple[Literal["thumbnails", "texts"], Callable[[Examples], Sequence]]
    signature: Sequence[tf.TensorSpec] | None = None
    batch_size: int = 256


@dataclass(frozen=True)
class Task:
    """What one pipeline's run has of its own.

    Args:
        pipeline: its name.
        config: the run's settings.
        model_name: in the report's title.
        prepare: from raw inputs to what the model takes; exported with it.
        rows: what the rows are.
        features: from examples to what each linear baseline knows of them, by the baseline's name.
        near: whether copies are looked for that are only nearly the same.
        most_baseline_rows: the linear baselines are fitted on so many training rows at most: memory has a bound.
        choose_penalty: whether the linear baselines' penalty is chosen on validation.
        sections: further sections of the report, from the fitted model, the scores, the scored examples, and those
            that were trained on, or None where these are not at hand.
    """

    pipeline: str
    config: config.Settings
    model_name: str
    prepare: RawPreparation
    rows: Rows
    features: Callable[[Examples], Mapping[str, np.ndarray]]
    near: bool = False
    choose_penalty: bool = False
    most_baseline_rows: int = 100_000
    sections: Callable[[Any, Scores, Examples, Examples | None], Sequence[Section]] = lambda *given: ()


def finish(
    task: Task, fitted: Fitted, splits: Splits, run_dir: Path, seconds: Mapping[str, float] | None
) -> dict[str, Any]:
    """Export, score the export on the whole test set from raw input, and write the report; metrics.json comes last."""
    from kerasuite.data import duplicates
    from kerasuite.evaluation import results
    from kerasuite.serving import export
    from kerasuite.training.checkpoint import discard

    began = time.monotonic()
    test, names = splits.test, splits.train.class_names
    with whole_files.writing(run_dir / run_directory.MODEL) as path:
        fitted.model.save(path)
    signature = task.rows.signature or export.of_strings(task.rows.plural)
    servable = run_dir / run_directory.SERVABLE
    export.export(servable, fitted.model, task.prepare, names, signature=signature, multi_label=test.is_multi_label)
    with whole_files.writing(run_dir / run_directory.SEEN) as path:
        np.savez(path, **duplicates.remembered(splits.train, splits.validation))
    used = devices.local(task.config.devices)
    scores = score(task, run_dir, test, fit_baselines(task, splits, run_dir), used)
    in_python = task.rows.answers(fitted.model, test)
    checked = export.compare(scores.probabilities, in_python, test.ids, multi_label=test.is_multi_label)
    sections = task.sections(fitted.model, scores, test, splits.train)
    seconds = dict(seconds or {}) | {"evaluate": time.monotonic() - began}
    metrics = results.write(
        run_dir,
        scores,
        title=f"{task.model_name} on {_data_name(task)}",
        summary=" ".join([*splits.notes, *_baseline_note(task, splits)]),
        facts={
            "pipeline": task.pipeline,
            "examples": splits.counts | _group_count(test),
            "kept": fitted.kept,
            "servable": checked,
            "seconds": seconds | {"total": sum(seconds.values())},
        },
        warnings=(*splits.warnings, *_few_groups(test)),
        **_shown(task, test),
        history=fitted.history,
        settings=asdict(task.config),
        serving_input=task.rows.serving_input,
        command=config.command(task.pipeline, task.config),
        extra=sections,
    )
    discard(run_dir / run_directory.CHECKPOINTS)
    return metrics


def fit_baselines(task: Task, splits: Splits, run_dir: Path) -> str:
    """Fit and keep the baselines; the name of the one that is best on validation."""
    from kerasuite.evaluation import baselines

    train = splits.train
    some = np.random.default_rng(task.config.seed).permutation(len(train))[: task.most_baseline_rows]
    train = train.take(np.sort(some))
    known = task.features(splits.validation), splits.validation.labels
    fitted = baselines.fit_all(
        task.features(train), train.labels, len(train.class_names), validation=known if task.choose_penalty else None
    )
    with whole_files.writing(run_dir / run_directory.BASELINES) as path:
        baselines.save(path, fitted)
    return baselines.best(fitted, *known)


# Intervals over fewer groups than these are to be taken with care.
FEW_GROUPS = 20


def _group_count(examples: Examples) -> dict[str, int]:
    return {} if examples.groups is None else {"test_groups": len(np.unique(examples.groups))}


def _few_groups(examples: Examples) -> list[str]:
    """The sentence on intervals over few groups, if they are few."""
    found = _group_count(examples).get("test_groups", FEW_GROUPS)
    if found >= FEW_GROUPS:
        return []
    return [
        f"The test rows belong to {found} groups, which intervals and tests are over: of so few they are rough, and "
        "under five groups there are none."
    ]


def _shown(task: Task, examples: Examples) -> dict[str, Callable[[np.ndarray], Sequence]]:
    """What `results.write` shows of rows."""
    name, look = task.rows.shown
    return {name: lambda rows: look(examples.take(rows))}


def _data_name(task: Task) -> str:
    """What the run's data are called: the table that lists them, or the data set, file or folder."""
    data = getattr(task.config, "labels", None) or task.config.data
    return Path(data if isinstance(data, str) else data[0]).resolve().name


def _baseline_note(task: Task, splits: Splits) -> list[str]:
    most, all_rows = task.most_baseline_rows, len(splits.train)
    return [f"The linear baselines were fitted on {most:,} of {all_rows:,} training rows."] if most < all_rows else []


def score(task: Task, run_dir: Path, examples: Examples, best_baseline: str, used: Sequence[str]) -> Scores:
    """What `servable/` says of every raw input, on all of these devices, and what the run's baselines say."""
    from kerasuite.data import duplicates
    from kerasuite.evaluation import baselines
    from kerasuite.evaluation.classification import Scores
    from kerasuite.serving.predictor import Predictor

    fitted = baselines.load(run_dir / run_directory.BASELINES)
    with np.load(run_dir / run_directory.SEEN, allow_pickle=False) as trained_on:
        seen = duplicates.seen(trained_on, examples, near=task.near)
    predictor = Predictor(run_dir / run_directory.SERVABLE, devices=used)
    return Scores(
        labels=examples.labels,
        probabilities=predictor.probabilities(task.rows.raw(examples), task.rows.batch_size),
        baselines=baselines.probabilities(fitted, task.features(examples)),
        best_baseline=best_baseline,
        ids=examples.ids,
        class_names=examples.class_names,
        groups=examples.groups,
        seen=np.union1d(seen.exact, seen.near),
        near_seen=seen.near if task.near else None,
    )


def evaluate(task: Task, run_dir: Path, data: Sequence[str], folder: Path) -> dict[str, Any]:
    """The report of a finished run on other labelled data."""
    from kerasuite.data import splits
    from kerasuite.evaluation import results
    from kerasuite.models import saved
    from kerasuite.serving.predictor import Predictor

    began = time.monotonic()
    trained = whole_files.read_json(run_dir / run_directory.METRICS)
    class_names = Predictor(run_dir / run_directory.SERVABLE).class_names
    examples, skipped, notes = task.rows.read(data, class_names)
    if skipped:
        write_skipped(folder, skipped)
    scores = score(task, run_dir, examples, trained["best_baseline"], devices.local())
    warnings = [*skipped_warning(skipped), *splits.absent_classes("these data", examples), *_few_groups(examples)]
    if len(scores.seen):
        how = "exactly or nearly " if task.near else ""
        what = (
            f"{len(scores.seen):,} of these {len(examples):,} {task.rows.plural} are {how}among those that the model "
            "was trained on"
        )
        warnings.append(named(what, [examples.ids[row] for row in scores.seen]))
    say(notes, warnings)
    return results.write(
        folder,
        scores,
        title=f"{task.model_name} trained on {_data_name(task)}, evaluated on {Path(data[0]).resolve().name}",
        summary=" ".join(notes),
        facts={
            "pipeline": task.pipeline,
            "examples": {"test": len(examples), "skipped": len(skipped)} | _group_count(examples),
            "seconds": {"total": time.monotonic() - began},
        },
        warnings=warnings,
        **_shown(task, examples),
        settings=asdict(task.config),
        serving_input=task.rows.serving_input,
        command=shlex.join(["kerasuite", "evaluate", str(run_dir), "--data", *data]),
        run_dir=run_dir,
        extra=task.sections(saved.load(run_dir / run_directory.MODEL), scores, examples, None),
    )


# What `predict` holds against exact arithmetic, where it is asked for faster.
COMPARED = 32
Chunks = Iterable[tuple[list[tuple[str, "Raw"]], list[Skipped]]]


def predict(asked: Asked, chunks: Chunks, batch_size: int = Rows.batch_size) -> Answers:
    """A row each input: id, prediction, its probability where it is one class, p(class) for each class.

    Args:
        chunks: names and raw inputs, in order, and those that cannot be read, some at a time.
        batch_size: how many of them the model is asked about at a time.
    """
    devices.import_tensorflow()
    from kerasuite.serving.predictor import Predictor

    predictor = Predictor(asked.run_dir / run_directory.SERVABLE, asked.precision, devices.local())

    def of_said(p: np.ndarray) -> list[float]:
        return [] if predictor.is_multi_label else [p.max()]

    def parts() -> Iterator[Answered]:
        is_first = asked.precision != "float32"
        for some, bad in chunks:
            if is_first and some:
                _say_difference(predictor, asked.precision, [raw for _, raw in some[:COMPARED]], batch_size)
                is_first = False
            found = zip(some, predictor.probabilities((raw for _, raw in some), batch_size))
            rows = [[name, predictor.said(p), *(f"{each:.6f}" for each in (*of_said(p), *p))] for (name, _), p in found]
            yield Answered(rows, len(some), bad)

    columns = ["id", "prediction", *([] if predictor.is_multi_label else ["probability"])]
    return Answers([*columns, *(f"p({name})" for name in predictor.class_names)], parts())


def _say_difference(predictor: Predictor, precision: str, first: list[bytes], batch_size: int) -> None:
    difference = predictor.difference(first, batch_size)
    print(
        f"Probabilities in {precision} lie at most {difference:.4f} from those in float32 on the "
        f"first {len(first)} inputs.",
        file=sys.stderr,
    )
