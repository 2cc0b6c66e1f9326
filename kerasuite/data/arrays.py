"""Images and labels in arrays: .npz and IDX files, made sound and of one kind."""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kerasuite.columns import RowIds
from kerasuite.contracts import Examples
from kerasuite.data.folders import TAKES, TEST, TRAIN, VALIDATION, listed
from kerasuite.errors import InputError

Parts = tuple[dict[str, Examples], tuple[str, ...]]

_NPZ_PARTS = {"train": TRAIN, "validation": VALIDATION, "val": VALIDATION, "test": TEST}
_IDX_PARTS = {"train": TRAIN, "t10k": TEST, "test": TEST}


def read_npz(path: Path) -> Parts:
    """The parts in a .npz file."""
    content = _npz_content(path)
    parts = {}
    for suffix, part in _NPZ_PARTS.items():
        x, y = f"x_{suffix}", f"y_{suffix}"
        if (x in content) != (y in content):
            raise InputError(f"{path} has {x if x in content else y} without its partner; it has {listed(content)}.")
        if x in content:
            parts[part] = (content[x], content[y])
    if not parts:
        raise InputError(
            f"{path} has no x_train and y_train (nor x_test and y_test); it has {listed(content) or 'nothing'}."
        )
    names = content.get("class_names")
    if names is not None and names.dtype.kind == "S":
        names = _text(names, "class_names")
    return of_arrays(parts, str(path), None if names is None else tuple(map(str, names.ravel().tolist())))


def _npz_content(path: Path) -> dict[str, np.ndarray]:
    wanted = [f"{axis}_{suffix}" for suffix in _NPZ_PARTS for axis in "xy"] + ["class_names"]
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not a .npz file, or is cut short. {TAKES}.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] if name in wanted else np.empty(0) for name in archive.files}
    except ValueError as fault:
        if "pickle" not in str(fault):
            raise InputError(f"{path} is damaged ({fault}). Copy it again.") from fault
        raise InputError(
            f"{path} holds an array of Python objects, which is not read, since it can run any code. "
            "Give all images one shape, and labels as numbers or strings, before saving."
        ) from fault
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as fault:
        raise InputError(f"{path} is damaged ({fault}). Copy it again.") from fault


_IDX_NAME = re.compile(r"(train|t10k|test)-(images|labels)[-.]idx([13])-ubyte(\.gz)?$")


def idx_files(folder: Path) -> list[Path]:
    """The IDX files in a folder, by their names."""
    return sorted(entry for entry in folder.iterdir() if _IDX_NAME.search(entry.name))


def read_idx(folder: Path, class_names: tuple[str, ...] | None = None) -> Parts:
    """The parts in a folder of IDX files; classes are named by their numbers if class_names is None."""
    found: dict[str, dict[str, Path]] = {}
    for entry in idx_files(folder):
        part, what, *_ = _IDX_NAME.search(entry.name).groups()
        other = found.setdefault(_IDX_PARTS[part], {}).setdefault(what, entry)
        # The same file, packed and unpacked, is common; two sets in one folder are not to be told apart.
        if entry.name.removesuffix(".gz") != other.name.removesuffix(".gz"):
            raise InputError(f"{folder} has {other.name} and {entry.name}. Give each data set a folder of its own.")
    for part, pair in found.items():
        if len(pair) < 2:
            raise InputError(
                f"{folder} has {next(iter(pair.values())).name} without the {part} {_other(pair)} beside it."
            )
    parts = {part: (_idx_array(pair["images"], 3), _idx_array(pair["labels"], 1)) for part, pair in found.items()}
    return of_arrays(parts, str(folder), class_names)


def _other(pair: dict) -> str:
    return "labels" if "images" in pair else "images"


def _idx_array(path: Path, rank: int) -> np.ndarray:
    """The array of an IDX file of unsigned bytes.

    Source: the format is described at the MNIST database's home page: two zeros, type, rank, sizes, values.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as fault:
        raise InputError(f"{path} cannot be unpacked ({fault}): it is damaged or cut short. Copy it again.") from fault
    start = 4 + 4 * rank
    if len(data) < start or data[:4] != bytes((0, 0, 8, rank)):
        raise InputError(
            f"{path} is not an IDX file of {rank} dimension(s) of bytes: it begins {data[:4].hex() or 'nowhere'}."
        )
    shape = np.frombuffer(data, ">u4", rank, 4).astype(int)
    if len(data) - start != shape.prod():
        raise InputError(
            f"{path} promises {shape.prod():,} values and has {len(data) - start:,}: it is cut short or damaged."
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def of_arrays(
    arrays: dict[str, tuple[np.ndarray, np.ndarray]], source: str, class_names: tuple[str, ...] | None
) -> Parts:
    """Examples of pairs of images and labels, by part, once they are found sound."""
    for part, (x, y) in arrays.items():
        if len(np.shape(x)) == 0 or len(np.shape(y)) == 0 or len(x) != len(y):
            raise InputError(
                f"{source}: x_{part} has shape {np.shape(x)} and y_{part} {np.shape(y)}; each row needs one label."
            )
    pixels, notes = _pixels({f"x_{part}": x for part, (x, _) in arrays.items()}, source)
    labels, names = _labels({f"y_{part}": y for part, (_, y) in arrays.items()}, source, class_names)
    parts = {}
    for part in arrays:
        ids = RowIds(f"x_{part}", np.arange(len(labels[f"y_{part}"])))
        parts[part] = Examples({"image": pixels[f"x_{part}"]}, labels[f"y_{part}"], ids, names)
    return parts, notes


def _pixels(arrays: dict[str, np.ndarray], source: str) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Each array as uint8 (n, height, width, channels), and what had to be done."""
    shaped = {name: _shaped(array, f"{source}: {name}") for name, array in arrays.items()}
    shapes = {name: array.shape[1:] for name, array in shaped.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(f"{source}: images differ in shape: {shapes}. All parts need the same.")
    for name, array in shaped.items():
        _refuse_not_finite(array, f"{source}: {name}")
    factor = _factor(shaped, source)
    result, change = {}, 0.0
    for name, array in shaped.items():
        result[name], largest = _as_bytes(array, factor)
        change = max(change, largest)
    if factor == 1:
        black = [name for name, pixels in result.items() if pixels.max() <= 1]
        note = (
            f"Pixels of {listed(black)} are whole numbers from 0 to 1, taken as nearly black of 255. Multiply by 255 "
            "if 1 is white."
        )
        return result, (note,) if black else ()
    if change <= 1e-3:
        return result, ()
    return result, (
        f"Pixels from 0 to 1 were brought to whole numbers from 0 to 255: the largest change is {change:.4f}.",
    )


def _shaped(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind not in "uifb":
        raise InputError(f"{name} has type {array.dtype}; pixels are numbers.")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape:
        raise InputError(f"{name} has shape {array.shape}; expected (n, height, width) or (n, height, width, 1 or 3).")
    if array.shape[-1] in (1, 3):
        return array
    mend = "Drop the fourth channel: x[..., :3]" if array.shape[-1] == 4 else "Give 1 or 3 channels, last"
    if array.shape[1] in (1, 3):
        mend = "Put the channels last: np.moveaxis(x, 1, -1)"
    raise InputError(f"{name} has shape {array.shape}; expected (n, height, width, 1 or 3). {mend}.")


def _refuse_not_finite(array: np.ndarray, name: str) -> None:
    if array.dtype.kind != "f":
        return
    # The sum of an image is finite only if its pixels are; few need a second look, and no mask of the whole is made.
    with np.errstate(all="ignore"):
        suspects = np.flatnonzero(~np.isfinite(array.sum(axis=(1, 2, 3), dtype=np.float64)))
    bad = [row for row in suspects if not np.isfinite(array[row]).all()]
    if bad:
        raise InputError(
            f"{name}: {len(bad):,} row(s) have pixels that are NaN or infinite, the first is row {bad[0]}. Remove them."
        )


def _factor(arrays: dict[str, np.ndarray], source: str) -> int:
    """What pixels are multiplied by, 1 or 255; one answer for all parts, each of which has to agree with it."""
    ranges = {name: (float(array.min()), float(array.max())) for name, array in arrays.items()}
    lows, highs = zip(*ranges.values())
    low, high = min(lows), max(highs)
    if low >= 0 and high <= 1 and all(array.dtype.kind in "fb" for array in arrays.values()):
        return 255
    spans = [f"from {least:g} to {most:g} in {name}" for name, (least, most) in ranges.items()]
    received = f"{source}: pixels run {', '.join(spans)}"
    with_fractions = [name for name, array in arrays.items() if not _is_whole(array)]
    of_unit = [name for name in with_fractions if ranges[name][1] <= 1]
    if of_unit and low >= 0 and high >= 2:
        raise InputError(
            f"{received}; expected one scale in all. Multiply {listed(of_unit)} by 255: np.round(x * 255)."
        )
    if with_fractions:
        # Pixels that do not reach 2 are of no scale up to 255: rounded, nothing would be left of them.
        is_resized = low >= 0 and high <= 255 and all(ranges[name][1] >= 2 for name in with_fractions)
        mend = (
            "Round them: np.round(x)"
            if is_resized
            else "Undo the normalisation, such as x * std + mean: the model has its own"
        )
        raise InputError(f"{received}, with fractions; expected 0 to 1, or whole numbers from 0 to 255. {mend}.")
    if low < 0 or high > 255:
        bits = max(int(high).bit_length(), 9)
        mend = (
            f"For {bits}-bit pixels: np.round(x / {2**bits - 1} * 255)"
            if low >= 0 and high <= 65535
            else "Undo the normalisation"
        )
        raise InputError(f"{received}; expected 0 to 255. {mend}.")
    return 1


def _in_slices(array: np.ndarray) -> Iterable[np.ndarray]:
    """A few hundred rows at a time, so that no copy of the whole is made."""
    return (array[start : start + 512] for start in range(0, len(array), 512))


def _is_whole(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or all((rows == np.round(rows)).all() for rows in _in_slices(array))


def _as_bytes(array: np.ndarray, factor: int) -> tuple[np.ndarray, float]:
    """The array as uint8, and the largest change by rounding, in the array's own unit."""
    if array.dtype == np.uint8:
        return array, 0.0
    result, change = np.empty(array.shape, np.uint8), 0.0
    for start, rows in zip(range(0, len(array), 512), _in_slices(array)):
        whole = np.round(rows * np.float64(factor))
        result[start : start + 512] = whole
        change = max(change, float(np.abs(whole / factor - rows).max()))
    return result, change


def _labels(
    arrays: dict[str, np.ndarray], source: str, class_names: tuple[str, ...] | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels as positions in the class names, and these."""
    flat = {name: _flat(array, f"{source}: {name}") for name, array in arrays.items()}
    if len({array.dtype.kind == "U" for array in flat.values()}) > 1:
        raise InputError(f"{source}: labels are strings in one part and numbers in another. Give all of one kind.")
    values = np.unique(np.concatenate([np.unique(array) for array in flat.values()]))
    if class_names is None:
        return {name: np.searchsorted(values, array) for name, array in flat.items()}, tuple(map(str, values.tolist()))
    if len(set(class_names)) < len(class_names):
        raise InputError(f"{source}: class_names has a name twice: {listed(class_names)}. Each class needs its own.")
    named = values.dtype.kind == "U"
    unknown = [value for value in values.tolist() if (value not in class_names if named else value >= len(class_names))]
    if unknown:
        raise InputError(
            f"{source}: label(s) {listed(unknown)} have no place in class_names, which has {len(class_names)}."
        )
    if not named:
        return flat, class_names
    places = np.array([class_names.index(value) for value in values.tolist()])
    return {name: places[np.searchsorted(values, array)] for name, array in flat.items()}, class_names


def _text(array: np.ndarray, name: str) -> np.ndarray:
    """Bytes as strings."""
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as fault:
        raise InputError(f"{name} holds bytes that are not UTF-8 ({fault.object!r}). Save it as strings.") from fault


def _flat(array: np.ndarray, name: str) -> np.ndarray:
    """Labels as int or string (n,)."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        raise InputError(f"{name} has shape {array.shape}, one column a class; expected (n,). Give y.argmax(axis=1).")
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}; expected one label a row: (n,).")
    if array.dtype.kind == "S":
        return _text(array, name)
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind not in "uib":
        raise InputError(f"{name} has type {array.dtype}; labels are whole numbers or strings. Give y.astype(int).")
    if array.min() < 0:
        row = int(np.argmax(array < 0))
        raise InputError(
            f"{name}: {(array < 0).sum():,} label(s) are negative, the first is {array[row]} in row {row}. "
            "Remove these rows."
        )
    return array.astype(np.int64)
