"""Changes of training pictures that keep their meaning: turned, scaled, shifted, mirrored, partly erased."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import tensorflow as tf

_FILLS = {"nearest": "NEAREST", "zero": "CONSTANT"}


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a batch, decided by uniform numbers alone: the same numbers give the same pictures.

    Numbers of 0.5 throughout change nothing. Shifts are whole pixels, so that a picture that is only shifted and
    mirrored stays as sharp as it was.

    Args:
        rotation: largest angle in degrees, either way.
        scale: largest change of size, as a fraction: 0.1 gives 1 / 1.1 to 1.1 times the size.
        shift: largest shift either way, as a fraction of the side.
        flip: mirror half of the pictures left to right.
        erase: largest side of an erased square, as a fraction of the side; half of the pictures stay whole.
        fill: what comes in from outside: "nearest" (the edge's pixels) or "zero".

    Example:
        >>> Augmentation(flip=True)(tf.reshape([1.0, 2.0], (1, 1, 2, 1)), tf.zeros((1, 8))).numpy().ravel().tolist()
        [2.0, 1.0]
    """

    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    flip: bool = False
    erase: float = 0.0
    fill: str = "nearest"

    draws_per_image = 8

    @classmethod
    def usual(cls, data: str, **changes: float | bool | None) -> Augmentation:
        """What is usual with a data set, with some settings changed.

        Args:
            data: what `--data` names; data that is not a named set is not mirrored, since nobody knows if it may be.
            changes: settings by name; those that are None stay as they are.
        """
        return replace(
            DEFAULTS.get(data, LIGHT), **{name: value for name, value in changes.items() if value is not None}
        )

    def __call__(self, pixels: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """The batch, changed.

        Args:
            pixels: float32 (batch, height, width, channels).
            draws: float32 (batch, draws_per_image), uniform in [0, 1).
        """
        moves, erasure = draws[:, :5], draws[:, 5:]
        if self.rotation or self.scale or self.shift or self.flip:
            pixels = self._moved(pixels, moves)
        if self.erase:
            pixels = self._erased(pixels, erasure)
        return pixels

    def _moved(self, pixels: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pixels,
            transforms=self._transforms(draws, tf.shape(pixels)[1:3]),
            output_shape=tf.shape(pixels)[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode=_FILLS[self.fill],
        )

    def _transforms(self, draws: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        """Rows (a, b, c, d, e, f, 0, 0): a result's (x, y) comes from (a x + b y + c, d x + e y + f)."""
        height, width = tf.unstack(tf.cast(size, tf.float32))
        turn, grow, right, down, mirror = tf.unstack(draws, axis=1)
        angle = (2 * turn - 1) * math.radians(self.rotation)
        shrink = tf.exp((1 - 2 * grow) * math.log1p(self.scale))
        shift_x, shift_y = (
            tf.round((2 * right - 1) * self.shift * width),
            tf.round((2 * down - 1) * self.shift * height),
        )
        sign = tf.where(mirror < 0.5, -1.0, 1.0) if self.flip else tf.ones_like(mirror)

        a, b = sign * shrink * tf.cos(angle), -sign * shrink * tf.sin(angle)
        d, e = shrink * tf.sin(angle), shrink * tf.cos(angle)
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        from_x, from_y = middle_x + shift_x, middle_y + shift_y
        c, f = middle_x - a * from_x - b * from_y, middle_y - d * from_x - e * from_y
        return tf.stack((a, b, c, d, e, f, tf.zeros_like(a), tf.zeros_like(a)), axis=1)

    def _erased(self, pixels: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """A square of each picture replaced by the picture's mean colour."""
        size = tf.cast(tf.shape(pixels)[1:3], tf.float32)
        amount, right, down = tf.unstack(draws[:, :, None], axis=1)  # (batch, 1)
        half = tf.nn.relu(2 * amount - 1) * self.erase * tf.reduce_min(size) / 2
        columns, rows = tf.range(size[1])[None], tf.range(size[0])[None]  # (1, width), (1, height)
        in_columns = tf.abs(columns + 0.5 - right * size[1]) < half  # (batch, width)
        in_rows = tf.abs(rows + 0.5 - down * size[0]) < half  # (batch, height)
        erased = (in_rows[:, :, None] & in_columns[:, None])[..., None]
        return tf.where(erased, tf.reduce_mean(pixels, axis=(1, 2), keepdims=True), pixels)


LIGHT = Augmentation(scale=0.1, shift=0.1)

DEFAULTS = {
    "mnist": Augmentation(rotation=10, scale=0.1, shift=0.1, fill="zero"),
    "digits": Augmentation(rotation=10, scale=0.1, shift=0.1, fill="zero"),
    "fashion_mnist": Augmentation(shift=0.1, flip=True, fill="zero"),
    "cifar10": Augmentation(shift=0.125, flip=True, erase=0.5),
}
