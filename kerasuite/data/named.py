"""Data sets that `--data` knows by name: bundled, or downloaded once into the place where Keras keeps its own."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasuite.columns import RowIds
from kerasuite.contracts import Examples
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
    "imdb": ("aclImdb", "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"),
    "movielens-latest-small": (
        "ml-latest-small",
        "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",
    ),
}
_INSTEAD_OF_ARRAYS = (
    "--data digits, an .npz file with x_train, y_train, x_test, y_test, a folder of IDX files, or a folder with one "
    "folder of images for each class"
)


class Archive(NamedTuple):
    """What a downloaded archive holds.

    Args:
        files, number: so many files, named so, lie in it.
        inner: the folder in it.
        checksum: of the archive, SHA-256 or MD5.
        instead: what can be passed where it cannot be had.
    """

    files: str
    number: int
    inner: str
    checksum: str
    instead: str


_ARCHIVES = {
    # 228,813,984 bytes; the checksum as TensorFlow Datasets records it in url_checksums/tf_flowers.txt.
    "flowers": Archive(
        "*.jpg",
        3670,
        "flower_photos",
        "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
        "--data trashnet_sample, or a folder with one folder of images for each class",
    ),
    # The checksum as paddle.dataset.imdb records it.
    "imdb": Archive(
        "*.txt",
        100_000,
        "aclImdb",
        "7c2ac02c03563afcf9b574c7e56c153a",
        "--data reviews_sample, or a table of texts and labels",
    ),
    # 978,202 bytes; the checksum of the edition of September 2018.
    "movielens-latest-small": Archive(
        "*.csv",
        4,
        "ml-latest-small",
        "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
        "--data order_sample, or a table of users, items and times",
    ),
}


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


def _unpacked(name: str, archive: Archive) -> Path:
    """The folder of an archive, fetched and unpacked once; a copy put in place by hand is taken as it is."""
    import keras

    place = _place(name)
    packed = place.with_name(f"{place.name}_archive")
    # Keras keeps the archive: where it lies beside a folder that is not full, the unpacking was cut short.
    if not place.is_dir() or (packed.exists() and sum(1 for _ in place.rglob(archive.files)) < archive.number):
        url = _DOWNLOADS[name][1]
        where = {"cache_dir": str(place.parents[1]), "extract": True, "file_hash": archive.checksum}
        fetch = partial(keras.utils.get_file, place.name, url, **where)
        place = Path(_fetched(name, fetch, archive.instead))
    # The archive has a folder in it.
    inner = place / archive.inner
    return inner if inner.is_dir() else place


def sample(file: str) -> Path:
    """A file or folder that comes with the package."""
    path = Path(str(resources.files("kerasuite") / "samples" / file))
    if not path.exists():
        raise InputError(f"{file} is not in this installation of kerasuite ({path}). Install it anew.")
    return path


# What is fetched, or found in the package, when it is asked for: folders of class folders of photos, and texts.
PHOTOS: dict[str, Callable[[], Path]] = {
    "flowers": lambda: _unpacked("flowers", _ARCHIVES["flowers"]),
    "trashnet_sample": lambda: sample("trashnet"),
}
TEXTS: dict[str, Callable[[], Path]] = {
    "imdb": lambda: _unpacked("imdb", _ARCHIVES["imdb"]),
    "reviews_sample": lambda: sample("reviews.csv"),
}
# Folders of logs of interactions.
LOGS: dict[str, Callable[[], Path]] = {
    "movielens-latest-small": lambda: _unpacked("movielens-latest-small", _ARCHIVES["movielens-latest-small"])
}


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
