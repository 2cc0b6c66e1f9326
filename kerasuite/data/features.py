"""What a frozen network says of each photo: worked out once and kept on disk, by the photo's content."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasuite.contracts import Examples
from kerasuite.data import batches
from kerasuite.data.duplicates import digests_of
from kerasuite.data.photo_files import CHANGED, PhotoFiles
from kerasuite.data.row_store import Column, RowStore, bytes_taken, delete, is_store
from kerasuite.errors import EnvironmentFault, InputError

FEATURES = "features"
BATCH_SIZE = 64
# Left free on the disk, whatever the limit says.
SPARE_BYTES = 2**30

_STORE_NAME = re.compile("[0-9a-f]{24}")
# When this process began, or nearly.
_BEGUN = time.time()

Progress = Callable[[int, int], None]


class FeaturePreparation:
    """Rows of features are already what the next network takes."""

    encoded_column = FEATURES

    def is_encoded(self, examples: Examples) -> bool:
        """Whether the examples hold features."""
        return FEATURES in examples.inputs

    def encode(self, row: dict[str, tf.Tensor]) -> tf.Tensor:
        """The row itself."""
        return row[FEATURES]

    def collate(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows (batch, ...) as float32."""
        return tf.cast(rows, tf.float32)


@dataclass(frozen=True)
class Network:
    """A frozen network, and what tells it from every other.

    Args:
        forward: float32 (batch, ...) to float32 (batch, *shape).
        shape: of what it says of one row.
        key: names its weights, its arithmetic, and all that is done to a photo before it.
    """

    forward: Callable[[tf.Tensor], tf.Tensor]
    shape: tuple[int, ...]
    key: str

    @property
    def dtype(self) -> np.dtype:
        """Maps are long and only trained on: half the bytes. A vector is short, and kept as it is."""
        return np.dtype(np.float32 if len(self.shape) == 1 else np.float16)


def default_folder() -> Path:
    """Where features are kept if nothing else is said: KERASUITE_CACHE, or the user's folder for caches."""
    if chosen := os.environ.get("KERASUITE_CACHE"):
        return Path(chosen).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kerasuite"
    except RuntimeError as fault:
        raise EnvironmentFault(f"{fault} Pass --cache FOLDER, or set KERASUITE_CACHE.") from fault


@dataclass(frozen=True)
class FeatureCache:
    """A folder with a store for each network.

    Args:
        folder: made when it is needed.
        limit_bytes: what all stores may take together; those used longest ago are deleted for new ones, but none from
            which this object has given features.
    """

    folder: Path
    limit_bytes: int
    _given: set[Path] = field(default_factory=set, init=False, repr=False)

    def features(
        self,
        examples: Examples,
        prepare: batches.Preparation,
        network: Network,
        *,
        views: range = range(1),
        augment: batches.Augment | None = None,
        progress: Progress | None = None,
    ) -> Column | None:
        """The network's features of every row, in every view. What is not in the store yet is worked out.

        Args:
            prepare: from the examples to what the network (or `augment`) takes.
            views: the views wanted of each row. View v of a photo is always changed by the same random numbers.
            augment: changes the rows of each view; None leaves them as they are.
            progress: called with the number of rows done, and of all that are to be done.

        Returns:
            len(examples) * len(views) rows, view by view; None where they fit neither the limit nor the disk.

        Raises:
            InputError: a photo was changed or taken away meanwhile.
            EnvironmentFault: the disk cannot be written.
        """
        folder = self.folder / blake2b(f"{network.key} {augment}".encode(), digest_size=12).hexdigest()
        store = RowStore(folder, network.shape, network.dtype)
        keys = np.stack([np.char.add(digests_of(examples), f"/{view}".encode()) for view in views])  # (views, n)
        with _disk_faults(self.folder), store.locked():
            missing = store.missing(keys.ravel())
            if not self._has_room(store, len(missing)):
                if not self._begins_anew(store, len(np.unique(keys))):
                    return None
                missing = store.missing(keys.ravel())
            done, files = 0, PhotoFiles()
            for position, view in enumerate(views):
                rows = missing[missing // len(examples) == position] % len(examples)
                part = examples.take(rows)
                for batch, values in _computed(part, prepare, network, augment, view, files):
                    store.append(keys[position, rows[batch]], values)
                    done += len(values)
                    if progress:
                        progress(done, len(missing))
            os.utime(folder)
            self._given.add(folder)
            return store.column(keys.ravel())

    def _has_room(self, store: RowStore, rows: int) -> bool:
        """Whether so many rows more fit into a store; of the others, those used longest ago are deleted for them."""
        needed, own, kept, others = store.bytes_of(rows), bytes_taken(store.folder), *self._others(store)
        if rows and not self._fits(needed, own + kept, freed=sum(others.values())):
            # Nothing is deleted in vain.
            return False
        for folder in list(others):
            if self._fits(needed, own + kept + sum(others.values())):
                break
            if delete(folder):
                del others[folder]
        return not rows or self._fits(needed, own + kept + sum(others.values()))

    def _begins_anew(self, store: RowStore, rows: int) -> bool:
        """Whether so many rows fit once the store's own are dropped: those that no run has used since this one began.

        Else a store that is full of photos of long ago would take no others for ever.
        """
        kept, others = self._others(store)
        freed = bytes_taken(store.folder) + sum(others.values())
        if _last_used(store.folder) >= _BEGUN or not self._fits(store.bytes_of(rows), kept, freed):
            return False
        store.clear()
        return self._has_room(store, rows)

    def _fits(self, needed: int, kept: int, freed: int = 0) -> bool:
        on_disk = shutil.disk_usage(self.folder).free + freed
        return needed + kept <= self.limit_bytes and (not needed or needed + SPARE_BYTES <= on_disk)

    def _others(self, store: RowStore) -> tuple[int, dict[Path, int]]:
        """Of the other stores: what those take that stay, and what each takes that may go, the longest unused first."""
        # The folder may be one in which people keep other things: those are none of ours, and stay.
        found = [path for path in self.folder.iterdir() if _STORE_NAME.fullmatch(path.name) and is_store(path)]
        taken = {path: bytes_taken(path) for path in sorted(found, key=_last_used) if path != store.folder}
        return sum(taken[path] for path in taken if path in self._given), {
            path: size for path, size in taken.items() if path not in self._given
        }


def _last_used(folder: Path) -> float:
    # Another process may have deleted it.
    with contextlib.suppress(FileNotFoundError):
        return folder.stat().st_mtime
    return 0.0


def examples_of(examples: Examples, column: Column) -> Examples:
    """Features as examples: view by view, each row with its label."""
    labels = np.tile(examples.labels, len(column) // len(examples))
    return Examples({FEATURES: column}, labels, class_names=examples.class_names)


def worked_out(examples: Examples, prepare: batches.Preparation, network: Network) -> np.ndarray:
    """The network's features of every row, in memory: (n, *shape)."""
    found = np.empty((len(examples), *network.shape), network.dtype)
    for batch, values in _computed(examples, prepare, network, None, 0, PhotoFiles()):
        found[batch] = values
    return found


def _computed(
    examples: Examples,
    prepare: batches.Preparation,
    network: Network,
    augment: batches.Augment | None,
    view: int,
    files: PhotoFiles,
) -> Iterator[tuple[slice, np.ndarray]]:
    """(rows, their features) of each batch, in order."""
    if not len(examples):
        return
    digests, end = digests_of(examples), 0
    try:
        for x in _read(examples, prepare, files):
            batch = slice(end, end := end + len(x))
            if augment is not None:
                draws = np.stack([_draws(digest, view, augment.draws_per_image) for digest in digests[batch]])
                x, _ = augment(x, tf.constant(examples.labels[batch]), tf.constant(draws))
            values = network.forward(x).numpy()
            _refuse_unfit(values, network.dtype, is_text=_is_text(examples))
            # What changed meanwhile must not be kept under the digest it had before.
            files.refuse_changed(examples.take(np.arange(batch.start, batch.stop)))
            yield batch, values
    except tf.errors.ResourceExhaustedError as fault:
        what, mend = (
            ("texts", "--max-length or --encoder") if _is_text(examples) else ("photos", "--image-size or --backbone")
        )
        raise EnvironmentFault(
            f"The memory does not suffice to pass {BATCH_SIZE} {what} through what is frozen. Pass a smaller {mend}. "
            f"{fault.message}"
        ) from fault


def _read(examples: Examples, prepare: batches.Preparation, files: PhotoFiles) -> Iterator[tf.Tensor]:
    """Batches of photos, in order."""
    try:
        yield from batches.inference(examples, prepare, BATCH_SIZE)
    except tf.errors.ResourceExhaustedError:
        raise
    except tf.errors.OpError as fault:
        files.refuse_changed(examples)
        raise InputError(f"A photo {CHANGED} {fault.message}") from fault


def _is_text(examples: Examples) -> bool:
    return not {"image", "path"} & set(examples.inputs)


def _refuse_unfit(values: np.ndarray, dtype: np.dtype, *, is_text: bool) -> None:
    largest = np.abs(values).max(initial=0)
    if not np.isfinite(largest):
        raise InputError(
            "The encoder's vectors are not all finite numbers: its weights are damaged. Pass another --encoder."
            if is_text
            else "The backbone's features are not all finite numbers: its weights are damaged, or it expects other "
            "pixels. Pass another --backbone, --weights or --preprocessing."
        )
    if largest > np.finfo(dtype).max:
        raise InputError(
            f"The features reach {largest:.3g}, which the cache cannot hold ({dtype}). "
            "Pass --cache-gb 0 to go without it."
        )


def _draws(digest: bytes, view: int, number: int) -> np.ndarray:
    """The uniform numbers of one view of one content, float32 (number,)."""
    return np.random.default_rng([int(digest, 16), view]).random(number, np.float32)


@contextlib.contextmanager
def _disk_faults(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        full = (
            " The disk is full: free some space, or pass --cache-gb 0 to go without."
            if fault.errno in (errno.ENOSPC, errno.EDQUOT)
            else ""
        )
        raise EnvironmentFault(
            f"The features cannot be kept in {folder}: {fault.strerror}.{full} --cache names another folder."
        ) from fault
