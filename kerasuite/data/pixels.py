"""Images for others than the model: raw bytes for the exported one, few numbers for a baseline, thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from kerasuite.contracts import Examples
from kerasuite.data import batches
from kerasuite.data.images import ImagePreparation

MOST_FEATURES = 1024
BATCH_SIZE = 64
# Joint histograms have so many bins, whatever the number of channels: 64 grays, or 4 reds x 4 greens x 4 blues.
BINS = 64


def raw(examples: Examples) -> Iterator[bytes]:
    """The bytes of each image file, in order; arrays as PNG."""
    if "path" in examples.inputs:
        return (tf.io.read_file(path).numpy() for path in examples.inputs["path"])
    return (tf.io.encode_png(image).numpy() for image in examples.inputs["image"])


def features(examples: Examples, prepare: ImagePreparation) -> np.ndarray:
    """The pixels as rows of at most 1,024 numbers, float32 (n, features): larger images are averaged down."""
    height, width = prepare.image_size
    shrink = max(1.0, (height * width * prepare.channels / MOST_FEATURES) ** 0.5)
    size = (max(1, int(height / shrink)), max(1, int(width / shrink)))
    small = lambda x: x if shrink == 1 else tf.image.resize(x, size, method="area")  # noqa: E731
    return _collected(examples, prepare, size[0] * size[1] * prepare.channels, small)


def colour_histograms(examples: Examples, prepare: ImagePreparation) -> np.ndarray:
    """The share of each image's pixels in each of 64 boxes of the colour space, float32 (n, 64).

    Each channel is cut into 4 levels (a gray one into 64); the bin of levels (red, green, blue) is 16 red + 4 green +
    blue.
    """
    levels = round(BINS ** (1 / prepare.channels))
    places = levels ** np.arange(prepare.channels)[::-1]

    def histogram(x):
        bins = tf.reduce_sum(tf.cast(x, tf.int32) * levels // 256 * places, axis=-1)  # (batch, height, width)
        counts = tf.math.bincount(tf.reshape(bins, (len(x), -1)), minlength=BINS, maxlength=BINS, axis=-1)
        return tf.cast(counts, tf.float32) / (x.shape[1] * x.shape[2])

    return _collected(examples, prepare, BINS, histogram)


def _collected(
    examples: Examples, prepare: ImagePreparation, number: int, describe: Callable[[tf.Tensor], tf.Tensor]
) -> np.ndarray:
    """So many numbers of each image, float32 (n, number), and no second copy of them on the way."""
    rows = np.empty((len(examples), number), np.float32)
    for batch, x in enumerate(batches.inference(examples, prepare, BATCH_SIZE)):
        rows[batch * BATCH_SIZE :][: len(x)] = describe(x).numpy().reshape(len(x), -1)
    return rows


def thumbnails(examples: Examples, prepare: ImagePreparation) -> np.ndarray:
    """The images as the model sees them: uint8 (n, height, width, channels)."""
    return np.concatenate([x.numpy() for x in batches.inference(examples, prepare, 64)]).astype(np.uint8)


def views(
    examples: Examples, prepare: ImagePreparation, augment: batches.Augment, number: int, seed: int
) -> list[np.ndarray]:
    """The images as training changes them, `number` times: uint8 (n, height, width, channels) each."""
    x = tf.concat(list(batches.inference(examples, prepare, 64)), 0)
    shape = (len(examples), augment.draws_per_image)
    drawn = [tf.random.stateless_uniform(shape, (seed, view)) for view in range(number)]
    changed = [augment(x, tf.constant(examples.labels), draws)[0] for draws in drawn]
    return [np.clip(view, 0, 255).astype(np.uint8) for view in changed]
