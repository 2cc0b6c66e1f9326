"""Files of pictures: which of them can be used, and what is in them."""

from __future__ import annotations

import io
import os
import re
import struct
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from kerasuite.contracts import Skipped
from kerasuite.data.duplicates import digest
from kerasuite.data.near import perceptual_hash

MAXIMAL_PIXELS = 100_000_000
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP")
_ORIENTATION = 0x0112
_SHARE = 4096

ANIMATED, CMYK, SIXTEEN_BIT, ALPHA = "animated", "CMYK", "16-bit", "alpha"
_ODDITIES = {
    ANIMATED: "animated: their first frame is used",
    CMYK: "CMYK: they are converted to RGB without a colour profile",
    SIXTEEN_BIT: "16-bit: the high byte of each pixel is used",
    ALPHA: "with an alpha channel: where they are transparent, the colours that lie behind are used",
}


class Picture(NamedTuple):
    """What is known of one file of pictures.

    Args:
        height, width: in pixels, upright.
        digest: of the decoded pixels, see `duplicates.digest`.
        perceptual_hash: uint8 (2, 32), see `near.perceptual_hash`; None of a file that cannot be used.
        oddities: what a reader should know ("animated", "CMYK", "16-bit", "alpha").
        reason: why the file cannot be used; empty if it can.
    """

    path: str
    height: int = 0
    width: int = 0
    is_gray: bool = False
    orientation: int = 1
    digest: bytes = b""
    perceptual_hash: np.ndarray | None = None
    oddities: tuple[str, ...] = ()
    reason: str = ""


def check(paths: Sequence[str | os.PathLike], progress: Callable[[int, int], None] | None = None) -> list[Picture]:
    """Read every file once, in threads, and say what is in it or why it cannot be used. Keeps no pixels.

    Args:
        progress: called with how many files are done, and how many there are.

    Returns:
        One Picture a path, in the same order.
    """
    return _each(lambda path: _one(path)[0], paths, progress)


def read(paths: Sequence[str]) -> tuple[dict[str, bytes], list[Skipped]]:
    """The bytes of the files that can be used, by path, and the others with the reason."""
    read = _each(_one, paths)
    usable = {picture.path: data for picture, data in read if not picture.reason}
    return usable, [Skipped(picture.path, picture.reason) for picture, _ in read if picture.reason]


def _each(work: Callable, paths: Sequence, progress: Callable[[int, int], None] | None = None) -> list:
    """What the work makes of each path, in threads and in order."""
    results = []
    with warnings.catch_warnings(), ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as threads:
        warnings.simplefilter("ignore")  # Pillow's warnings of large or odd files; what matters becomes a reason.
        # A share at a time: handed over all at once, a million paths would wait as a million futures.
        for start in range(0, len(paths), _SHARE):
            for result in threads.map(work, paths[start : start + _SHARE]):
                results.append(result)
                if progress is not None:
                    progress(len(results), len(paths))
    return results


def oddity_notes(pictures: Sequence[Picture]) -> tuple[str, ...]:
    """A sentence for each kind of odd file, with how many there are."""
    counts = Counter(oddity for picture in pictures for oddity in picture.oddities)
    return tuple(f"{counts[kind]:,} file(s) are {meaning}." for kind, meaning in _ODDITIES.items() if counts[kind])


class _UnusableError(Exception):
    """Why a file cannot be used."""


def _one(path: str | os.PathLike) -> tuple[Picture, bytes]:
    """What is in a file, and its bytes."""
    path, data = os.fspath(path), b""
    try:
        _refuse_strange_name(path)
        data = _content(path)
        return _picture(path, data), data
    except _UnusableError as unusable:
        return Picture(path, reason=str(unusable)), data


def _refuse_strange_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as fault:
        raise _UnusableError("its path is not UTF-8: rename it") from fault


def _content(path: str) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as fault:
        raise _UnusableError(f"cannot be read: {fault.strerror}") from fault
    if not data:
        raise _UnusableError("the file is empty (0 bytes)")
    return data


def _picture(path: str, data: bytes) -> Picture:
    orientation, oddities = _header(data)
    if orientation != 1:
        _refuse_hidden_orientation(data, orientation)
    pixels = _decoded(data)
    gray = _is_gray(pixels)
    shown = upright(pixels[..., :1] if gray else pixels, orientation)
    height, width = shown.shape[:2]
    return Picture(path, height, width, gray, orientation, digest(shown), perceptual_hash(shown), oddities)


def _header(data: bytes) -> tuple[int, tuple[str, ...]]:
    """Orientation and oddities, from the opening of the file: nothing is decoded."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            _refuse_bomb(image.width * image.height)
            if image.format not in _FORMATS:
                raise _UnusableError(f"{image.format} files are not read; save it as PNG or JPEG")
            if image.format == "BMP" and image.mode == "P":
                # TensorFlow gives the numbers of its colours for their brightness.
                raise _UnusableError("a BMP with a palette of colours, which TensorFlow does not read; save it as PNG")
            is_jpeg = data.startswith(b"\xff\xd8\xff")
            orientation = _orientation(image, data, is_jpeg)
            if orientation != 1 and not is_jpeg:
                raise _UnusableError(
                    f"turned by EXIF (orientation {orientation}), which only JPEGs may be; save it upright"
                )
            return orientation, tuple(_oddities(image, data, is_jpeg))
    except Image.DecompressionBombError as bomb:
        _refuse_bomb(int(re.search(r"\d+", str(bomb))[0]))
        raise
    except UnidentifiedImageError as fault:
        raise _UnusableError("not an image, whatever its name says") from fault
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as fault:
        raise _UnusableError("broken header") from fault


def _refuse_bomb(pixels: int) -> None:
    if pixels > MAXIMAL_PIXELS:
        raise _UnusableError(f"{pixels:,} pixels; at most {MAXIMAL_PIXELS:,} are read: scale it down")


def _orientation(image: Image.Image, data: bytes, is_jpeg: bool) -> int:
    # Pillow decodes a whole PNG to look for EXIF behind the pixels.
    if not is_jpeg and not any(mark in data for mark in (b"eXIf", b"EXIF", b"Raw profile type")):
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _refuse_hidden_orientation(data: bytes, orientation: int) -> None:
    """Pillow finds an orientation in places (XMP, far behind the start) where the graph does not look."""
    from kerasuite.data.images import exif_orientation

    if int(exif_orientation(data)) != orientation:
        raise _UnusableError(f"turned by metadata other than plain EXIF (orientation {orientation}); save it upright")


def _oddities(image: Image.Image, data: bytes, is_jpeg: bool) -> Iterator[str]:
    # An MPO is a JPEG with further views behind it, and no animation.
    if not is_jpeg and getattr(image, "is_animated", False):
        yield ANIMATED
    if image.mode == "CMYK":
        yield CMYK
    if image.format == "PNG" and data[24] == 16:
        yield SIXTEEN_BIT
    if "A" in image.mode or "transparency" in image.info:
        yield ALPHA


def _decoded(data: bytes) -> np.ndarray:
    """uint8 (height, width, 3), as the graph will decode it."""
    import tensorflow as tf

    try:
        return tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
    except tf.errors.OpError as fault:
        raise _UnusableError("truncated or damaged, or a variant that TensorFlow does not read") from fault


def _is_gray(pixels: np.ndarray) -> bool:
    """Whether red, green and blue are equal; the middle row is asked first, for speed."""
    equal = lambda part: bool((part == part[..., :1]).all())  # noqa: E731
    return equal(pixels[len(pixels) // 2]) and equal(pixels)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (h, w, c) turned by their EXIF orientation, contiguous."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
