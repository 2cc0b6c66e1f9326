"""Photos to a fine-tuned classifier, by way of a pretrained backbone that looks at each photo once.

kerasuite run resnet_transfer --data my_photos --backbone efficientnet_lite0

TrashNet (2,527 photos), two cores of an AMD EPYC, 2026-11-23: 0.920 test accuracy (mean of three splits: 0.921, 0.939,
0.900) in 490 s from files to report, where a logistic regression on the frozen features has 0.884.
`make bench-photos DATA=trashnet` measures both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from kerasuite import config, devices, progress, run_directory
from kerasuite.contracts import Examples, Splits
from kerasuite.errors import InputError
from kerasuite.pipelines import _classification, _fine_tuning, _images, _running, _stage_rows
from kerasuite.pipelines._classification import Task
from kerasuite.pipelines._images import predict
from kerasuite.pipelines._stage_rows import preparation
from kerasuite.ranges import Count, NonNegative, Positive, PositiveShare, Share, at_least

if TYPE_CHECKING:
    import keras
    import keras_tuner

    from kerasuite.evaluation.classification import Scores
    from kerasuite.evaluation.report import Section
    from kerasuite.models.backbones import Backbone
    from kerasuite.training.fit import Fitted

__all__ = [
    "SAMPLE",
    "Config",
    "backbone",
    "evaluate",
    "finish",
    "load",
    "predict",
    "preparation",
    "run",
    "space",
    "train",
]

# Settings for seconds, on the photos that come with the package.
SAMPLE = {
    "data": "trashnet_sample",
    "backbone": "resnet14",
    "image_size": (96, 96),
    "views": 2,
    "head_epochs": 12,
    "epochs": 8,
    "learning_rate": 1e-2,
    # Which is faster takes longer to measure than the training itself.
    "precision": "float32",
}

# For colours, a photo need not be large.
COLOURS_SIZE = (64, 64)
MOST_BASELINE_ROWS = 10_000


@dataclass(frozen=True, kw_only=True)
class Config(config.Settings):
    """Settings of resnet_transfer."""

    data: str = "flowers"
    """flowers (downloaded once), trashnet_sample (bundled), or a folder with one folder of photos for each class, with
    or without train, validation and test above them."""
    labels: str | None = None
    """csv of path, label and perhaps group and split, for photos that are not in class folders."""
    image_size: tuple[Count, Count] | None = None
    """Height and width in pixels; the backbone's own if not given."""
    backbone: str = "resnet50"
    """A classifier of keras.applications by name, efficientnet_lite0, resnet14 (bundled), a .keras file, or a
    TensorFlow Hub handle or SavedModel folder."""
    weights: str | None = None
    """A local file of the backbone's weights, instead of a download."""
    feature_layer: str | None = None
    """Of a .keras file: the layer whose output is the features."""
    preprocessing: Literal["none", "unit", "signed", "lite", "imagenet"] | None = None
    """What a .keras file or SavedModel expects of pixels 0-255: as they are, /255, /127.5 - 1, (x - 127) / 128, or
    /255 less ImageNet's mean and over its deviation. If not given: none for a .keras file, unit for a SavedModel."""
    train_from_scratch: bool = False
    """Start from random weights and train everything at the head's rate, to see what the pretraining buys."""
    unfreeze: str = "last_stage"
    """What is trained after the head: none, last_stage (all at the last resolution), all, or all behind a layer."""
    views: Count | None = None
    """Changed versions of each photo that pass the frozen part once each; 8 for what is fine-tuned, else 1."""
    augment: bool = True
    """Change the training photos at random; the next six say how."""
    crop: PositiveShare = 0.35
    """Smallest share of a photo's area that a random crop keeps."""
    flip: bool = True
    """Mirror half of the photos left to right."""
    rand_augment: Annotated[int, at_least(0)] = 0
    """Changes of RandAugment for each photo."""
    magnitude: NonNegative = 9.0
    """Strength of RandAugment's changes, of 30."""
    mixup: NonNegative = 0.0
    """Mix pairs of rows in shares from Beta(mixup, mixup); 0 mixes none."""
    cutmix: NonNegative = 0.0
    """Paste a part of one row into another, its area from Beta(cutmix, cutmix); 0 pastes none. The head's own stage,
    which is trained on vectors, goes without."""
    dropout: Share = 0.2
    """Share of the features dropped before the head."""
    label_smoothing: Share = 0.1
    """Share of the target spread over all classes."""
    head_epochs: Count = 20
    """Passes over the training rows at most while only the head is trained, if more is trained after it."""
    epochs: Count = 20
    """Passes over the training rows at most of the last stage of training."""
    batch_size: Count = 64
    """Rows a step, over all devices together."""
    learning_rate: Positive = 3e-3
    """Peak rate of the head."""
    backbone_rate: Positive = 0.1
    """Rate of the last unfrozen stage as a share of the head's; of the stages before it, as a share of that."""
    weight_decay: NonNegative = 0.02
    """Decoupled weight decay, times the rate."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced makes every class count alike in the loss."""
    cache: str | None = None
    """Folder for features; KERASUITE_CACHE or the user's folder for caches if not given."""
    cache_gb: NonNegative = 8.0
    """Most that the features may take on disk, GB; 0 runs the frozen part again in each epoch."""

    shared = config.Settings.shared | {"labels", "cache", "cache_gb"}
    loss_by = frozenset({"label_smoothing"})

    @property
    def total_epochs(self) -> int:
        """The head's stage, and the last one."""
        is_one = self.train_from_scratch or self.unfreeze == "none"
        return self.epochs if is_one else self.head_epochs + self.epochs

    def __post_init__(self):
        super().__post_init__()
        if self.cutmix and self.unfreeze == "none" and self.cache_gb and not self.train_from_scratch:
            raise InputError(
                "--cutmix needs photos or maps, not vectors: pass --unfreeze last_stage or --cache-gb 0 too."
            )


def space(hp: keras_tuner.HyperParameters, config: Config) -> Config:
    """What a sweep searches, if nothing else is said."""
    searched = {
        "learning_rate": hp.Float("learning_rate", 3e-4, 1e-2, sampling="log"),
        "weight_decay": hp.Float("weight_decay", 1e-3, 0.1, sampling="log"),
        "dropout": hp.Float("dropout", 0.0, 0.6),
        "label_smoothing": hp.Float("label_smoothing", 0.0, 0.2),
    }
    if config.unfreeze != "none" and not config.train_from_scratch:
        searched["backbone_rate"] = hp.Float("backbone_rate", 0.01, 1.0, sampling="log")
    return replace(config, **searched)


def load(config: Config) -> Splits:
    """Read the photos, name what cannot be used, and hold out what came unsplit."""
    from kerasuite.data import duplicates, sources, splits

    with progress.bar("Checking photos") as shown:
        source = sources.image_splits(config.data, shown, labels=config.labels)
    whole = splits.complete(
        source, validation_fraction=config.validation_fraction, test_fraction=config.test_fraction, seed=config.seed
    )
    return replace(whole, warnings=(*whole.warnings, *duplicates.warnings(whole, near=True)))


def backbone(config: Config) -> Backbone:
    """The pretrained network, ending in a vector."""
    from kerasuite.models import backbones, transfer

    loaded = backbones.load(
        config.backbone,
        config.image_size,
        weights=config.weights,
        feature_layer=config.feature_layer,
        preprocessing=config.preprocessing,
        pretrained=not config.train_from_scratch,
    )
    return replace(loaded, model=transfer.pooled(loaded.model))


def train(config: Config, train: Examples, validation: Examples, run_dir: Path) -> Fitted:
    """Train the head, then what is unfrozen; goes on from the run directory's checkpoints if there are any."""
    import keras

    _images.refuse_several_labels(train)
    strategy = devices.strategy(config.devices, config.all_reduce)
    devices.refuse_too_few(strategy, len(train), config.batch_size)
    run_directory.remember(run_dir, "machine", lambda: devices.describe(strategy))
    keras.utils.set_random_seed(config.seed)
    base = backbone(config)
    run_directory.require_same(run_dir, "backbone", base.weights_digest)
    height, width = base.model.input_shape[1:3]
    seen = {
        "image size": f"{height}x{width}",
        "feature layer": base.feature_layer,
        "features": base.model.output_shape[-1],
    }
    run_directory.remember(run_dir, "network", lambda: seen)
    if Path(config.backbone).suffix == ".keras":
        print(
            f"{config.backbone}: features are those of the layer {base.feature_layer} (--feature-layer), and pixels "
            f"are prepared by --preprocessing {config.preprocessing or 'none'}."
        )
    return _fine_tuning.FineTuning(config, base, train, validation, run_dir).fit(strategy)


def task(config: Config, run_dir: Path) -> Task:
    """What scoring and the report need to know of this pipeline."""
    base = backbone(config)
    prepare = preparation(base)
    return Task(
        "resnet_transfer",
        config,
        # The last part of a module's address is its version.
        config.backbone if "://" in config.backbone else Path(config.backbone).name,
        prepare,
        _images.rows(prepare, config.data if config.labels else None),
        features=partial(baseline_features, config, base, run_dir),
        near=True,
        choose_penalty=True,
        most_baseline_rows=MOST_BASELINE_ROWS,
        sections=partial(sections, config, base, run_dir),
    )


def baseline_features(config: Config, base: Backbone, run_dir: Path, examples: Examples) -> dict[str, np.ndarray]:
    """What the linear baselines know of each photo: its colours, and the backbone's features before any training."""
    from kerasuite.data import images, pixels

    small = images.ImagePreparation(COLOURS_SIZE, 3)
    found = {"logistic_regression_on_colours": pixels.colour_histograms(examples, small)}
    if not config.train_from_scratch:
        run_directory.require_same(run_dir, "backbone", base.weights_digest)
        network = _stage_rows.frozen_network(config, base, base.model, "head", run_dir)
        known = _stage_rows.features_in_memory(config, examples, preparation(base), network, run_dir)
        found["logistic_regression_on_features"] = known
    return found


def finish(
    config: Config, fitted: Fitted, splits: Splits, run_dir: Path, seconds: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Export, score the export on the whole test set from raw photos, and write the report; metrics.json comes last."""
    return _classification.finish(task(config, run_dir), fitted, splits, run_dir, seconds)


def sections(
    config: Config,
    base: Backbone,
    run_dir: Path,
    model: keras.Model,
    scores: Scores,
    examples: Examples,
    train: Examples | None,
) -> list[Section]:
    """The report's sections on where the model looked, and on how the training photos were changed."""
    from kerasuite.data import pixels
    from kerasuite.evaluation import explain

    prepare = preparation(base)
    looked_at = explain.section(model, scores, lambda rows: pixels.thumbnails(examples.take(rows), prepare))
    changed = _stage_rows.changed_photos(config, base, run_dir, train) if train is not None else None
    return [looked_at, changed] if changed else [looked_at]


def run(config: Config, run_dir: Path) -> dict[str, Any]:
    """Load, train, finish."""
    devices.strategy(config.devices, config.all_reduce)  # before anything else touches TensorFlow
    _fine_tuning.stages(config, backbone(config))  # what cannot be had or unfrozen is told before photos are looked at
    return _running.run(config, run_dir, load, train, finish)


def evaluate(config: Config, run_dir: Path, data: Sequence[str], folder: Path) -> dict[str, Any]:
    """The report of a finished run on other labelled photos."""
    return _classification.evaluate(task(config, run_dir), run_dir, data, folder)


if __name__ == "__main__":
    from kerasuite.commands.run import script

    script(__file__)
