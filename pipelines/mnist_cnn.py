"""Images to a convolutional classifier: MNIST and its like, or image folders of your own.

kerasuite run mnist_cnn --data mnist.npz --model residual_cnn --learning-rate 8e-3

MNIST, two cores of an AMD EPYC, 2026-11-22: 0.9954 test accuracy (median of five seeds) in 150 s of training. The cnn
with --epochs 3 --learning-rate 8e-3 --no-augment: 0.9909 in 15 s. `make bench DATA=mnist.npz` measures both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kerasuite import config, devices, progress, run_directory, whole_files
from kerasuite.contracts import Examples, Plan, Splits
from kerasuite.errors import InputError
from kerasuite.pipelines import _classification, _images, _running
from kerasuite.pipelines._classification import Task
from kerasuite.pipelines._images import predict
from kerasuite.ranges import Count, NonNegative, Positive, Share

__all__ = ["SAMPLE", "Config", "evaluate", "finish", "load", "predict", "run", "space", "train"]

if TYPE_CHECKING:
    import keras
    import keras_tuner

    from kerasuite.data.augmentation import Augmentation
    from kerasuite.data.images import ImagePreparation
    from kerasuite.training.fit import Fitted

# Settings for seconds, on the digits that come with scikit-learn.
SAMPLE = {"data": "digits", "epochs": 30, "batch_size": 64, "learning_rate": 4e-3, "patience": 30}


@dataclass(frozen=True, kw_only=True)
class Config(config.Settings):
    """Settings of mnist_cnn."""

    data: str = "mnist"
    """mnist, fashion_mnist, cifar10 (downloaded once), digits (bundled), an .npz, a folder of IDX files, or a folder
    of class folders of image files, with or without train, validation and test above them."""
    image_size: tuple[Count, Count] | None = None
    """Height and width in pixels; chosen from the data, and said, if not given."""
    model: Literal["mlp", "cnn", "residual_cnn"] = "cnn"
    """mlp (the classic 784-128-10), cnn (the classic two blocks), residual_cnn (the most accurate)."""
    hidden: tuple[Count, ...] = (128,)
    """Units of each hidden layer of the mlp."""
    dropout: Share | None = None
    """Share of features dropped in training; the model's own default if not given."""
    l2: NonNegative = 0.0
    """Penalty on the squared kernel weights."""
    batch_norm: bool = False
    """Batch normalisation in the cnn; the residual_cnn always has it, the mlp never."""
    label_smoothing: Share = 0.0
    """Share of the target spread over all classes."""
    epochs: Count = 8
    """Passes over the training rows at most."""
    optimizer: Literal["sgd", "momentum", "adam", "adamw"] = "adam"
    """How the gradient is used."""
    learning_rate: Positive = 4e-3
    """Peak of the schedule."""
    schedule: Literal["constant", "cosine", "one_cycle"] = "one_cycle"
    """Course of the learning rate over the run."""
    weight_decay: NonNegative = 1e-2
    """Decoupled weight decay of adamw and momentum, times the rate."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced makes every class count alike in the loss."""
    augment: bool = True
    """Change the training images at random, as suits the named data set; the next five change how."""
    rotation: NonNegative | None = None
    """Largest turn either way, degrees."""
    scale: NonNegative | None = None
    """Largest change of size, as a share."""
    shift: Share | None = None
    """Largest shift along each side, as a share of it."""
    flip: bool | None = None
    """Mirror half of the images left to right."""
    erase: Share | None = None
    """Side of an erased square, as a share of the image's."""

    loss_by = frozenset({"label_smoothing"})

    def __post_init__(self):
        super().__post_init__()
        if self.batch_norm and self.model != "cnn":
            raise InputError(f"--batch-norm goes with --model cnn; this is {self.model}.")


def space(hp: keras_tuner.HyperParameters, config: Config) -> Config:
    """What a sweep searches, if nothing else is said."""
    return replace(
        config,
        learning_rate=hp.Float("learning_rate", 5e-4, 3e-2, sampling="log"),
        batch_size=hp.Choice("batch_size", [64, 128, 256]),
        dropout=hp.Float("dropout", 0.0, 0.6),
    )


def load(config: Config) -> Splits:
    """Read the data, name what cannot be used, and hold out what came unsplit."""
    from kerasuite.data import duplicates, images, sources, splits

    with progress.bar("Checking images") as shown:
        source = sources.image_splits(config.data, shown)
    whole = splits.complete(
        source, validation_fraction=config.validation_fraction, test_fraction=config.test_fraction, seed=config.seed
    )
    size = images.choose_size(whole.train, config.image_size)
    return replace(whole, notes=(*whole.notes, size.note), warnings=(*whole.warnings, *duplicates.warnings(whole)))


def preparation(config: Config, train: Examples) -> ImagePreparation:
    """What brings every image to the model's size."""
    from kerasuite.data import images

    size = images.choose_size(train, config.image_size)
    return images.ImagePreparation(size.image_size, size.channels)


def train(config: Config, train: Examples, validation: Examples, run_dir: Path) -> Fitted:
    """Fit the model; goes on from the run directory's checkpoint if there is one."""
    import keras

    from kerasuite.data import batches, cache
    from kerasuite.training import fit, losses, optimizers, precision

    _images.refuse_several_labels(train)
    strategy = devices.strategy(config.devices, config.all_reduce)
    devices.refuse_too_few(strategy, len(train), config.batch_size)
    run_directory.remember(run_dir, "machine", lambda: devices.describe(strategy))
    prepare = preparation(config, train)
    sizes = {"image_size": prepare.image_size, "channels": prepare.channels}
    run_directory.remember(run_dir, "preparation", lambda: sizes)
    train, validation = cache.encoded_once(train, prepare), cache.encoded_once(validation, prepare)
    plan = Plan(len(train), config.batch_size, config.seed)
    build = partial(builder(config), prepare.image_size, prepare.channels, len(train.class_names))
    loss = losses.cross_entropy(config.label_smoothing)
    training = batches.starting_at(
        train,
        prepare,
        plan,
        augment=augmentation(config),
        class_weights=batches.class_weights(config.class_weights, train.labels, len(train.class_names)),
    )
    arithmetic = run_directory.remember(
        run_dir,
        "precision",
        lambda: precision.choose(config.precision, build, training, loss, strategy.num_replicas_in_sync),
    )

    def optimizer(model: keras.Model, num_updates: int) -> list[tuple[Any, Sequence[Any]]]:
        rate = optimizers.schedule(config.schedule, config.learning_rate, num_updates)
        made = optimizers.optimizer(config.optimizer, rate, weight_decay=config.weight_decay)
        return [(made, model.trainable_variables)]

    keras.utils.set_random_seed(config.seed)
    return fit.fit(
        build,
        training,
        batches.starting_at(validation, prepare, Plan(len(validation), config.batch_size, 0, shuffle=False), epochs=1),
        loss=loss,
        measures={"accuracy": losses.accuracy},
        optimizers=optimizer,
        epochs=config.epochs,
        steps_per_epoch=plan.steps_per_epoch,
        run_dir=run_dir,
        strategy=strategy,
        precision=arithmetic["used"],
        **config.loop,
    )


def builder(config: Config) -> Callable[..., keras.Model]:
    """The model's builder with the options that the settings give it."""
    from kerasuite.models import cnn, mlp, residual_cnn

    options: dict[str, Any] = {"l2": config.l2}
    if config.dropout is not None:
        options["dropout"] = config.dropout
    if config.model == "mlp":
        return partial(mlp.build, hidden=config.hidden, **options)
    if config.model == "cnn":
        return partial(cnn.build, batch_norm=config.batch_norm, **options)
    return partial(residual_cnn.build, **options)


def augmentation(config: Config) -> Augmentation | None:
    """The usual changes for the data, with those that the settings name in their place."""
    from kerasuite.data.augmentation import Augmentation

    if not config.augment:
        return None
    changes = {name: getattr(config, name) for name in ("rotation", "scale", "shift", "flip", "erase")}
    return Augmentation.usual(config.data, **changes)


def task(config: Config, prepare: ImagePreparation) -> Task:
    """What scoring and the report need to know of this pipeline."""
    from kerasuite.data import pixels

    features = lambda examples: {"logistic_regression": pixels.features(examples, prepare)}  # noqa: E731
    return Task("mnist_cnn", config, config.model, prepare, _images.rows(prepare), features)


def finish(
    config: Config, fitted: Fitted, splits: Splits, run_dir: Path, seconds: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Export, score the export on the whole test set from raw input, and write the report; metrics.json comes last."""
    return _classification.finish(task(config, preparation(config, splits.train)), fitted, splits, run_dir, seconds)


def run(config: Config, run_dir: Path) -> dict[str, Any]:
    """Load, train, finish."""
    return _running.run(config, run_dir, load, train, finish)


def evaluate(config: Config, run_dir: Path, data: Sequence[str], folder: Path) -> dict[str, Any]:
    """The report of a finished run on other labelled data."""
    from kerasuite.data import images

    made = whole_files.read_json(run_dir / run_directory.ENVIRONMENT)["preparation"]
    prepare = images.ImagePreparation(tuple(made["image_size"]), made["channels"])
    return _classification.evaluate(task(config, prepare), run_dir, data, folder)


if __name__ == "__main__":
    from kerasuite.commands.run import script

    script(__file__)
