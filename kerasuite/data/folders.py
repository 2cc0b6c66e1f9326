"""Folders of class folders of files, with or without train, validation and test above them: which files are there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from kerasuite.contracts import Skipped
from kerasuite.errors import InputError

TRAIN, VALIDATION, TEST = PARTS = ("train", "validation", "test")
NAMES = ("mnist", "fashion_mnist", "cifar10", "digits", "flowers", "trashnet_sample")
TAKES = (
    f"--data takes {', '.join(NAMES)}, a .npz file (x_train, y_train, x_test, y_test), a folder of IDX files "
    "(train-images-idx3-ubyte.gz, ...), or a folder with one folder of images for each class"
)

EXTENSIONS = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".gif", ".bmp", ".webp")

PART_FOLDERS = (
    dict.fromkeys(("train", "training"), TRAIN)
    | dict.fromkeys(("validation", "val", "valid", "dev"), VALIDATION)
    | dict.fromkeys(("test", "testing"), TEST)
)


class FileKind(NamedTuple):
    """What the files of a data set are.

    Args:
        plural: as sentences call them.
        extensions: how their names end.
        takes: what `--data` takes, as a sentence.
    """

    plural: str
    extensions: tuple[str, ...]
    takes: str


IMAGES = FileKind("images", EXTENSIONS, TAKES)

# What lies beside the class folders of a data set that is passed on, and is no lost photo.
_PAPERS = ("license", "licence", "readme", "copying")
_UNREAD_EXTENSIONS = (".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".svg", ".psd", ".ico", ".cr2", ".nef")


def listed(names: Iterable, most: int = 12) -> str:
    """Names in a sentence, the first of them if they are many."""
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def called(paths: Iterable[Path]) -> dict[Path, str]:
    """The shortest ends of paths that tell files apart; several names of one file have the same.

    >>> list(called([Path("/a/x.csv"), Path("/b/x.csv"), Path("/b/y.csv")]).values())
    ['a/x.csv', 'b/x.csv', 'y.csv']
    """
    whole = {path: path.resolve().parts for path in paths}

    def shortest(own: tuple[str, ...]) -> str:
        others = {parts for parts in whole.values() if parts != own}
        lengths = (n for n in range(1, len(own)) if all(parts[-n:] != own[-n:] for parts in others))
        return "/".join(own[-next(lengths, len(own)) :])

    return {path: shown(shortest(own)) for path, own in whole.items()}


def shown(name: str) -> str:
    """A file's name with what is not UTF-8 in it escaped."""
    return name.encode(errors="backslashreplace").decode()


def files_by_part(root: Path, kind: FileKind = IMAGES) -> tuple[dict[str, list[ClassFile]], list[Skipped]]:
    """The files of each part; everything is train where the folders are classes."""
    folders = _folders_in(root)
    if not folders:
        raise InputError(f"{root} has no folders in it. {kind.takes}.")
    part_folders = {folder: PART_FOLDERS.get(folder.name.lower()) for folder in folders}
    # A class may be called "train" too: then it holds files, and no folders.
    is_split = any(part and _folders_in(folder) for folder, part in part_folders.items())
    skipped = _loose_files(root, root)
    if not is_split:
        return {TRAIN: _of_folder(root, root, kind, skipped)}, skipped
    parts: dict[str, list[ClassFile]] = {}
    for folder, part in part_folders.items():
        if part is None:
            skipped.append(
                Skipped(folder.name + "/", f"a folder beside {', '.join(sorted(set(PART_FOLDERS) & _names(folders)))}")
            )
        elif part in parts:
            raise InputError(f"{root} has two folders for {part}: {', '.join(sorted(_names(folders)))}. Keep one.")
        else:
            skipped += _loose_files(folder, root)
            parts[part] = _of_folder(folder, root, kind, skipped)
            if not parts[part]:
                raise InputError(f"{folder} has no {kind.plural} in class folders. Add some, or remove the folder.")
    return parts, skipped


def _names(folders: Iterable[Path]) -> set[str]:
    return {folder.name.lower() for folder in folders}


def _of_folder(folder: Path, root: Path, kind: FileKind, skipped: list[Skipped]) -> list[ClassFile]:
    found, others = _class_files(folder, root, kind)
    skipped += others
    filled = {file.class_name for file in found}
    empty = [entry.name for entry in _folders_in(folder) if entry.name not in filled]
    if empty and filled:
        within = [each for each in others if os.path.relpath(root / each.id, folder).split(os.sep)[0] in empty]
        raise InputError(
            f"{folder} has no {kind.plural} of the class(es) {listed(empty)}. Add some, or remove the folder(s)."
            f"{first_reason(within)}"
        )
    return found


def first_reason(skipped: Sequence[Skipped]) -> str:
    """A sentence on why the first of what could not be used could not; nothing where there is nothing."""
    return f" The first that is there is {skipped[0]}." if skipped else ""


def find(names: Iterable[str]) -> tuple[list[str], list[Skipped]]:
    """The files that names stand for: a file for itself, a folder for the image files below it.

    Returns:
        The files, and what else lies in the folders.

    Raises:
        InputError: a name that is neither, or a folder without images.
    """
    found, skipped = [], []
    for name in names:
        path = Path(name)
        if path.is_dir():
            every = [file for file in walk(path) if not _is_paper(Path(file))]
            below = [file for file in every if _extension(file) in EXTENSIONS]
            others = [_unread(file, file, IMAGES) for file in every if _extension(file) not in EXTENSIONS]
            if not below:
                raise InputError(f"{name} has no image files in it ({', '.join(EXTENSIONS)}).{first_reason(others)}")
            found += below
            skipped += others
        elif path.exists():
            found.append(name)
        else:
            raise InputError(f"{name} is neither a file nor a folder.")
    return found, skipped


def _unread(id: str, path: str, kind: FileKind) -> Skipped:
    if _extension(path) in _UNREAD_EXTENSIONS:
        return Skipped(id, f"{_extension(path)} files are not read; save it as PNG or JPEG")
    return Skipped(id, f"not named as {kind.plural} are ({', '.join(kind.extensions)})")


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def each_once(listed: list[ClassFile]) -> tuple[list[ClassFile], list[Skipped]]:
    """Each file once, though links may show it twice."""
    first: dict[tuple[int, int], ClassFile] = {}
    once, again = [], []
    for file in listed:
        other = first.setdefault(identity(file.path), file)
        if other.class_name != file.class_name:
            raise InputError(f"{file.id} and {other.id} are one file in two classes. Remove one of them.")
        if other is file:
            once.append(file)
        else:
            again.append(Skipped(file.id, f"the same file as {other.id}"))
    return once, again


def identity(path: str) -> tuple[int, int] | str:
    """What two names of one file share."""
    try:
        status = os.stat(path)
    except OSError:
        return path
    return (status.st_dev, status.st_ino)


class ClassFile(NamedTuple):
    """A file of a class: its name in the data, where it is, its class, and its group if it has one."""

    id: str
    path: str
    class_name: str
    group: str = ""


def _is_hidden(name: str) -> bool:
    """Whether a name is one that file managers hide, or that archives add."""
    return name.startswith(".") or name == "__MACOSX"


def _folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name, without the hidden."""
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not _is_hidden(entry.name))


def _loose_files(folder: Path, root: Path) -> list[Skipped]:
    """The files that lie beside class folders."""
    files = (entry for entry in folder.iterdir() if not entry.is_dir() and not _is_hidden(entry.name))
    reason = "lies outside the class folders"
    return [Skipped(entry.relative_to(root).as_posix(), reason) for entry in sorted(files) if not _is_paper(entry)]


def _is_paper(path: Path) -> bool:
    return path.name.lower().startswith(_PAPERS) and path.suffix.lower() not in EXTENSIONS


def _class_files(folder: Path, root: Path, kind: FileKind) -> tuple[list[ClassFile], list[Skipped]]:
    """Every file of the kind below the folders of a folder, each folder a class, and the other files.

    Args:
        root: ids are paths relative to it.
    """
    found, skipped = [], []
    for class_folder in _folders_in(folder):
        for path in walk(class_folder):
            id = _id(path, root)
            if _extension(path) in kind.extensions:
                found.append(ClassFile(id, path, class_folder.name))
            else:
                skipped.append(_unread(id, path, kind))
    return found, skipped


def _id(path: str, root: Path) -> str:
    """The path from the root, as it can be shown."""
    return shown(os.path.relpath(path, root).replace(os.sep, "/"))


def walk(folder: Path) -> Iterator[str]:
    """The files below a folder, sorted, through links too, without the hidden.

    Raises:
        InputError: a folder cannot be read.
    """

    def refuse(fault: OSError) -> NoReturn:
        raise InputError(
            f"The folder {shown(fault.filename)} cannot be read: {fault.strerror}. Mend that, or move it away."
        ) from fault

    seen = set()
    for where, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # A link may lead back to a folder above it.
        seen.add(os.path.realpath(where))
        folders[:] = sorted(
            name for name in folders if not _is_hidden(name) and os.path.realpath(os.path.join(where, name)) not in seen
        )
        yield from (os.path.join(where, name) for name in sorted(names) if not _is_hidden(name))
