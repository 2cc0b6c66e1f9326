"""Pictures to pixels, in TensorFlow ops only: the same functions in training and in the served model."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kerasuite.contracts import Examples
from kerasuite.errors import InputError

PATH, BYTES, IMAGE = "path", "bytes", "image"
LARGEST_SHARED_SIDE = 224
DEFAULT_SIZE = (64, 64)

_JPEG_RATIOS = (1, 2, 4, 8)
_LARGEST_PLAIN_SHRINKING = 2.0
_EXIF_WITHIN = 2**17
# Start of frame (baseline, extended, progressive), start of scan, end of image, and no marker at all.
_PIXEL_MARKERS = (0xC0, 0xC1, 0xC2, 0xDA, 0xD9, 0x00)


class ImagePreparation(tf.Module):
    """Encoded pictures, or arrays of pixels, to pixels of one size.

    The aspect ratio is not kept: a picture is squashed to image_size, so that nothing is cut off. Large JPEGs are
    decoded at a half, a quarter or an eighth of their size where that still covers image_size. A picture that has
    the right size is passed on bit for bit.

    Args:
        image_size: (height, width) in pixels.
        channels: 1 (gray) or 3 (RGB).

    Example:
        >>> prepare = ImagePreparation((8, 8), 1)
        >>> prepare.encode({"image": np.zeros((16, 16, 3), np.uint8)}).shape
        TensorShape([8, 8, 1])
    """

    encoded_column = IMAGE

    def __init__(self, image_size: tuple[int, int], channels: int):
        super().__init__()
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.channels = int(channels)
        self.row_bytes = self.image_size[0] * self.image_size[1] * self.channels
        self.key = f"pixels {self.image_size} {self.channels}"

    def is_encoded(self, examples: Examples) -> bool:
        """Whether the examples hold what `encode` would give."""
        column = examples.inputs.get(IMAGE)
        return (
            len(examples.inputs) == 1
            and column is not None
            and column.dtype == np.uint8
            and column.shape[1:] == (*self.image_size, self.channels)
        )

    def encode(self, row: dict[str, tf.Tensor]) -> tf.Tensor:
        """One row, {"path"}, {"bytes"} or {"image"}, to uint8 (height, width, channels)."""
        if IMAGE in row:
            pixels = with_channels(tf.convert_to_tensor(row[IMAGE]), self.channels)
        else:
            pixels = self.decode(row[BYTES] if BYTES in row else tf.io.read_file(row[PATH]))
        return resized(pixels, self.image_size)

    def decode(self, data: tf.Tensor) -> tf.Tensor:
        """The bytes of a JPEG, PNG, GIF (first frame), BMP or WebP to uint8 (h, w, channels), upright.

        The size is the picture's own, save that a large JPEG may come out smaller, never under image_size.
        """
        is_jpeg = tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff"
        pixels = tf.cond(
            is_jpeg,
            lambda: self._decode_jpeg(data),
            lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
        )
        return with_channels(tf.ensure_shape(pixels, (None, None, 3)), self.channels)

    def _decode_jpeg(self, data: tf.Tensor) -> tf.Tensor:
        orientation = exif_orientation(data)
        target = tf.constant(self.image_size)
        target = tf.where(orientation >= 5, target[::-1], target)
        # libjpeg scales a side of n pixels to ceil(n / ratio).
        ratios = tf.constant(_JPEG_RATIOS[1:])[:, None]
        covers = tf.reduce_all((tf.io.extract_jpeg_shape(data)[:2] + ratios - 1) // ratios >= target, axis=1)
        decoders = [functools.partial(tf.io.decode_jpeg, data, channels=3, ratio=ratio) for ratio in _JPEG_RATIOS]
        pixels = tf.switch_case(tf.reduce_sum(tf.cast(covers, tf.int32)), decoders)
        return tf.cond(orientation == 1, lambda: pixels, lambda: turned(pixels, orientation))

    def collate(self, rows: tf.Tensor) -> tf.Tensor:
        """uint8 (batch, height, width, channels) to float32 of the same values, 0 to 255."""
        return tf.cast(rows, tf.float32)

    def serve_batch(self, data: tf.Tensor) -> tf.Tensor:
        """Encoded pictures, string (batch,), to float32 (batch, height, width, channels); the batch may be empty."""
        signature = tf.TensorSpec((*self.image_size, self.channels), tf.uint8)
        rows = tf.map_fn(lambda one: self.encode({BYTES: one}), data, fn_output_signature=signature)
        return self.collate(rows)


def with_channels(pixels: tf.Tensor, channels: int) -> tf.Tensor:
    """uint8 (h, w, 1 or 3) to uint8 (h, w, channels); gray is the luma of ITU-R BT.601, rounded."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return tf.repeat(pixels, 3, axis=-1)
    # In whole numbers, so that red = green = blue = v gives v.
    red, green, blue = tf.unstack(tf.cast(pixels, tf.int32), axis=-1)
    luma = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return tf.cast(luma, tf.uint8)[..., None]


def resized(pixels: tf.Tensor, image_size: tuple[int, int]) -> tf.Tensor:
    """uint8 (h, w, c) to uint8 (*image_size, c): bilinear, smoothed where it shrinks a lot. Equal sizes stay."""
    size = tf.shape(pixels)[:2]
    shrinking = tf.reduce_max(tf.cast(size, tf.float32) / tf.constant(image_size, tf.float32))
    case = tf.where(tf.reduce_all(size == image_size), 0, tf.where(shrinking <= _LARGEST_PLAIN_SHRINKING, 1, 2))

    def resize(antialias: bool) -> tf.Tensor:
        # Both kernels weigh pixels by shares of 1, so that the values stay within 0 and 255.
        return tf.cast(tf.round(tf.image.resize(pixels, image_size, antialias=antialias)), tf.uint8)

    result = tf.switch_case(case, [lambda: pixels, lambda: resize(False), lambda: resize(True)])
    return tf.ensure_shape(result, (*image_size, pixels.shape[-1]))


def turned(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Pixels (h, w, c) made upright by their EXIF orientation, 1 to 8."""
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    pixels = tf.cond(mirrored, lambda: pixels[:, ::-1], lambda: pixels)
    return tf.cond(upside_down, lambda: pixels[::-1], lambda: pixels)


def exif_orientation(data: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation of a JPEG's bytes, int32 scalar: 1 to 8, and 1 where it is absent or malformed.

    Source: the segments are those of ITU-T T.81, appendix B; the tag 0x0112 and its entry those of TIFF 6.0.
    """
    opening = tf.strings.substr(data, 0, _EXIF_WITHIN)
    without = tf.strings.regex_replace(opening, r"Exif\x00\x00", "", replace_global=False)
    # A walk through the segments costs a third of decoding a small photo; most files have nothing to look for.
    mentioned = tf.strings.length(without) < tf.strings.length(opening)
    return tf.cond(mentioned, lambda: _orientation_tag(_exif_segment(opening)), lambda: tf.constant(1))


def _exif_segment(opening: tf.Tensor) -> tf.Tensor:
    """The TIFF structure in a JPEG's APP1 segment, int32 (n,); empty if no segment before the pixels is EXIF."""
    raw = tf.cast(tf.io.decode_raw(tf.strings.join((opening, b"\0" * 10)), tf.uint8), tf.int32)

    def is_exif(at):
        return (raw[at + 1] == 0xE1) & tf.reduce_all(raw[at + 4 : at + 10] == tf.constant([*b"Exif\0\0"]))

    def goes_on(at):
        return (raw[at] == 0xFF) & ~tf.reduce_any(raw[at + 1] == _PIXEL_MARKERS) & ~is_exif(at)

    def next_segment(at):
        # A marker may be filled up with bytes 0xFF; a segment's length counts its own two bytes.
        step = tf.where(raw[at + 1] == 0xFF, 1, 2 + tf.maximum(raw[at + 2] * 256 + raw[at + 3], 2))
        return (tf.minimum(at + step, tf.size(raw) - 10),)

    (at,) = tf.while_loop(goes_on, next_segment, (tf.constant(2),), parallel_iterations=1)
    end = tf.where(is_exif(at), at + 2 + raw[at + 2] * 256 + raw[at + 3], 0)
    return raw[at + 10 : end]


def _orientation_tag(tiff: tf.Tensor) -> tf.Tensor:
    """The orientation in the first directory of a TIFF structure, int32 (n,); 1 if there is none."""
    # Slices past the end are empty, and the zeros make every fixed place readable.
    tiff = tf.concat((tiff, tf.zeros(16, tf.int32)), 0)
    is_little = tiff[0] == ord("I")

    def number(places, size=2):  # (..., size) -> (...)
        weights = tf.constant([256**place for place in range(size)])
        return tf.reduce_sum(places * tf.where(is_little, weights, weights[::-1]), axis=-1)

    # Nothing lies further in than 65,535 bytes: the two high bytes of the offset are 0 in a sound file.
    offset = tf.clip_by_value(number(tiff[4:8], 4), 8, tf.size(tiff) - 2)
    entries = tiff[offset + 2 :][: 12 * number(tiff[offset : offset + 2])]
    entries = tf.reshape(entries[: tf.size(entries) // 12 * 12], (-1, 12))
    is_short = number(entries[:, 2:4]) == 3
    values = number(entries[:, 8:10])
    sound = (number(entries[:, 0:2]) == 0x0112) & is_short & (values >= 1) & (values <= 8)
    return tf.concat((values[sound], [1]), 0)[0]


class Geometry(NamedTuple):
    """The size that pictures are brought to, and the sentence that says why."""

    image_size: tuple[int, int]
    channels: int
    note: str


def choose_size(examples: Examples, wanted: tuple[int, int] | None = None) -> Geometry:
    """The size to bring pictures to: the wanted one, or one that suits them.

    Args:
        examples: the training rows.
        wanted: (height, width) in pixels, or None.

    Example:
        >>> choose_size(Examples({"image": np.zeros((2, 28, 28, 1), np.uint8)})).note
        'Images are 28x28 with 1 channel, as every one of them is.'
    """
    if IMAGE in examples.inputs:
        column = examples.inputs[IMAGE]
        if column.dtype != np.uint8 or column.ndim != 4 or column.shape[-1] not in (1, 3):
            raise InputError(
                f"The images are {column.dtype} of shape {column.shape}; expected uint8 (rows, height, width, 1 or 3), "
                "0 to 255."
            )
        height, width, channels = column.shape[1:]
        sizes = {(height, width)}
    else:
        sizes = set(zip(examples.facts["height"].tolist(), examples.facts["width"].tolist()))
        channels = 1 if examples.facts["is_gray"].all() else 3
    colours = f"{channels} channel{'s' if channels > 1 else ''}"
    (height, width), number = min(sizes), len(sizes)
    if wanted is not None:
        note = f"Images are {wanted[0]}x{wanted[1]} with {colours}, as --image-size says."
        return Geometry(tuple(wanted), channels, note)
    if number == 1 and max(height, width) <= LARGEST_SHARED_SIDE:
        return Geometry(
            (height, width), channels, f"Images are {height}x{width} with {colours}, as every one of them is."
        )
    given = f"{number:,} different sizes" if number > 1 else f"{height}x{width} throughout"
    height, width = DEFAULT_SIZE
    note = f"Images are resized to {height}x{width} with {colours}; the files have {given}. --image-size sets another."
    return Geometry(DEFAULT_SIZE, channels, note)
