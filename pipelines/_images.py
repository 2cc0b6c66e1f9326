"""What every pipeline whose rows are images hands to `_classification`, and what it predicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kerasuite import progress, run_directory
from kerasuite.contracts import Examples, Skipped
from kerasuite.errors import InputError
from kerasuite.pipelines import _classification
from kerasuite.pipelines._answers import Answers, Asked
from kerasuite.pipelines._classification import Rows

if TYPE_CHECKING:
    import keras

    from kerasuite.data.images import ImagePreparation

CHUNK, MOST_IMAGES, MOST_PIXELS = 64, 256, 64 * 224 * 224


def rows(prepare: ImagePreparation, folder: str | None = None) -> Rows:
    """Images, which `prepare` brings to the model's size; `folder` is where the paths of a table start."""
    from kerasuite.data import pixels

    return Rows(
        "images",
        'images=tf.constant([open("photo.jpg", "rb").read()])',
        partial(read, folder=folder),
        pixels.raw,
        partial(answers, prepare),
        ("thumbnails", lambda examples: pixels.thumbnails(examples, prepare)),
        batch_size=batch_size(prepare.image_size),
    )


def refuse_several_labels(train: Examples) -> None:
    """An image has one label here.

    Raises:
        InputError: the labels are rows of a number for each class.
    """
    if train.is_multi_label:
        raise InputError(
            f"Labels have shape {train.labels.shape}; expected one a row, from 0 to {len(train.class_names) - 1}. Of "
            "one-hot rows pass labels.argmax(1)."
        )


def batch_size(image_size: tuple[int, int]) -> int:
    """How many images are scored at a time: of large ones few, since what a network makes of them takes memory."""
    height, width = image_size
    return max(1, min(MOST_IMAGES, MOST_PIXELS // (height * width)))


def read(
    data: Sequence[str], class_names: Sequence[str], folder: str | None = None
) -> tuple[Examples, Sequence[Skipped], Sequence[str]]:
    """What `evaluate --data` names: a table of photos, or what `run --data` takes."""
    from kerasuite.data import folders, sources

    if len(data) > 1:
        raise InputError(f"--data takes one of {' and '.join(data)} at a time.")
    (data,) = data

    notes, is_table = (), data.lower().endswith((".csv", ".tsv"))
    if is_table and folder and not Path(folder).expanduser().is_dir():
        if folder not in folders.NAMES:  # a data set's name is the default, and no folder that was there once
            notes = (f"{folder} is not there any more: paths start from the folder of {data}.",)
        folder = None
    listed = {"data": folder, "labels": data} if is_table else {"data": data}
    with progress.bar("Checking images") as shown:
        examples, skipped, found = sources.labelled_images(class_names=class_names, progress=shown, **listed)
    return examples, skipped, (*notes, *found)


def answers(prepare: ImagePreparation, model: keras.Model, examples: Examples) -> np.ndarray:
    """What a model in Python says of images, float32 (rows, classes)."""
    from kerasuite.data import batches
    from kerasuite.evaluation import predict

    return predict.probabilities(model, batches.inference(examples, prepare, batch_size(prepare.image_size)))


def predict(asked: Asked) -> Answers:
    """What the exported model says of files, and of the image files below folders."""
    asked.refuse_flags("image files and folders", text=asked.texts, history=asked.histories, column=asked.column)
    from kerasuite.data import folders

    names, unread = folders.find(asked.files)
    return _classification.predict(asked, _chunks(names, unread), batch_size(_image_size(asked.run_dir)))


def _image_size(run_dir: Path) -> tuple[int, int]:
    """(height, width) that a run's network takes, by what the run remembers; the usual size where it does not say."""
    if (prepared := run_directory.remembered(run_dir, "preparation")) is not None:
        return tuple(prepared["image_size"])
    network = run_directory.remembered(run_dir, "network") or {"image size": "224x224"}
    height, width = map(int, network["image size"].split("x"))
    return height, width


def _chunks(names: Sequence[str], unread: list[Skipped]) -> Iterator[tuple[list[tuple[str, bytes]], list[Skipped]]]:
    from kerasuite.data import files

    yield [], unread
    for start in range(0, len(names), CHUNK):
        some = names[start : start + CHUNK]
        raw, bad = files.read(some)
        yield [(name, raw[name]) for name in some if name in raw], bad
