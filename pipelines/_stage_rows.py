"""Photos as a stage of training takes them: features of the frozen part from the cache, or the photos themselves."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerasuite import __version__, config, frozen, progress, run_directory
from kerasuite.contracts import Examples
from kerasuite.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    import keras

    from kerasuite.data.augmentation import Mixing
    from kerasuite.data.features import FeatureCache, Network
    from kerasuite.data.images import ImagePreparation
    from kerasuite.data.photo_augmentation import PhotoAugmentation
    from kerasuite.data.row_store import Column
    from kerasuite.evaluation.report import Section
    from kerasuite.models.backbones import Backbone

# Photos are decoded this much larger than the backbone takes them, so that a crop has pixels to choose from.
ROOM_TO_CROP = 8 / 7
CHANGED = "photos were changed at random"


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
    """What a stage is trained and validated on: features from the cache, or the photos themselves.

    `are_changed` says whether it is trained on photos that were changed at random.
    """

    train: Examples
    validation: Examples
    prepare: Any
    prepare_validation: Any
    views: int
    augment: Any
    are_features: bool
    are_changed: bool


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


def mixing(config: config.Settings, num_classes: int) -> Mixing | None:
    """How rows are mixed with one another, if the settings ask for it."""
    from kerasuite.data.augmentation import Mixing

    return Mixing(num_classes, config.mixup, config.cutmix) if config.mixup or config.cutmix else None


def frozen_network(config: config.Settings, base: Backbone, part: keras.Model, name: str, run_dir: Path) -> Network:
    """A frozen part of the backbone as one function, in the arithmetic that is fastest here."""
    import keras
    import tensorflow as tf

    from kerasuite.data.features import Network

    arithmetic = run_directory.remember(
        run_dir,
        f"precision before {name}",
        lambda: frozen.choose(config.precision, part, tf.zeros((32, *part.input_shape[1:]))),
    )
    size = "x".join(map(str, preparation(base).image_size))
    code = f"{__version__} {keras.__version__} {tf.__version__}"
    key = f"{code} {base.weights_digest} {name} {size} {arithmetic['used']}"
    return Network(frozen.forward(part, arithmetic["used"]), part.output_shape[1:], key)


def cached_features(
    config: config.Settings,
    examples: Examples,
    prepare: ImagePreparation,
    network: Network,
    run_dir: Path,
    **looks: Any,
) -> Column | None:
    """What the network says of every photo, from the cache; None where the cache is off or too small."""
    from kerasuite.data.features import default_folder

    if not config.cache_gb:
        return None
    folder = Path(config.cache).expanduser() if config.cache else default_folder()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--cache {folder} is a file; expected a folder, which is made if it is not there.")
    cache = _feature_cache(run_dir, folder, int(config.cache_gb * 2**30))
    with progress.bar("Passing photos through what is frozen") as shown:
        return cache.features(examples, prepare, network, progress=shown, **looks)


@functools.lru_cache(maxsize=1)
def _feature_cache(run_dir: Path, folder: Path, limit_bytes: int) -> FeatureCache:
    """One for all of a run, so that no features of it make room for others of it."""
    from kerasuite.data.features import FeatureCache

    return FeatureCache(folder, limit_bytes)


def features_in_memory(
    config: config.Settings, examples: Examples, prepare: ImagePreparation, network: Network, run_dir: Path
) -> np.ndarray:
    """What the network says of every photo: float32 (n, features), from the cache if there is one."""
    from kerasuite.data import features

    column = cached_features(config, examples, prepare, network, run_dir)
    return features.worked_out(examples, prepare, network) if column is None else np.asarray(column)


def changed_photos(config: config.Settings, base: Backbone, run_dir: Path, train: Examples) -> Section | None:
    """The report's section on how the training photos were changed and mixed, if they were."""
    from kerasuite.data import pixels
    from kerasuite.data.augmentation import together
    from kerasuite.evaluation import sheet

    are_changed = run_directory.remembered(run_dir, CHANGED)
    changes = photo_changes(config, base) if are_changed else None
    mixed = mixing(config, len(train.class_names))
    if (augment := together(changes, mixed)) is None:
        return None
    prepare = preparation(base)
    before = preparation(base, ROOM_TO_CROP) if changes else prepare
    some = train.take(np.random.default_rng(config.seed).permutation(len(train))[:6])
    looks = [pixels.thumbnails(some, prepare), *pixels.views(some, before, augment, 2, config.seed)]
    note = "Where training was on features of a frozen part, those were mixed; here the photos are." if mixed else ""
    return sheet.augmentation_section(looks, [some.class_names[label] for label in some.labels], note)


@dataclass(frozen=True)
class StageRows:
    """The rows of one run, for each of its stages."""

    config: config.Settings
    base: Backbone
    train: Examples
    validation: Examples
    run_dir: Path

    def of(self, stage: Stage) -> Rows:
        """Features of the stage's frozen part, or photos where nothing is frozen or the features find no room."""
        from kerasuite.data import cache
        from kerasuite.data.augmentation import together

        config, base = self.config, self.base
        exact, changes = preparation(base), photo_changes(config, base)
        large = preparation(base, ROOM_TO_CROP) if changes else exact
        are_vectors = stage.tuned is None and config.cache_gb
        # A vector has no places, so that nothing can be pasted into it.
        mixed = mixing(replace(config, cutmix=0.0) if are_vectors else config, len(self.train.class_names))
        if stage.frozen is not None and config.cache_gb:
            found = self._features(stage, mixed)
            if found is not None:
                return found
            print(f"The features find no room (--cache-gb {config.cache_gb:g}, or the disk): "
                  "what is frozen runs again in each epoch.")  # fmt: skip
        parts = cache.encoded_once(self.train, large), cache.encoded_once(self.validation, exact)
        augment = together(changes, mixed)
        return Rows(*parts, large, exact, 1, augment, are_features=False, are_changed=changes is not None)

    def _features(self, stage: Stage, mixed: Mixing | None) -> Rows | None:
        """Features of the stage's frozen part, None where they find no room; a resumed run keeps to what was found."""
        from kerasuite.data.features import FeaturePreparation, examples_of

        config, base = self.config, self.base
        network = frozen_network(config, base, stage.frozen, stage.name, self.run_dir)
        exact, changes = preparation(base), photo_changes(config, base)
        wanted = stage.views if changes else 1

        @functools.cache
        def columns(views: int) -> tuple[Column, Column] | None:
            validation = cached_features(config, self.validation, exact, network, self.run_dir)
            if views > 1:
                large, looks = preparation(base, ROOM_TO_CROP), {"views": range(views), "augment": changes}
                train = cached_features(config, self.train, large, network, self.run_dir, **looks)
            else:
                train = cached_features(config, self.train, exact, network, self.run_dir)
            return None if train is None or validation is None else (train, validation)

        def most_views() -> int:
            """As many as find room, two at least where several are wanted; 0 for none."""
            return next((views for views in range(wanted, min(wanted, 2) - 1, -1) if columns(views)), 0)

        # Which rows the model is trained on, may not change with the room on the disk.
        views = run_directory.remember(self.run_dir, f"views before {stage.name}", most_views)
        if not views:
            return None
        if views < wanted:
            limit = f"--cache-gb {config.cache_gb:g}, or the disk"
            print(f"Of {wanted} changed versions of each photo {views} find room ({limit}).")
        if (found := columns(views)) is None:
            raise EnvironmentFault(
                f"The features that the stage {stage.name!r} of this run is trained on find no room any more. Make "
                f"room on the disk of the cache (--cache-gb {config.cache_gb:g}), then: kerasuite resume {self.run_dir}"
            )
        train, validation = found
        own = FeaturePreparation()
        parts = examples_of(self.train, train), examples_of(self.validation, validation)
        return Rows(*parts, own, own, views, mixed, are_features=True, are_changed=views > 1)
