"""Changes of training pictures: turned, scaled, shifted, mirrored, partly erased, mixed with one another."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from kerasuite.data.batches import Augment
from kerasuite.errors import InputError

_FILLS = {"nearest": "NEAREST", "zero": "CONSTANT"}
# Straight pieces that stand for the curve of a distribution.
_INTERVALS = 1024


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
        >>> x, y = Augmentation(flip=True)(tf.reshape([1.0, 2.0], (1, 1, 2, 1)), tf.constant([3]), tf.zeros((1, 8)))
        >>> x.numpy().ravel().tolist(), y.numpy().tolist()
        ([2.0, 1.0], [3])
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

    def __call__(self, x: tf.Tensor, y: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The batch, its pictures changed and its labels as they were.

        Args:
            x: float32 (batch, height, width, channels).
            y: int32 (batch,).
            draws: float32 (batch, draws_per_image), uniform in [0, 1).
        """
        moves, erasure = draws[:, :5], draws[:, 5:]
        if self.rotation or self.scale or self.shift or self.flip:
            x = self._moved(x, moves)
        if self.erase:
            x = self._erased(x, erasure)
        return x, y

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


@dataclass(frozen=True)
class Mixing:
    """Each row mixed with the row before it in the batch, and its label in the same shares.

    The first row's partner is the last. Where several workers share a batch, each mixes the rows of its own share, so
    that the number of workers shows in what is mixed. Rows that fill up a short batch are partners like any other.

    Args:
        num_classes: length of a mixed label.
        mixup: alpha of Beta(alpha, alpha), from which each row's own share is drawn; x and the label are averaged in
            that share (Zhang et al. 2018, arXiv:1710.09412). x may be of any rank: pixels, maps or vectors.
        cutmix: alpha of Beta(alpha, alpha), from which the share of x is drawn that stays a row's own; a rectangle
            anywhere shows its partner (Yun et al. 2019, arXiv:1905.04899). Where the rectangle reaches over the edge,
            the label's share is that of the area which is left. x is (batch, height, width, channels).

    0 leaves one of them out. With both, each row is mixed in one way alone, half of the rows in either.

    Example:
        >>> x, y = Mixing(2, mixup=0.4)(tf.constant([[0.0], [8.0]]), tf.constant([0, 1]), tf.fill((2, 4), 0.5))
        >>> x.numpy().ravel().tolist(), y.numpy().tolist()
        ([4.0, 4.0], [[0.5, 0.5], [0.5, 0.5]])
    """

    num_classes: int
    mixup: float = 0.0
    cutmix: float = 0.0

    draws_per_image = 4

    def __call__(self, x: tf.Tensor, y: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The batch, mixed.

        Args:
            x: float32 (batch, ...).
            y: int32 (batch,).
            draws: float32 (batch, draws_per_image), uniform in [0, 1).

        Returns:
            x, and y as float32 (batch, num_classes); both as they came where neither alpha is over 0.
        """
        if not self.mixup and not self.cutmix:
            return x, y
        way, amount, right, down = tf.unstack(draws, axis=1)
        shares = _beta(self.mixup, amount) if self.mixup else tf.ones_like(amount)  # (batch,)
        own = _spread(shares, x)
        if self.cutmix:
            is_cut = way >= 0.5 if self.mixup else tf.ones_like(way, tf.bool)
            uncovered = self._uncovered(x, amount, right, down)
            shares = tf.where(is_cut, tf.reduce_mean(uncovered, axis=(1, 2, 3)), shares)
            own = tf.where(_spread(is_cut, x), uncovered, own)
        return _mixed(x, own), _mixed(tf.one_hot(y, self.num_classes), shares[:, None])

    def _uncovered(self, x: tf.Tensor, amount: tf.Tensor, right: tf.Tensor, down: tf.Tensor) -> tf.Tensor:
        """1 where a row stays as it is, 0 in the rectangle of its partner: float32 (batch, height, width, 1)."""
        if x.shape.rank != 4:
            raise InputError(f"CutMix needs maps (batch, height, width, channels), not {x.shape}. Pass --cutmix 0.")
        side = tf.sqrt(1 - _beta(self.cutmix, amount))

        def covered(middle, length):  # (batch, length)
            size, places = tf.cast(length, tf.float32), tf.range(length)[None]
            half = tf.cast(side * size, tf.int32)[:, None] // 2
            middle = tf.cast(middle * size, tf.int32)[:, None]
            return (places >= middle - half) & (places < middle + half)

        height, width = tf.unstack(tf.shape(x)[1:3])
        return 1 - tf.cast(covered(down, height)[:, :, None] & covered(right, width)[:, None], tf.float32)[..., None]


def _spread(values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Numbers of the rows (batch,) as (batch, 1, ...), to be combined with x (batch, ...)."""
    return tf.reshape(values, (-1, *[1] * (x.shape.rank - 1)))


def _mixed(rows: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """Each row in its own share, and the row before it in the rest."""
    return own * rows + (1 - own) * tf.roll(rows, 1, axis=0)


def _beta(alpha: float, draws: tf.Tensor) -> tf.Tensor:
    """Uniform numbers made numbers of Beta(alpha, alpha): its quantiles, straight lines between 1,024 of them."""
    table, place = tf.constant(_quantiles(alpha)), draws * _INTERVALS
    below = tf.minimum(tf.cast(place, tf.int32), _INTERVALS - 1)
    low, high = tf.gather(table, below), tf.gather(table, below + 1)
    return low + (place - tf.cast(below, tf.float32)) * (high - low)


@functools.cache
def _quantiles(alpha: float) -> np.ndarray:
    """The quantiles 0, 1 / 1,024, ..., 1 of Beta(alpha, alpha), float32 (1025,), by bisection."""
    wanted = np.linspace(0, 1, _INTERVALS + 1)
    low, high = np.zeros_like(wanted), np.ones_like(wanted)
    with tf.init_scope():  # at once, also while a function is traced
        for _ in range(50):
            middle = (low + high) / 2
            under = tf.math.betainc(np.float64(alpha), np.float64(alpha), middle).numpy() < wanted
            low, high = np.where(under, middle, low), np.where(under, high, middle)
    return high.astype(np.float32)


@dataclass(frozen=True)
class Chain:
    """Several changes, one after another, each decided by numbers of its own."""

    steps: tuple[Augment, ...]

    @property
    def draws_per_image(self) -> int:
        """The numbers that all of them take."""
        return sum(step.draws_per_image for step in self.steps)

    def __call__(self, x: tf.Tensor, y: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The batch, changed by each in turn; the first takes the first of the draws (batch, draws_per_image)."""
        for step, own in zip(self.steps, tf.split(draws, [step.draws_per_image for step in self.steps], axis=1)):
            x, y = step(x, y, own)
        return x, y


def together(*augmentations: Augment | None) -> Augment | None:
    """One change made of several, in order; those that are None are left out, and None is left if all are.

    Example:
        >>> together(Augmentation(flip=True), None, Mixing(10, mixup=0.2)).draws_per_image
        12
    """
    steps = tuple(step for step in augmentations if step is not None)
    return Chain(steps) if len(steps) > 1 else next(iter(steps), None)
