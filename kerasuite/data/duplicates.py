"""The same picture under two names: found by a digest of its pixels."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np

from kerasuite.contracts import Examples, Splits, named


def digest(pixels: np.ndarray) -> bytes:
    """32 hexadecimal digits of the shape and the values of uint8 pixels (height, width, channels)."""
    return _start(pixels.shape, pixels).hexdigest().encode()


def _start(shape: tuple[int, ...], pixels: Any = b""):
    content = blake2b(str(tuple(shape)).encode(), digest_size=16)
    content.update(pixels)
    return content


def digests(pixels: np.ndarray) -> np.ndarray:
    """The digest of every row of uint8 (n, height, width, channels), as bytes (n,).

    Example:
        >>> a, b, c = digests(np.array([[[[1]]], [[[2]]], [[[1]]]], np.uint8))
        >>> bool(a == c), bool(a == b)
        (True, False)
    """
    start, rows = _start(pixels.shape[1:]), np.ascontiguousarray(pixels)
    result = np.empty(len(rows), "S32")
    for row, values in enumerate(rows):
        content = start.copy()
        content.update(values)
        result[row] = content.hexdigest()
    return result


def digests_of(examples: Examples) -> np.ndarray:
    """The digest of every example, as bytes (n,): of its array, or of its file as `files.check` found it."""
    if "image" in examples.inputs:
        return digests(examples.inputs["image"])
    return examples.facts["digest"]


def across(train_digests: np.ndarray, test_digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of test whose content is also in train.

    Returns:
        int arrays: the positions in test, in order, and for each the first position in train of the same content.

    Example:
        >>> across(np.array([b"a", b"b", b"b"]), np.array([b"c", b"b"]))
        (array([1]), array([1]))
    """
    contents, first = np.unique(train_digests, return_index=True)
    if len(contents) == 0:
        return np.array([], int), np.array([], int)
    place = np.searchsorted(contents, test_digests).clip(max=len(contents) - 1)
    found = np.flatnonzero(contents[place] == test_digests)
    return found, first[place[found]]


def conflicting(content_digests: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Positions of the rows whose content appears with more than one label, in order.

    Example:
        >>> conflicting(np.array([b"a", b"b", b"a", b"b"]), np.array([0, 1, 1, 1]))
        array([0, 2])
    """
    _, content = np.unique(content_digests, return_inverse=True)
    lowest, highest = np.full(len(labels), np.iinfo(int).max), np.full(len(labels), -1)
    np.minimum.at(lowest, content, labels)
    np.maximum.at(highest, content, labels)
    return np.flatnonzero(lowest[content] < highest[content])


def warnings(splits: Splits) -> list[str]:
    """Sentences on content that stands in training and in test, and on content with two labels; names the rows."""
    train, test = digests_of(splits.train), digests_of(splits.test)
    validation = digests_of(splits.validation)
    found = []
    for name, known, part in (("train", train, splits.train), ("validation", validation, splits.validation)):
        rows, places = across(known, test)
        if len(rows):
            pairs = [f"{splits.test.ids[row]} = {part.ids[place]}" for row, place in zip(rows, places)]
            found.append(named(f"{len(rows):,} of {len(test):,} test images are also in {name}", pairs))
    labels = np.concatenate([splits.train.labels, splits.validation.labels, splits.test.labels])
    rows = conflicting(np.concatenate([train, validation, test]), labels)
    if len(rows):
        ids = [id for part in (splits.train, splits.validation, splits.test) for id in part.ids]
        what = f"{len(rows):,} images have the same content as one of another class"
        found.append(named(what, [ids[row] for row in rows]))
    return found
