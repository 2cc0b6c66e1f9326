"""The same picture or text under two names: found by a digest, or nearly the same by a hash that forgives a little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from kerasuite.contracts import Examples, Splits, named
from kerasuite.data import near as near_photos
from kerasuite.data import near_texts

DIGEST, PERCEPTUAL_HASH, MINIMA = "digest", "perceptual_hash", "minima"
# Facts by which nearly the same rows are found: what finds them, and in what they may differ.
_NEAR = {
    PERCEPTUAL_HASH: (near_photos.across, "saved anew, mirrored, or the same scene"),
    MINIMA: (near_texts.across, "the same but for a few words"),
}


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


def text_digests(texts: Sequence[str]) -> np.ndarray:
    """The digest of every text, as bytes (n,); spaces around it do not count.

    Example:
        >>> a, b, c = text_digests(["so good", " so good", "So good"])
        >>> bool(a == b), bool(a == c)
        (True, False)
    """
    contents = (text.strip().encode("utf-8", "surrogatepass") for text in texts)
    return np.array([blake2b(content, digest_size=16).hexdigest() for content in contents], "S32")


def digests_of(examples: Examples) -> np.ndarray:
    """The digest of every example, as bytes (n,): as its facts have it, or of its array."""
    if DIGEST in examples.facts:
        return examples.facts[DIGEST]
    if "text" in examples.inputs:
        return text_digests(examples.inputs["text"])
    return digests(examples.inputs["image"])


def noun(examples: Examples) -> str:
    """What the examples are, in a sentence."""
    return "texts" if "text" in examples.inputs else "images"


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


class Seen(NamedTuple):
    """Positions of the rows that were trained on, in order: of the same content, and of nearly the same only."""

    exact: np.ndarray
    near: np.ndarray


def remembered(*parts: Examples) -> dict[str, np.ndarray]:
    """What tells later whether a row was among these, as arrays by name: digests, and hashes that find near ones."""
    known = {DIGEST: np.concatenate([digests_of(part) for part in parts])}
    for fact in _NEAR:
        if all(fact in part.facts for part in parts):
            known[fact] = np.concatenate([part.facts[fact] for part in parts])
    return known


def seen(known: Mapping[str, np.ndarray], examples: Examples, *, near: bool) -> Seen:
    """Which examples were trained on.

    Args:
        known: what `remembered` gave of the rows trained on.
        near: look for nearly the same rows too. Arrays of pixels have no perceptual hash: none of them is near.

    Example:
        >>> zero, one = np.zeros((1, 2, 2, 1), np.uint8), np.ones((1, 2, 2, 1), np.uint8)
        >>> seen(remembered(Examples({"image": one})), Examples({"image": np.stack([*zero, *one])}), near=False).exact
        array([1])
    """
    exact, _ = across(known[DIGEST], digests_of(examples))
    rows, *_ = _nearly(known, examples, exact) if near else [np.array([], int)]
    return Seen(exact, rows)


def _nearly(
    known: Mapping[str, np.ndarray], examples: Examples, exact: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows that are nearly among the known, without the exact ones; where among them; in what they may differ."""
    others = np.setdiff1d(np.arange(len(examples)), exact)
    for fact, (find, how) in _NEAR.items():
        if fact in known and fact in examples.facts:
            rows, places, _ = find(known[fact], examples.facts[fact][others])
            return others[rows], places, how
    return np.array([], int), np.array([], int), ""


def warnings(splits: Splits, *, near: bool = False) -> list[str]:
    """Sentences on content that stands in two parts, and on content with two labels; names the rows.

    Args:
        near: name nearly the same rows too, where their facts tell them.
    """
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    contents = {name: digests_of(part) for name, part in parts.items()}
    found = []
    for known, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
        rows, places = across(contents[known], contents[other])
        if len(rows):
            what = f"{len(rows):,} of {len(parts[other]):,} {other} {noun(splits.test)} are also in {known}"
            found.append(named(what, _pairs(parts[other], rows, "=", parts[known], places)))
        if near:
            rows, places, how = _nearly(parts[known].facts, parts[other], rows)
            what = f"{len(rows):,} of {len(parts[other]):,} {other} {noun(splits.test)} are nearly the same as some in"
            pairs = _pairs(parts[other], rows, "~", parts[known], places)
            found += [named(f"{what} {known} ({how})", pairs)] if len(rows) else []
    labels = np.concatenate([part.labels for part in parts.values()])
    if labels.ndim == 2:
        # Each set of classes is a label of its own here.
        labels = np.unique(labels, axis=0, return_inverse=True)[1]
    rows = conflicting(np.concatenate(list(contents.values())), labels)
    if len(rows):
        ids = [id for part in parts.values() for id in part.ids]
        what = f"{len(rows):,} {noun(splits.test)} have the same content as one of another class"
        found.append(named(what, [ids[row] for row in rows]))
    return found


def _pairs(examples: Examples, rows: np.ndarray, sign: str, known: Examples, places: np.ndarray) -> list[str]:
    """The ids of rows beside those of what they are like."""
    return [f"{examples.ids[row]} {sign} {known.ids[place]}" for row, place in zip(rows, places)]
