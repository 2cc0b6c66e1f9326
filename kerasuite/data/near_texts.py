"""The same text with a few words changed: found by the words that stand side by side in both.

Two texts are near where the sets of their runs of three words agree to at least four fifths (Jaccard), as estimated by
64 minima of random hashes of each set: Broder (1997), On the resemblance and containment of documents. The estimate's
standard error is 0.05 there.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from kerasuite import scripts

ALIKE = 0.8
NUM_HASHES = 64
RUN = 3
# Rows that agree in any of these bands of minima are compared: of pairs at 0.8, one in 6,000 has no such band.
_BANDS = 16
_WORD = re.compile(scripts.plain_word())
# Rows of train that one of test is held against in a band, at most: of messages made by a template there are thousands.
_MOST_IN_BAND = 256
_PRIME = np.uint64(2**31 - 1)
_ROWS_AT_ONCE = 4096


def minima(texts: Sequence[str]) -> np.ndarray:
    """The least of each hash over a text's runs of three words, letters' case and punctuation aside.

    Returns:
        uint16 (n, 64); all 0 for a text without words.

    Example:
        >>> a, b, c = minima(["A good, short film about it.", "a good short film about it", "quite another one"])
        >>> bool((a == b).all()), bool((a == c).all())
        (True, False)
    """
    rng = np.random.default_rng(0)
    seeds = rng.integers(2**63, size=NUM_HASHES, dtype=np.uint64)
    codes: dict[str, int] = {}
    found = np.zeros((len(texts), NUM_HASHES), np.uint16)
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        some = [_words(text, codes) for text in texts[start : start + _ROWS_AT_ONCE]]
        lengths = np.array([len(words) for words in some])
        runs = np.concatenate([_runs(words) for words in some]) if lengths.any() else np.empty(0, np.uint64)
        filled = np.flatnonzero(lengths)
        counts = np.maximum(lengths[filled] - RUN + 1, 1)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int)
        for k in range(NUM_HASHES if len(filled) else 0):
            least = np.minimum.reduceat(_hashed(runs ^ seeds[k]), starts)
            found[start + filled, k] = least & np.uint64(0xFFFF)
    return found


def _words(text: str, codes: dict[str, int]) -> np.ndarray:
    """A number for each word, the same in every process."""
    words = _WORD.findall(text.lower())
    for word in words:
        if word not in codes:
            codes[word] = zlib.crc32(word.encode("utf-8", "surrogatepass"))
    return np.array([codes[word] for word in words], np.uint64)


def _runs(words: np.ndarray) -> np.ndarray:
    """A number below 2**31 for each run of three words; of a shorter text, one for all of it."""
    if len(words) == 0:
        return words
    length = min(RUN, len(words))
    mixed = np.zeros(len(words) - length + 1, np.uint64)
    for k in range(length):
        # Below 2**31 times below 2**31: no overflow.
        mixed = (mixed * np.uint64(1_000_003) + words[k : k + len(mixed)]) % _PRIME
    return mixed


def _hashed(numbers: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits in which each bit depends on all of the given ones.

    Linear hashes, which are cheaper, miss pairs that these find. Constants: MurmurHash3's finaliser (Appleby).
    """
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(33))


def across(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of test that are nearly a row of train.

    Args:
        train, test: uint16 (n, 64), of `minima`.

    Returns:
        int arrays: the positions in test, in order; for each the position in train that is most like it, and how many
        of the 64 minima they share.
    """
    # The same text a thousand times over is looked at once.
    train, first = np.unique(train, axis=0, return_index=True)
    test, of_row = np.unique(test, axis=0, return_inverse=True)
    by_place = np.argsort(first)
    train, first = train[by_place], first[by_place]
    best, place = np.zeros(len(test), int), np.zeros(len(test), int)
    width = NUM_HASHES // _BANDS
    for band in range(_BANDS):
        mine = slice(band * width, (band + 1) * width)
        keys, test_keys = (np.ascontiguousarray(rows[:, mine]).view(np.uint64)[:, 0] for rows in (train, test))
        order = np.argsort(keys, kind="stable")
        start = np.searchsorted(keys[order], test_keys, "left")
        number = np.minimum(np.searchsorted(keys[order], test_keys, "right") - start, _MOST_IN_BAND)
        # A text without words has no minima, and is like nothing.
        number[~test.any(axis=1)] = 0
        _compare(train, test, order, start, number, best, place)
    best, place = best[of_row], first[place[of_row]] if len(first) else place[of_row]
    rows = np.flatnonzero(best >= ALIKE * NUM_HASHES)
    return rows, place[rows], best[rows]


def _compare(train, test, order, first, number, best, place) -> None:
    """Hold each row of test against the rows of train in its band, and keep the best; some pairs at a time."""
    rows = np.flatnonzero(number)
    for some in np.array_split(rows, max(1, int(number.sum()) // 2**20)):
        pairs = np.repeat(some, number[some])
        offsets = np.arange(len(pairs)) - np.repeat(np.cumsum(number[some]) - number[some], number[some])
        others = order[first[pairs] + offsets]
        shared = (train[others] == test[pairs]).sum(axis=1)
        # Of equal ones the first in train: written last.
        by_rank = np.lexsort((-others, shared))
        better = by_rank[shared[by_rank] > best[pairs[by_rank]]]
        place[pairs[better]], best[pairs[better]] = others[better], shared[better]
