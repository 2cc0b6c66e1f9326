"""Images for others than the model: raw bytes for the exported one, few numbers for a baseline, thumbnails."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from kerasuite.contracts import Examples
from kerasuite.data import batches
from kerasuite.data.images import ImagePreparation

MOST_FEATURES = 1024


def raw(examples: Examples) -> Iterator[bytes]:
    """The bytes of each image file, in order; arrays as PNG."""
    if "path" in examples.inputs:
        return (tf.io.read_file(path).numpy() for path in examples.inputs["path"])
    return (tf.io.encode_png(image).numpy() for image in examples.inputs["image"])


def features(examples: Examples, prepare: ImagePreparation) -> np.ndarray:
    """The pixels as rows of at most 1,024 numbers, float32 (n, features): larger images are averaged down."""
    height, width = prepare.image_size
    shrink = max(1.0, (height * width * prepare.channels / MOST_FEATURES) ** 0.5)
    size = (int(height / shrink), int(width / shrink))
    small = lambda x: x if shrink == 1 else tf.image.resize(x, size, method="area")  # noqa: E731
    parts = [small(x).numpy().reshape(len(x), -1) for x in batches.inference(examples, prepare, 256)]
    return np.concatenate(parts)


def thumbnails(examples: Examples, prepare: ImagePreparation) -> np.ndarray:
    """The images as the model sees them: uint8 (n, height, width, channels)."""
    return np.concatenate([x.numpy() for x in batches.inference(examples, prepare, 64)]).astype(np.uint8)
