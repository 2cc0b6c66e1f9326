"""The same photo saved anew, scaled, trimmed or mirrored: found by a perceptual hash.

The hash is that of pHash (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010): signs of
the low frequencies of a small gray copy. Here they are 256, since 64 do not tell objects on one table apart, and they
are compared with 0 rather than with their median: then a mirrored photo has the same signs but for every second column.

Measured by `benchmarks/near_duplicates.py` on TrashNet (2,527 photos of objects on a white board, 300 of them copied),
2026-11-23: every copy is found that was saved as JPEG of quality 50, scaled to half, made 10 % brighter or darker,
blurred, trimmed by 2 or 3 % on each side, or mirrored; 94 % of those with a line of text written on them; 54 % of those
trimmed by 3 % on two sides only, 59 % by 5 % on each. Of the 3.2 million pairs of files 30 lie within 44, and all show
one scene shot or saved twice; the nearest pair of different scenes lies at 49. The first 64 signs alone, within the 8
that find 97 % of the photos trimmed by 2 %, raise 35 false alarms there. Among the 500 million pairs of CIFAR-10's test
and train, 181 test rows lie within 44: by eye, all but about five are copies.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

MOST = 44
HASH_SHAPE = (2, 32)

_SIDE, _FREQUENCIES = 32, 16
_BITS = _FREQUENCIES**2
_TRIM = 0.025
_COSINES = np.cos(np.pi / (2 * _SIDE) * np.outer(np.arange(_FREQUENCIES), 2 * np.arange(_SIDE) + 1))
# Below this a frequency is not there, and its sign would be that of a rounding error.
_NOTHING = 1e-3
# Of a larger photo every second, third ... pixel: each of the 32 x 32 means is of 256 of them.
_LARGEST_SIDE = 512
_TEST_ROWS, _TRAIN_ROWS = 512, 2048


def perceptual_hash(pixels: np.ndarray) -> np.ndarray:
    """The signs of a photo's low frequencies, and those of the photo without its border.

    Args:
        pixels: uint8 (height, width, 1 or 3), upright.

    Returns:
        uint8 (2, 32): 256 bits of the whole, and 256 of what is left when each side is trimmed by 2.5 %; all 0 where
        there is nothing to see.

    Example:
        >>> photo = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
        >>> brighter = photo // 2 + 100
        >>> bool((np.bitwise_count(perceptual_hash(photo) ^ perceptual_hash(brighter)).sum(axis=1) < 10).all())
        True
    """
    steps = [max(1, side // _LARGEST_SIDE) for side in pixels.shape[:2]]
    pixels = np.ascontiguousarray(pixels[:: steps[0], :: steps[1]])
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("L")
    width, height = image.size
    bits = []
    for trim in (0, _TRIM):
        box = (width * trim, height * trim, width * (1 - trim), height * (1 - trim))
        small = np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.HAMMING, box), np.float64)
        frequencies = _COSINES @ small @ _COSINES.T
        frequencies[0, 0] = 0  # brightness
        bits.append(np.packbits(frequencies > _NOTHING))
    return np.stack(bits)


def across(
    train_hashes: np.ndarray, test_hashes: np.ndarray, most: int = MOST
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of test that show what a row of train shows.

    The distance of two photos is the number of signs, of 255, in which they differ: wholes compared, or the one whole
    with the other trimmed, and either of them mirrored; the least of these.

    Args:
        train_hashes, test_hashes: uint8 (n, 2, 32), of `perceptual_hash`.
        most: the largest distance.

    Returns:
        int arrays: the positions in test, in order; for each its nearest position in train, and their distance.

    Example:
        >>> photos = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 1), np.uint8)
        >>> hashes = np.stack([perceptual_hash(photo) for photo in photos])
        >>> mirrored = perceptual_hash(photos[1][:, ::-1])
        >>> across(hashes, np.stack([mirrored]))
        (array([0]), array([1]), array([0]))
    """
    rows, places, distances = [np.array([], int)], [np.array([], int)], [np.array([], int)]
    for start in range(0, len(test_hashes), _TEST_ROWS):
        place, distance = _nearest(train_hashes, test_hashes[start : start + _TEST_ROWS])
        near = np.flatnonzero(distance <= most)
        rows.append(near + start)
        places.append(place[near])
        distances.append(distance[near])
    return np.concatenate(rows), np.concatenate(places), np.concatenate(distances)


def _nearest(train_hashes: np.ndarray, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of some rows, its nearest row of train and how near that is; 256 where there is none to compare."""
    signs = [_signs(some[:, view]) for view in range(2)]
    place, least = np.zeros(len(some), int), np.full(len(some), _BITS)
    for start in range(0, len(train_hashes), _TRAIN_ROWS):
        block = train_hashes[start : start + _TRAIN_ROWS]
        whole, trimmed = (_signs(block[:, view]) for view in range(2))
        alike = np.maximum(_alike(signs[0], whole), _alike(signs[0], trimmed))
        np.maximum(alike, _alike(signs[1], whole), out=alike)
        best = alike.argmax(axis=1)
        distance = (_BITS - alike[np.arange(len(some)), best].astype(int)) // 2
        nearer = distance < least
        place[nearer], least[nearer] = best[nearer] + start, distance[nearer]
    return place, least


def _signs(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 and -1, float32 (n, 128) each: the columns that mirroring leaves, and those that it turns round.

    All 0, and so like nothing, where there is nothing to see.
    """
    bits = np.unpackbits(hashes, axis=1).astype(np.float32)
    signs = (bits * 2 - 1) * bits.any(axis=1, keepdims=True)
    signs = signs.reshape(-1, _FREQUENCIES, _FREQUENCIES)
    return signs[..., ::2].reshape(len(signs), -1), signs[..., 1::2].reshape(len(signs), -1)


def _alike(some: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Agreeing signs less differing ones, of each pair (n, m), as it is or mirrored."""
    turned = some[1] @ others[1].T
    return np.add(some[0] @ others[0].T, np.abs(turned, out=turned), out=turned)
