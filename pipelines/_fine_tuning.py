"""Training in stages: a new head on a frozen backbone, then what is unfrozen, each on cached features of the rest."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerasuite import __version__, config, frozen, progress, run_directory
from kerasuite.contracts import Examples, Plan
from kerasuite.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from kerasuite.data.features import Network
    from kerasuite.data.images import ImagePreparation
    from kerasuite.data.photo_augmentation import PhotoAugmentation
    from kerasuite.data.row_store import Column
    from kerasuite.models.backbones import Backbone
    from kerasuite.training.fit import Fitted

# Photos are decoded this much larger than the backbone takes them, so that a crop has pixels to choose from.
ROOM_TO_CROP = 8 / 7
VIEWS = 8
SAMPLED_ROWS = 2048


class Stage(NamedTuple):
    """A part of the training: photos go through `frozen`, then through `tuned`, then through the head.

    `views` is how many changed versions of each photo pass the frozen part.
    """

    name: str
    frozen: keras.Model | None
    tuned: keras.Model | None
    views: int
    epochs: int


class Rows(NamedTuple):
    """What a stage is trained and validated on: features from the cache, or the photos themselves."""

    train: Examples
    validation: Examples
    prepare: Any
    prepare_validation: Any
    views: int
    augment: Any
    are_features: bool


def preparation(base: Backbone, scale: float = 1.0) -> ImagePreparation:
    """What brings every photo to the backbone's size, or to a larger one."""
    from kerasuite.data import images

    height, width = base.model.input_shape[1:3]
    return images.ImagePreparation((round(scale * height), round(scale * width)), 3)


def photo_changes(config: config.Settings, base: Backbone) -> PhotoAugmentation | None:
    """The changes of training photos that the settings ask for."""
    from kerasuite.data.photo_augmentation import PhotoAugmentation

    if not config.augment:
        return None
    changes = {name: getattr(config, name) for name in ("crop", "flip", "rand_augment", "magnitude")}
    return PhotoAugmentation(preparation(base).image_size, **changes)


def frozen_network(config: config.Settings, base: Backbone, part: keras.Model, name: str, run_dir: Path) -> Network:
    """A frozen part of the backbone as one function, in the arithmetic that is fastest here."""
    import tensorflow as tf

    from kerasuite.data.features import Network

    arithmetic = run_directory.remember(
        run_dir,
        f"precision before {name}",
        lambda: frozen.choose(config.precision, part, tf.zeros((32, *part.input_shape[1:]))),
    )
    size = "x".join(map(str, preparation(base).image_size))
    key = f"{__version__} {tf.__version__} {base.weights_digest} {name} {size} {arithmetic['used']}"
    return Network(frozen.forward(part, arithmetic["used"]), part.output_shape[1:], key)


def cached_features(
    config: config.Settings, examples: Examples, prepare: ImagePreparation, network: Network, **looks: Any
) -> Column | None:
    """What the network says of every photo, from the cache; None where the cache is off or too small."""
    from kerasuite.data.features import FeatureCache, default_folder

    if not config.cache_gb:
        return None
    folder = Path(config.cache).expanduser() if config.cache else default_folder()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--cache {folder} is a file; expected a folder, which is made if it is not there.")
    store = FeatureCache(folder, int(config.cache_gb * 2**30))
    with progress.bar("Passing photos through what is frozen") as shown:
        return store.features(examples, prepare, network, progress=shown, **looks)


def features_in_memory(
    config: config.Settings, examples: Examples, prepare: ImagePreparation, network: Network
) -> np.ndarray:
    """What the network says of every photo: float32 (n, features), from the cache if there is one."""
    from kerasuite.data import features

    column = cached_features(config, examples, prepare, network)
    return features.worked_out(examples, prepare, network) if column is None else np.asarray(column)


@dataclass(frozen=True)
class FineTuning:
    """One run's training: the settings, the pretrained backbone, and the rows."""

    config: config.Settings
    base: Backbone
    train: Examples
    validation: Examples
    run_dir: Path

    def stages(self) -> list[Stage]:
        """What is trained, in order."""
        from kerasuite.models import backbones

        config, whole = self.config, self.base.model
        if config.train_from_scratch:
            return [Stage("all", None, whole, 1, config.epochs)]
        if config.unfreeze == "none":
            return [Stage("head", whole, None, config.views or 1, config.epochs)]
        head = Stage("head", whole, None, 1, config.head_epochs)
        if config.unfreeze == "all":
            return [head, Stage("all", None, whole, 1, config.epochs)]
        layer = backbones.last_stage_cut(whole) if config.unfreeze == "last_stage" else config.unfreeze
        return [head, Stage(f"behind {layer}", *backbones.split(whole, layer), config.views or VIEWS, config.epochs)]

    def fit(self, strategy: tf.distribute.Strategy) -> Fitted:
        """Train stage by stage. A stage that does not lower the validation loss leaves the weights as they were."""
        from kerasuite.models import transfer
        from kerasuite.training import budget

        # What cannot be unfrozen is refused before a photo is looked at.
        stages = self.stages()
        if self.config.views and not (photo_changes(self.config, self.base) and any(s.views > 1 for s in stages)):
            print(
                f"--views {self.config.views} is not used: views are of photos that are changed, before a frozen part."
            )
        num_features, num_classes = self.base.model.output_shape[-1], len(self.train.class_names)
        head, fitted, lowest = transfer.head(num_features, num_classes, dropout=self.config.dropout), None, np.inf
        began = time.monotonic()
        if not self.config.train_from_scratch:
            transfer.standardise(head, self.some_features())
        for stage in stages:
            earlier, rows = len(fitted.history) if fitted else 0, self.rows(stage)
            minutes = self.minutes_left(stage, began, fitted, is_last=stage is stages[-1])
            try:
                fitted = self.fit_stage(stage, rows, head, strategy, fitted, minutes)
            except budget.NoTime as none:
                if fitted is None:
                    raise
                print(f"{none} The weights before it are kept.")
                break
            reached = min(row["val_loss"] for row in fitted.history[earlier:])
            if reached >= lowest:
                print(f"Training {stage.name} did not lower the validation loss: the weights before it are kept.")
                continue
            lowest = reached
            *parts, fitted_head = fitted.model.layers[1:]
            head.set_weights(fitted_head.get_weights())
            if stage.tuned is not None:
                # It has the layers of the whole backbone.
                stage.tuned.set_weights(parts[-1].get_weights())
        whole = transfer.copied(self.base.model, frozen_statistics=False)
        return replace(fitted, model=transfer.joined([whole], head))

    def some_features(self) -> np.ndarray:
        """The backbone's features, before any training, of so many photos as tell their scale."""
        rows = np.random.default_rng(self.config.seed).permutation(len(self.train))[:SAMPLED_ROWS]
        network = frozen_network(self.config, self.base, self.base.model, "head", self.run_dir)
        return features_in_memory(self.config, self.train.take(np.sort(rows)), preparation(self.base), network)

    def minutes_left(self, stage: Stage, began: float, before: Fitted | None, *, is_last: bool) -> float | None:
        """Minutes for a stage, of those that the settings give: all that are left, or half where others follow."""
        if self.config.minutes is None:
            return None
        spent = run_directory.remember(
            self.run_dir,
            f"seconds before {stage.name}",
            lambda: (before.earlier_seconds if before else 0.0) + time.monotonic() - began,
        )
        left = self.config.minutes - spent / 60
        return left if is_last else left / 2

    def fit_stage(
        self,
        stage: Stage,
        rows: Rows,
        head: keras.Model,
        strategy: tf.distribute.Strategy,
        before: Fitted | None,
        minutes: float | None,
    ) -> Fitted:
        """Fit a stage's tuned part and the head, on cached features where there is a frozen part before them."""
        import keras

        from kerasuite.data import batches
        from kerasuite.models import transfer
        from kerasuite.training import fit, losses, precision

        config = self.config

        def build() -> keras.Model:
            parts = (
                [] if rows.are_features or stage.frozen is None else [transfer.copied(stage.frozen, trainable=False)]
            )
            if stage.tuned is not None:
                parts.append(transfer.copied(stage.tuned, frozen_statistics=not config.train_from_scratch))
            return transfer.joined(parts, transfer.copied(head, in_policy=False))

        plan = Plan(len(self.train), config.batch_size, config.seed, views=rows.views)
        weights = batches.class_weights(config.class_weights, self.train.labels, len(self.train.class_names))
        training = batches.starting_at(rows.train, rows.prepare, plan, augment=rows.augment, class_weights=weights)
        held_out = Plan(len(self.validation), config.batch_size, 0, shuffle=False)
        loss = losses.cross_entropy(config.label_smoothing)
        arithmetic = run_directory.remember(
            self.run_dir,
            f"precision of {stage.name}",
            lambda: precision.choose(config.precision, build, training, loss, strategy.num_replicas_in_sync),
        )
        # What was measured or drawn before, or not drawn after a resume, must not decide what is drawn from here on.
        keras.utils.set_random_seed(config.seed)
        return fit.fit(
            build,
            training,
            batches.starting_at(rows.validation, rows.prepare_validation, held_out, epochs=1),
            loss=loss,
            measures={"accuracy": losses.accuracy},
            optimizers=functools.partial(self.rate_groups, stage),
            epochs=stage.epochs,
            steps_per_epoch=plan.steps_per_epoch,
            run_dir=self.run_dir,
            strategy=strategy,
            precision=arithmetic["used"],
            **config.loop | {"minutes": minutes},
            stage=stage.name.replace(" ", "_"),
            before=before,
        )

    def rows(self, stage: Stage) -> Rows:
        """Features of the stage's frozen part, or photos where nothing is frozen or the features find no room."""
        from kerasuite.data import cache
        from kerasuite.data.augmentation import Mixing, together

        config, base = self.config, self.base
        exact, changes = preparation(base), photo_changes(config, base)
        large = preparation(base, ROOM_TO_CROP) if changes else exact
        # A vector has no places, so that nothing can be pasted into it.
        cutmix = config.cutmix if stage.tuned is not None or not config.cache_gb else 0.0
        mixing = Mixing(len(self.train.class_names), config.mixup, cutmix) if config.mixup or cutmix else None
        if stage.frozen is not None and config.cache_gb:
            found = self.feature_rows(stage, mixing)
            if found is not None:
                return found
            print(f"The features find no room (--cache-gb {config.cache_gb:g}, or the disk): "
                  "what is frozen runs again in each epoch.")  # fmt: skip
        parts = cache.encoded_once(self.train, large), cache.encoded_once(self.validation, exact)
        return Rows(*parts, large, exact, 1, together(changes, mixing), are_features=False)

    def feature_rows(self, stage: Stage, mixing: Any) -> Rows | None:
        """Features of the stage's frozen part, None where they find no room; a resumed run keeps to what was found."""
        from kerasuite.data.features import FeaturePreparation, examples_of

        config, base = self.config, self.base
        network = frozen_network(config, base, stage.frozen, stage.name, self.run_dir)
        exact, changes = preparation(base), photo_changes(config, base)
        views = stage.views if changes else 1

        @functools.cache
        def columns() -> tuple[Column, Column] | None:
            validation = cached_features(config, self.validation, exact, network)
            if views > 1:
                large = preparation(base, ROOM_TO_CROP)
                train = cached_features(config, self.train, large, network, views=range(views), augment=changes)
            else:
                train = cached_features(config, self.train, exact, network)
            return None if train is None or validation is None else (train, validation)

        # On photos another model is trained than on features: which, may not change with the room on the disk.
        if not run_directory.remember(self.run_dir, f"features before {stage.name}", lambda: columns() is not None):
            return None
        if (found := columns()) is None:
            raise EnvironmentFault(
                f"The features that the stage {stage.name!r} of this run is trained on find no room any more. Make "
                f"room on the disk of the cache (--cache-gb {config.cache_gb:g}), then: kerasuite resume {self.run_dir}"
            )
        train, validation = found
        own = FeaturePreparation()
        parts = examples_of(self.train, train), examples_of(self.validation, validation)
        return Rows(*parts, own, own, views, mixing, are_features=True)

    def rate_groups(self, stage: Stage, model: keras.Model, num_updates: int) -> list[tuple[Any, Sequence[Any]]]:
        """(optimizer, variables) of the head, the last stage and what comes before it: the earlier, the slower."""
        from kerasuite.models import backbones
        from kerasuite.training import optimizers

        config = self.config

        def group(share: float, variables: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
            rate = optimizers.schedule("warmup_cosine", share * config.learning_rate, num_updates)
            return optimizers.optimizer("adamw", rate, weight_decay=config.weight_decay), variables

        groups = [group(1.0, model.layers[-1].trainable_variables)]
        if stage.tuned is None:
            return groups
        variables = model.layers[-2].trainable_variables
        if config.train_from_scratch:
            return [*groups, group(1.0, variables)]
        together = [*groups, group(config.backbone_rate, variables)]
        if stage.frozen is not None:
            return together
        try:
            cut = backbones.last_stage_cut(self.base.model)
        except InputError:
            # A SavedModel is one layer: all of it is the last stage.
            return together
        # Layers are in the order in which they are passed, so the last stage's variables are the last.
        _, upper = backbones.split(self.base.model, cut)
        first = len(variables) - len(upper.trainable_variables)
        last, earlier = variables[first:], variables[:first]
        return [*groups, group(config.backbone_rate, last), group(config.backbone_rate**2, earlier)]
