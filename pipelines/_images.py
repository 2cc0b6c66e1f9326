"""What every pipeline whose rows are images hands to `_classification`, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kerasuite import progress
from kerasuite.contracts import Examples, Skipped
from kerasuite.pipelines._classification import Rows

if TYPE_CHECKING:
    import keras

    from kerasuite.data.images import ImagePreparation

BATCH_SIZE = 256


def rows(prepare: ImagePreparation) -> Rows:
    """Images, which `prepare` brings to the model's size."""
    from kerasuite.data import pixels

    return Rows(
        "images",
        'images=tf.constant([open("photo.jpg", "rb").read()])',
        read,
        pixels.raw,
        partial(answers, prepare),
        ("thumbnails", lambda examples: pixels.thumbnails(examples, prepare)),
    )


def read(data: str, class_names: Sequence[str]) -> tuple[Examples, Sequence[Skipped], Sequence[str]]:
    """What `evaluate --data` names: a table of photos, or what `run --data` takes."""
    from kerasuite.data import sources

    listed = {"data": None, "labels": data} if data.endswith((".csv", ".tsv")) else {"data": data}
    with progress.bar("Checking images") as shown:
        return sources.labelled_images(class_names=class_names, progress=shown, **listed)


def answers(prepare: ImagePreparation, model: keras.Model, examples: Examples) -> np.ndarray:
    """What a model in Python says of images, float32 (rows, classes)."""
    from kerasuite.data import batches
    from kerasuite.evaluation import predict

    return predict.probabilities(model, batches.inference(examples, prepare, BATCH_SIZE))


def find_inputs(arguments: Sequence[str]) -> list[str]:
    """The files that the arguments name: files as they are, and the image files below folders."""
    from kerasuite.data import folders

    return folders.find(arguments)


def read_inputs(paths: Sequence[str]) -> tuple[dict[str, bytes], list[Skipped]]:
    """The bytes of the files that can be used, by path, and the others with the reason."""
    from kerasuite.data import files

    return files.read(paths)
