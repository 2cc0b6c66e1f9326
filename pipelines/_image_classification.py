"""What follows training in every pipeline that tells images apart: scoring, the report, and other data later."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasuite import config, devices, progress, run_directory
from kerasuite.contracts import Examples, Skipped, Splits, named, skipped_warning

if TYPE_CHECKING:
    from kerasuite.data.images import ImagePreparation
    from kerasuite.evaluation.classification import Scores
    from kerasuite.evaluation.report import Section
    from kerasuite.training.fit import Fitted

SERVING_INPUT = 'images=tf.constant([open("photo.jpg", "rb").read()])'


@dataclass(frozen=True)
class Task:
    """What one pipeline's run has of its own.

    Args:
        pipeline: its name.
        config: the run's settings.
        model_name: in the report's title.
        prepare: what brings every image to the model's size.
        features: from examples to what each linear baseline knows of them, by the baseline's name.
        near: whether copies are looked for that are only nearly the same.
        most_baseline_rows: the linear baselines are fitted on so many training rows at most: memory has a bound.
        choose_penalty: whether the linear baselines' penalty is chosen on validation.
        sections: further sections of the report, from the fitted model, the scores and the splits.
    """

    pipeline: str
    config: config.Settings
    model_name: str
    prepare: ImagePreparation
    features: Callable[[Examples], Mapping[str, np.ndarray]]
    near: bool = False
    choose_penalty: bool = False
    most_baseline_rows: int = 100_000
    sections: Callable[[Any, Scores, Splits], Sequence[Section]] = lambda model, scores, splits: ()


def run(
    config: config.Settings,
    run_dir: Path,
    load: Callable[..., Splits],
    train: Callable[..., Fitted],
    finish: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """Load, train, finish."""
    began = time.monotonic()
    devices.strategy(config.devices)  # logical devices have to be set up before anything else touches TensorFlow
    splits = load(config)
    _say(splits.notes, splits.warnings)
    run_directory.require_same(run_dir, "data", splits.fingerprint())
    loaded = time.monotonic()
    with _files_unchanged(splits):
        fitted = train(config, splits.train, splits.validation, run_dir)
        seconds = {"load": loaded - began, "train": fitted.earlier_seconds + time.monotonic() - loaded}
        return finish(config, fitted, splits, run_dir, seconds)


@contextlib.contextmanager
def _files_unchanged(splits: Splits) -> Iterator[None]:
    """Name the file, where something fails because one was changed or taken away meanwhile."""
    import tensorflow as tf

    from kerasuite.data.features import PhotoFiles

    try:
        yield
    except (tf.errors.OpError, OSError):
        for part in (splits.train, splits.validation, splits.test):
            PhotoFiles().refuse_changed(part)
        raise


def finish(
    task: Task, fitted: Fitted, splits: Splits, run_dir: Path, seconds: Mapping[str, float] | None
) -> dict[str, Any]:
    """Export, score the export on the whole test set from raw input, and write the report; metrics.json comes last."""
    from kerasuite.data import batches, duplicates, pixels
    from kerasuite.evaluation import predict, results
    from kerasuite.serving import export
    from kerasuite.training.checkpoint import discard

    began = time.monotonic()
    test, prepare = splits.test, task.prepare
    with run_directory.writing(run_dir / run_directory.MODEL) as path:
        fitted.model.save(path)
    names = splits.train.class_names
    export.export(run_dir / run_directory.SERVABLE, fitted.model, prepare, names, input_name="images")
    with run_directory.writing(run_dir / run_directory.SEEN) as path:
        np.savez(path, **duplicates.remembered(splits.train, splits.validation))
    scores = score(task, run_dir, test, fit_baselines(task, splits, run_dir))
    in_python = predict.probabilities(fitted.model, batches.inference(test, prepare, 256))
    servable = export.compare(scores.probabilities, in_python, test.ids)
    sections = task.sections(fitted.model, scores, splits)
    seconds = dict(seconds or {}) | {"evaluate": time.monotonic() - began}
    metrics = results.write(
        run_dir,
        scores,
        title=f"{task.model_name} on {_data_name(task)}",
        summary=" ".join([*splits.notes, *_baseline_note(task, splits)]),
        facts={
            "pipeline": task.pipeline,
            "examples": splits.counts,
            "servable": servable,
            "seconds": seconds | {"total": sum(seconds.values())},
        },
        warnings=splits.warnings,
        thumbnails=lambda rows: pixels.thumbnails(test.take(rows), prepare),
        history=fitted.history,
        settings=asdict(task.config),
        serving_input=SERVING_INPUT,
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
    with run_directory.writing(run_dir / run_directory.BASELINES) as path:
        baselines.save(path, fitted)
    return baselines.best(fitted, *known)


def _data_name(task: Task) -> str:
    """What the run's data are called: the table that lists them, or the data set, file or folder."""
    return Path(getattr(task.config, "labels", None) or task.config.data).resolve().name


def _baseline_note(task: Task, splits: Splits) -> list[str]:
    most, all_rows = task.most_baseline_rows, len(splits.train)
    return [f"The linear baselines were fitted on {most:,} of {all_rows:,} training rows."] if most < all_rows else []


def score(task: Task, run_dir: Path, examples: Examples, best_baseline: str) -> Scores:
    """What `servable/` says of the raw bytes of every image, and what the run's baselines say."""
    from kerasuite.data import duplicates, pixels
    from kerasuite.evaluation import baselines
    from kerasuite.evaluation.classification import Scores
    from kerasuite.serving.predictor import Predictor

    fitted = baselines.load(run_dir / run_directory.BASELINES)
    with np.load(run_dir / run_directory.SEEN, allow_pickle=False) as trained_on:
        seen = duplicates.seen(trained_on, examples, near=task.near)
    return Scores(
        labels=examples.labels,
        probabilities=Predictor(run_dir / run_directory.SERVABLE).probabilities(pixels.raw(examples)),
        baselines=baselines.probabilities(fitted, task.features(examples)),
        best_baseline=best_baseline,
        ids=examples.ids,
        class_names=examples.class_names,
        groups=examples.groups,
        seen=np.union1d(seen.exact, seen.near),
        near_seen=seen.near,
    )


def evaluate(task: Task, run_dir: Path, data: str, folder: Path) -> dict[str, Any]:
    """The report of a finished run on other labelled data."""
    from kerasuite.data import pixels, sources
    from kerasuite.evaluation import results
    from kerasuite.serving.predictor import Predictor

    began = time.monotonic()
    trained = run_directory.read_json(run_dir / run_directory.METRICS)
    class_names = Predictor(run_dir / run_directory.SERVABLE).class_names
    listed = {"data": None, "labels": data} if data.endswith((".csv", ".tsv")) else {"data": data}
    with progress.bar("Checking images") as shown:
        examples, skipped, notes = sources.labelled_images(class_names=class_names, progress=shown, **listed)
    scores = score(task, run_dir, examples, trained["best_baseline"])
    warnings = skipped_warning(skipped)
    if len(scores.seen):
        how = "exactly or nearly " if task.near else ""
        what = (
            f"{len(scores.seen):,} of these {len(examples):,} images are {how}among those that the model was trained on"
        )
        warnings.append(named(what, [examples.ids[row] for row in scores.seen]))
    _say(notes, warnings)
    return results.write(
        folder,
        scores,
        title=f"{task.model_name} trained on {_data_name(task)}, evaluated on {Path(data).resolve().name}",
        summary=" ".join(notes),
        facts={
            "pipeline": task.pipeline,
            "examples": {"test": len(examples), "skipped": len(skipped)},
            "seconds": {"total": time.monotonic() - began},
        },
        warnings=warnings,
        thumbnails=lambda rows: pixels.thumbnails(examples.take(rows), task.prepare),
        settings=asdict(task.config),
        serving_input=SERVING_INPUT,
        command=shlex.join(["kerasuite", "evaluate", str(run_dir), "--data", data]),
        run_dir=run_dir,
    )


def _say(notes: Sequence[str], warnings: Sequence[str]) -> None:
    for sentence in (*notes, *(f"Warning: {sentence}" for sentence in warnings)):
        print(sentence, file=sys.stderr)


def find_inputs(arguments: Sequence[str]) -> list[str]:
    """The files that the arguments name: files as they are, and the image files below folders."""
    from kerasuite.data import folders

    return folders.find(arguments)


def read_inputs(paths: Sequence[str]) -> tuple[dict[str, bytes], list[Skipped]]:
    """The bytes of the files that can be used, by path, and the others with the reason."""
    from kerasuite.data import files

    return files.read(paths)
