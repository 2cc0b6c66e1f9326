"""What `--data` and `--labels` may name, to labelled examples of images: data sets, .npz and IDX files, photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerasuite.contracts import Examples, Skipped
from kerasuite.data import classes, files, folders, named
from kerasuite.data import labels as labels_table
from kerasuite.data.arrays import idx_files, read_idx, read_npz
from kerasuite.data.duplicates import DIGEST, PERCEPTUAL_HASH
from kerasuite.data.folders import NAMES, PARTS, TAKES, TEST
from kerasuite.data.near import HASH_SHAPE
from kerasuite.data.splits import Source
from kerasuite.errors import InputError

Progress = Callable[[int, int], None]


def image_splits(data: str | Path | None, progress: Progress | None = None, labels: str | Path | None = None) -> Source:
    """Read what `--data` and `--labels` name, to train on it.

    Args:
        data: a data set's name, a .npz file, or a folder. With labels: the folder that their paths start from, or None;
            a data set's name is not used then.
        progress: called with the number of files checked, and of all files.
        labels: a csv that lists photos, see `labels.read`.

    Returns:
        The parts as given, with one numbering of the classes: those of train.

    Raises:
        InputError: it cannot be used; says why, and what can be done.
    """
    source = _read(data, PARTS, progress, labels)
    data = labels or data
    _refuse_shared_files(source)
    return classes.settled(source, data)


def labelled_images(
    data: str | Path | None,
    class_names: Sequence[str],
    progress: Progress | None = None,
    labels: str | Path | None = None,
) -> tuple[Examples, tuple[Skipped, ...], tuple[str, ...]]:
    """Read what `--data` and `--labels` name, to evaluate on it: the test part if there is one, else all of it.

    Args:
        class_names: the classes that labels are positions of in the result.
        labels: as for `image_splits`.

    Returns:
        Examples, skipped inputs, and notes.

    Raises:
        InputError: it cannot be used, or has classes that are not among class_names.
    """
    source = _read(data, (TEST,), progress, labels)
    data, notes = labels or data, source.notes
    if source.test is not None:
        notes += (f"Of {data}, the {len(source.test):,} rows of its test part are evaluated.",)
    examples = classes.joined(list(source.parts.values())) if source.test is None else source.test
    names = classes.present(examples)
    unknown = [name for name in names if name not in class_names]
    if (
        len(unknown) == len(names)
        and "image" in examples.inputs
        and not any(map(classes.is_number, class_names))
        and all(name in map(str, range(len(class_names))) for name in names)
    ):
        notes += (f"Labels are numbers, taken as positions, 0 for {class_names[0]!r}.",)
        numbers = np.array([int(name) if name in names else -1 for name in examples.class_names])
        examples = replace(examples, labels=numbers[examples.labels], class_names=tuple(class_names))
        return examples, source.skipped, notes
    return classes.known(examples, class_names, data), source.skipped, notes


def _read(
    data: str | Path | None, wanted: Sequence[str], progress: Progress | None, labels: str | Path | None
) -> Source:
    """The parts of a data set, before anything is asked of them. Of files, only the wanted parts if one is there."""
    if labels is not None:
        return _listed_photos(Path(labels).expanduser(), data, wanted, progress)
    path, name = Path(data).expanduser(), str(data)
    if name in NAMES:
        are_files = name in named.PHOTOS
        found = _class_folders(named.PHOTOS[name](), wanted, progress) if are_files else _of_parts(*named.arrays(name))
        note = f"{name} is taken for the data set of that name. What lies here under it is read by --data ./{name}."
        return replace(found, notes=(*found.notes, note)) if path.exists() else found
    if path.is_dir():
        return _of_parts(*read_idx(path)) if idx_files(path) else _class_folders(path, wanted, progress)
    if path.suffix.lower() in (".csv", ".tsv") and path.is_file():
        raise InputError(
            f"--data {data} is a table. To train on the photos that it lists: kerasuite run resnet_transfer --labels "
            f"{data}."
        )
    if path.is_file():
        return _of_parts(*read_npz(path))
    what = "neither a file nor a folder" if path.exists() else "neither the name of a data set nor there as a file"
    raise InputError(f"{data} is {what}. {TAKES}.")


def _of_parts(parts: dict[str, Examples], notes: tuple[str, ...]) -> Source:
    return Source(*(parts.get(part) for part in PARTS), notes=notes)


# Photos in folders of classes, or in a table


def _class_folders(root: Path, wanted: Sequence[str], progress: Progress | None) -> Source:
    parts, skipped = folders.files_by_part(root)
    if not any(parts.values()):
        others = f"{len(skipped)} other file(s)"
        raise InputError(f"{root} has no images in class folders ({others}).{folders.first_reason(skipped)} {TAKES}.")
    parts = _chosen(parts, wanted)
    for part in parts:
        parts[part], again = folders.each_once(parts[part])
        skipped += again
    return _photos(parts, skipped, (), progress)


def _listed_photos(table: Path, data: str | Path | None, wanted: Sequence[str], progress: Progress | None) -> Source:
    folder, notes = None if data is None else Path(data).expanduser(), ()
    # A pipeline has a data set by default, and cannot tell it from one that was asked for.
    if data is not None and (str(data) in NAMES or not folder.is_dir()):
        if str(data) not in NAMES:
            raise InputError(f"--data {data} is no folder. With --labels it is the folder that their paths start from.")
        folder, notes = None, (f"The photos are those that {table} lists; --data {data} is not used.",)
    # A run's own folder may have other photos of the names that a new table has beside it.
    found = labels_table.read(table, folder, own_first=tuple(wanted) == (TEST,))
    return _photos(_chosen(found.parts, wanted), found.skipped, notes + found.notes, progress)


def _chosen(parts: dict[str, list[folders.ClassFile]], wanted: Sequence[str]) -> dict[str, list[folders.ClassFile]]:
    """The wanted parts where one is there: to evaluate, the test part alone is opened."""
    return {part: parts[part] for part in parts if part in wanted} or parts


def _photos(
    parts: dict[str, list[folders.ClassFile]],
    skipped: list[Skipped],
    notes: tuple[str, ...],
    progress: Progress | None,
) -> Source:
    """Files by part, once they are found sound."""
    found = [file for part in parts.values() for file in part]
    pictures = dict(zip((file.id for file in found), files.check([file.path for file in found], progress)))
    skipped = skipped + [Skipped(id, picture.reason) for id, picture in pictures.items() if picture.reason]
    names = tuple(sorted({file.class_name for file in found}))
    examples = dict.fromkeys(PARTS)
    for part, part_files in parts.items():
        examples[part] = _path_examples(part_files, pictures, names)
        _refuse_lost_classes(part, part_files, examples[part], skipped)
    sound = [picture for picture in pictures.values() if not picture.reason]
    return Source(**examples, skipped=tuple(skipped), notes=notes + files.oddity_notes(sound))


def _path_examples(
    found: list[folders.ClassFile], pictures: dict[str, files.Picture], names: tuple[str, ...]
) -> Examples:
    """The sound files, with what `files.check` found in each as facts."""
    found = [file for file in found if not pictures[file.id].reason]
    known = [pictures[file.id] for file in found]
    labels = np.array([names.index(file.class_name) for file in found], np.int32)
    ids = np.array([file.id for file in found], dtype=str)
    facts = {
        "height": np.array([picture.height for picture in known], np.int32),
        "width": np.array([picture.width for picture in known], np.int32),
        "is_gray": np.array([picture.is_gray for picture in known], bool),
        DIGEST: np.array([picture.digest for picture in known], "S32"),
        PERCEPTUAL_HASH: np.array([picture.perceptual_hash for picture in known], np.uint8).reshape(-1, *HASH_SHAPE),
    }
    groups = np.array([file.group for file in found], dtype=str) if any(file.group for file in found) else None
    paths = np.array([file.path for file in found], dtype=str)
    return Examples({"path": paths}, labels, ids, names, groups, facts)


def _refuse_shared_files(source: Source) -> None:
    """Raise where two parts hold one file, by hard link, symbolic link or the like."""
    first: dict[tuple[int, int] | str, str] = {}
    for part in source.parts.values():
        if "path" not in part.inputs:
            return
        found = {folders.identity(path): id for path, id in zip(part.inputs["path"].tolist(), part.ids.tolist())}
        for identity in first.keys() & found.keys():
            raise InputError(
                f"{first[identity]} and {found[identity]} are one file, in two parts of the data: the score would "
                "be of rows the model has seen. Remove one of them."
            )
        first |= found


def _refuse_lost_classes(part: str, found: list[folders.ClassFile], examples: Examples, skipped: list[Skipped]) -> None:
    """Raise where none of the files of a class can be used."""
    reasons = dict(skipped)
    left = set(classes.present(examples))
    for name in sorted({file.class_name for file in found} - left):
        lost = [file.id for file in found if file.class_name == name]
        raise InputError(
            f"None of the {len(lost)} file(s) of class {name!r} in {part} can be used, the first is "
            f"{lost[0]}: {reasons[lost[0]]}. Replace them, or leave the class out."
        )
