"""Data sets that `--data` knows by name: bundled, or downloaded once into the place where Keras keeps its own."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np

from kerasuite.contracts import Examples, RowIds
from kerasuite.data.arrays import Parts, idx_files, of_arrays, read_idx, read_npz
from kerasuite.data.folders import TEST, TRAIN
from kerasuite.downloads import silence_bounded
from kerasuite.errors import EnvironmentFault, InputError

_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CLASS_NAMES = {"mnist": None, "fashion_mnist": _CLOTHES, "cifar10": _THINGS}
# Where Keras keeps each download, and where it gets it from.
_DOWNLOADS = {
    "mnist": ("mnist.npz", "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"),
    "fashion_mnist": ("fashion-mnist", "https://storage.googleapis.com/tensorflow/tf-keras-datasets/*-ubyte.gz"),
    "cifar10": ("cifar-10-batches-py-target_archive", "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"),
    "flowers": (
        "flower_photos",
        "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
    ),
}
# Of flower_photos.tgz (228,813,984 bytes), as TensorFlow Datasets records it in url_checksums/tf_flowers.txt.
_FLOWERS_SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
_NUM_FLOWERS = 3670

_INSTEAD_OF_ARRAYS = (
    "--data digits, an .npz file with x_train, y_train, x_test, y_test, a folder of IDX files, or a folder with one "
    "folder of images for each class"
)
_INSTEAD_OF_PHOTOS = "--data trashnet_sample, or a folder with one folder of images for each class"


def arrays(name: str) -> Parts:
    """The parts of a data set that is arrays. One that was put in place by hand is read without a download.

    Raises:
        InputError: it is not there, and cannot be had.
    """
    if name == "digits":
        return _digits()
    import keras

    place = _place(name)
    if name == "mnist" and place.is_file():
        return read_npz(place)
    if name == "fashion_mnist" and place.is_dir() and len(idx_files(place)) >= 4:
        return read_idx(place, _CLOTHES)
    train, test = _fetched(name, getattr(keras.datasets, name).load_data, _INSTEAD_OF_ARRAYS)
    return of_arrays({TRAIN: train, TEST: test}, name, _CLASS_NAMES[name])


def _digits() -> Parts:
    from sklearn.datasets import load_digits

    bundled = load_digits()
    pixels = np.round(bundled.images * (255 / 16)).astype(np.uint8)[..., None]
    ids, names = RowIds("digits", np.arange(len(pixels))), tuple(map(str, range(10)))
    return {TRAIN: Examples({"image": pixels}, bundled.target, ids, names)}, ()


def _flowers() -> Path:
    """The class folders of flower_photos, fetched and unpacked once; a copy put in place by hand is taken as it is."""
    import keras

    place = _place("flowers")
    archive = place.with_name(f"{place.name}_archive")
    # Keras keeps the archive: where it lies beside a folder that is not full, the unpacking was cut short.
    if not place.is_dir() or (archive.exists() and sum(1 for _ in place.rglob("*.jpg")) < _NUM_FLOWERS):
        name, url = _DOWNLOADS["flowers"]
        where = {"cache_dir": str(place.parents[1]), "extract": True, "file_hash": _FLOWERS_SHA256}
        place = Path(_fetched("flowers", partial(keras.utils.get_file, name, url, **where), _INSTEAD_OF_PHOTOS))
    # The archive has a folder of the same name in it.
    return place / place.name if (place / place.name).is_dir() else place


def _trashnet_sample() -> Path:
    """The photos that come with the package."""
    folder = Path(str(resources.files("kerasuite") / "samples" / "trashnet"))
    if not folder.is_dir():
        raise InputError(f"trashnet_sample is not in this installation of kerasuite ({folder}). Install it anew.")
    return folder


# Folders of class folders, each fetched when it is asked for.
PHOTOS: dict[str, Callable[[], Path]] = {"flowers": _flowers, "trashnet_sample": _trashnet_sample}


def _place(name: str) -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets" / _DOWNLOADS[name][0]


def _fetched(name: str, fetch: Callable, instead: str):
    try:
        with silence_bounded():
            return fetch()
    # Keras raises a plain Exception for a download that failed.
    except Exception as fault:
        if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise EnvironmentFault(f"{name} finds no room on the disk of {_place(name)}: {fault}.") from fault
        place, url = _place(name), _DOWNLOADS[name][1]
        raise InputError(
            f"{name} is not on this machine ({place}), and could not be had from {url}: {fault}. Put it there by hand, "
            f"or pass {instead}."
        ) from fault
