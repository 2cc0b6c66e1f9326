"""Changes of training photos: cropped at random, mirrored, and RandAugment's changes of shape and colour."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import tensorflow as tf

from kerasuite.errors import InputError

_FILLS = {"gray": ("CONSTANT", 128.0), "nearest": ("NEAREST", 0.0)}
_LEVELS = 30
# Of fully strong changes: degrees, slope, share of the side, share of the colour, levels of 256, bits of 8.
_ROTATE, _SHEAR, _TRANSLATE, _ENHANCE, _SOLARIZE, _POSTERIZE = 30.0, 0.3, 100 / 331, 0.9, 256.0, 4.0
# ITU-R BT.601's, as Pillow's gray.
_LUMA = (0.299, 0.587, 0.114)
_MARGIN = 1e-6

# (a, b, c, d, e, f), each (batch,): a result's (x, y) comes from (a x + b y + c, d x + e y + f).
Affine = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


@dataclass(frozen=True)
class PhotoAugmentation:
    """Random changes of a batch of photos, decided by uniform numbers alone: the same numbers give the same photos.

    A crop keeps a share of the photo's area that is uniform in [crop, 1], at an aspect ratio that is log-uniform in
    [1 / aspect, aspect] as far as a crop of that area fits (Szegedy et al. 2015, arXiv:1409.4842, which takes
    0.08 and 4 / 3). Photos come somewhat larger than they leave. Crop, mirror and all changes of shape are one
    bilinear resampling. With crop=1 numbers of 0.5 give the whole photo as tf.image.resize does, bilinear.

    RandAugment draws changes from `OPERATIONS`, each as likely as the others and all of one magnitude
    (Cubuk et al. 2020, arXiv:1909.13719). Full strength (30) is that of the paper's code: rotation by 30 degrees,
    a slope of 0.3, a shift by 100 of AutoAugment's 331 pixels; colour, contrast, brightness and sharpness changed by a
    factor of 0.1 or 1.9. Unlike there, every change begins at none and grows with the magnitude: factors lie on either
    side of 1, solarize inverts what is brighter than a level that sinks from 256 to 0, and posterize drops 0 to 4 of 8
    bits (AutoAugment's range, arXiv:1805.09501). Shapes are changed before colours, whatever the order in which they
    were drawn, and a photo that is moved shows what lies beyond the crop, where there is something.

    Keras's RandAugment does the like from a generator of its own, so that a run which is taken up again would differ.

    Args:
        output_size: (height, width) in pixels.
        crop: smallest share of the area.
        aspect: largest aspect ratio of a crop, relative to the photo's own.
        flip: mirror half of the photos left to right.
        rand_augment: how many changes each photo gets from RandAugment.
        magnitude: their strength, 0 to 30.
        fill: what comes in from beyond the photo: "gray" (128, as in RandAugment) or "nearest" (the edge's pixels).

    Raises:
        InputError: a setting out of range.

    Example:
        >>> augment = PhotoAugmentation((2, 2), crop=1.0)
        >>> x, y = augment(tf.reshape(tf.range(48.0), (1, 4, 4, 3)), tf.constant([3]), tf.fill((1, 5), 0.5))
        >>> x[..., 0].numpy().round(1).tolist(), y.numpy().tolist()
        ([[[7.5, 13.5], [31.5, 37.5]]], [3])
    """

    output_size: tuple[int, int]
    _: KW_ONLY
    crop: float = 0.35
    aspect: float = 4 / 3
    flip: bool = True
    rand_augment: int = 0
    magnitude: float = 9.0
    fill: str = "gray"

    def __post_init__(self):
        if not 0 < self.crop <= 1:
            raise InputError(f"The crop is {self.crop}; a crop keeps a share of the area over 0 and at most 1.")
        if self.aspect < 1:
            raise InputError(f"The aspect is {self.aspect}; the largest aspect ratio of a crop is at least 1.")
        if not 0 <= self.magnitude <= _LEVELS or self.rand_augment < 0:
            raise InputError(
                f"RandAugment is asked for {self.rand_augment} changes of magnitude {self.magnitude}; expected 0 or "
                f"more, of magnitude 0 to {_LEVELS}."
            )

    @property
    def draws_per_image(self) -> int:
        """Five numbers for crop and mirror, two for each change of RandAugment."""
        return 5 + 2 * self.rand_augment

    def __call__(self, x: tf.Tensor, y: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The batch, its photos changed and its labels as they were.

        Args:
            x: float32 (batch, height, width, 3), 0 to 255.
            y: int32 (batch,).
            draws: float32 (batch, draws_per_image), uniform in [0, 1).

        Returns:
            x as float32 (batch, *output_size, 3), 0 to 255, and y.
        """
        corners = self._corners(draws[:, :5], tf.shape(x)[1:3])
        if not self.rand_augment:
            return _cropped(x, corners, self.output_size), y
        drawn = tf.reshape(draws[:, 5:], (-1, self.rand_augment, 2))
        operations = tf.cast(drawn[..., 0] * len(OPERATIONS), tf.int32)  # (batch, rand_augment)
        amounts = tf.where(drawn[..., 1] < 0.5, -1.0, 1.0) * self.magnitude / _LEVELS
        x = self._moved(x, corners, operations, amounts)
        for k in range(self.rand_augment):
            x = _recoloured(x, operations[:, k], amounts[:, k])
        return x, y

    def _corners(self, draws: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Where the result's corner pixels lie in the photo, in pixels: top, left, bottom, right, each (batch,)."""
        amount, stretch, down, right, mirror = tf.unstack(draws, axis=1)
        area = self.crop + (1 - self.crop) * amount
        reach = tf.minimum(math.log(self.aspect), -tf.math.log(area))
        ratio = tf.exp((2 * stretch - 1) * reach)

        def ends(share, place, side, pixels):
            side = tf.cast(side, tf.float32)
            start, half_pixel = place * (1 - share) * side, share * side / pixels / 2
            # An enlarged crop at the edge would begin within half a pixel of it, where there is nothing to see; and
            # the margin keeps the rounding of the op from reading beyond the edge.
            lowest, highest = _MARGIN * (side - 1), (1 - _MARGIN) * (side - 1)
            end = start + share * side - half_pixel - 0.5
            return [tf.clip_by_value(at, lowest, highest) for at in (start + half_pixel - 0.5, end)]

        top, bottom = ends(tf.sqrt(area / ratio), down, size[0], self.output_size[0])
        left, right = ends(tf.sqrt(area * ratio), right, size[1], self.output_size[1])
        mirrored = (mirror < 0.5) & self.flip
        return top, tf.where(mirrored, right, left), bottom, tf.where(mirrored, left, right)

    def _moved(self, x: tf.Tensor, corners: tuple[tf.Tensor, ...], operations: tf.Tensor, amounts: tf.Tensor):
        """The crops, turned and shifted as their operations say."""
        top, left, bottom, right = corners
        height, width = self.output_size
        none = tf.zeros_like(top)
        transform = ((right - left) / (width - 1), none, left, none, (bottom - top) / (height - 1), top)
        for k in range(self.rand_augment):
            # What is done last is undone first: a place in the result goes through the last change to the crop.
            transform = _after(transform, _change_of_shape(operations[:, k], amounts[:, k], self.output_size))
        mode, value = _FILLS[self.fill]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=x,
            transforms=tf.stack((*transform, none, none), axis=1),
            output_shape=self.output_size,
            fill_value=value,
            interpolation="BILINEAR",
            fill_mode=mode,
        )


def _cropped(x: tf.Tensor, corners: tuple[tf.Tensor, ...], output_size: tuple[int, int]) -> tf.Tensor:
    """The crops, resized. Three times faster than the projective transform."""
    height, width = tf.unstack(tf.cast(tf.shape(x)[1:3], tf.float32))
    boxes = tf.stack(corners, axis=1) / (tf.stack((height, width, height, width)) - 1)
    return tf.image.crop_and_resize(x, boxes, tf.range(tf.shape(x)[0]), output_size)


def _after(outer: Affine, inner: Affine) -> Affine:
    """First the inner, then the outer. No matrix product: those may be taken in bfloat16, off by a pixel."""
    a, b, c, d, e, f = outer
    p, q, r, s, t, u = inner
    return (a * p + b * s, a * q + b * t, a * r + b * u + c, d * p + e * s, d * q + e * t, d * r + e * u + f)


def _change_of_shape(operation: tf.Tensor, amount: tf.Tensor, size: tuple[int, int]) -> Affine:
    """Where the pixels come from: turned about the middle, sheared from the top left corner, or shifted."""
    height, width = size
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2

    def only(name, full):
        return tf.where(operation == OPERATIONS.index(name), amount * full, 0.0)

    angle = only("rotate", math.radians(_ROTATE))
    cosine, sine = tf.cos(angle), tf.sin(angle)
    across, along = only("shear_x", _SHEAR), only("shear_y", _SHEAR)
    # The corner lies half a pixel outside of the first pixel's middle.
    c = middle_x - cosine * middle_x + sine * middle_y + across / 2 + only("translate_x", _TRANSLATE * width)
    f = middle_y - sine * middle_x - cosine * middle_y + along / 2 + only("translate_y", _TRANSLATE * height)
    return (cosine, across - sine, c, along + sine, cosine, f)


def _recoloured(x: tf.Tensor, operation: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Each photo changed by its operation alone, if that is one of colours."""
    places = tf.dynamic_partition(tf.range(tf.shape(x)[0]), operation, len(OPERATIONS))
    parts = tf.dynamic_partition(x, operation, len(OPERATIONS))
    amounts = tf.dynamic_partition(amount[:, None, None, None], operation, len(OPERATIONS))
    changes = [_COLOURS.get(name, lambda part, amount: part) for name in OPERATIONS]
    changed = [change(part, own) for change, part, own in zip(changes, parts, amounts)]
    return tf.ensure_shape(tf.dynamic_stitch(places, changed), x.shape)


# Below, x is (n, height, width, 3) and amount (n, 1, 1, 1), from -1 to 1; only its size counts where it has no sign.


def _auto_contrasted(x: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Each channel stretched to 0 to 255; one that is flat, to within a level, stays."""
    low, high = tf.reduce_min(x, axis=(1, 2), keepdims=True), tf.reduce_max(x, axis=(1, 2), keepdims=True)
    return tf.where(high - low < 1, x, (x - low) * 255 / tf.maximum(high - low, 1))


def _equalized(x: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Each channel's levels as common as one another, by the whole numbers of Pillow's ImageOps.equalize."""
    height, width = x.shape[1:3]
    channels = tf.transpose(tf.cast(tf.round(x), tf.int32), (0, 3, 1, 2))
    levels = tf.reshape(channels, (-1, height * width))  # (3 n, pixels)
    counts = tf.math.bincount(levels, minlength=256, maxlength=256, axis=-1)
    brightest = tf.gather(counts, tf.reduce_max(levels, axis=-1), batch_dims=1)
    step = (height * width - brightest[:, None]) // 255
    darker = tf.cumsum(counts, axis=-1, exclusive=True)
    table = tf.minimum((step // 2 + darker) // tf.maximum(step, 1), 255)
    result = tf.gather(tf.where(step > 0, table, tf.range(256)), levels, batch_dims=1)
    return tf.cast(tf.transpose(tf.reshape(result, tf.shape(channels)), (0, 2, 3, 1)), tf.float32)


def _solarized(x: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    return tf.where(x >= _SOLARIZE * (1 - tf.abs(amount)), 255 - x, x)


def _posterized(x: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    step = 2 ** tf.round(_POSTERIZE * tf.abs(amount))
    return tf.floor(tf.round(x) / step) * step


def _enhanced(plain: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A change towards what is plain (amount under 0), or away from it."""

    def change(x, amount):
        degenerate = plain(x)
        return tf.clip_by_value(degenerate + (1 + _ENHANCE * amount) * (x - degenerate), 0, 255)

    return change


def _gray(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(x * _LUMA, axis=-1, keepdims=True)


def _mean_gray(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(_gray(x), axis=(1, 2), keepdims=True)


def _smooth(x: tf.Tensor) -> tf.Tensor:
    """Each pixel's share 5 / 13, its eight neighbours' 1 / 13; the edges as they are (Pillow's SMOOTH)."""
    rows = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    sums = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    inside = x[:, 1:-1, 1:-1]
    return x + tf.pad((sums + 4 * inside) / 13 - inside, ((0, 0), (1, 1), (1, 1), (0, 0)))


_COLOURS = {
    "auto_contrast": _auto_contrasted,
    "equalize": _equalized,
    "solarize": _solarized,
    "posterize": _posterized,
    "colour": _enhanced(_gray),
    "contrast": _enhanced(_mean_gray),
    "brightness": _enhanced(tf.zeros_like),
    "sharpness": _enhanced(_smooth),
}
# Identity stands in the middle, so that a number of 0.5 changes nothing.
OPERATIONS = (
    *tuple(_COLOURS)[:7],
    "identity",
    "sharpness",
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
