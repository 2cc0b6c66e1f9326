"""Files that are written whole or not at all, and read back with a word on what is wrong with them.

Does not import TensorFlow.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasuite.errors import EnvironmentFault, InputError

# In the name of what is written beside a file until it is whole: of `write` at the end, of `writing` in front.
_LAST, _FIRST = ".partial", ".partial."
_DIGEST = hashlib.sha256().digest_size


@contextlib.contextmanager
def _disk_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # TensorFlow and HDF5 have errors of their own for it.
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
            free = shutil.disk_usage(path.parent).free // 2**20
            raise EnvironmentFault(
                f"The disk is full: {path} could not be written ({free} MB are free). Make room, then: "
                "kerasuite resume RUN_DIR goes on from the last checkpoint."
            ) from error
        raise


def write(path: Path, data: bytes | str) -> None:
    """Write a file under a temporary name, then rename it: a reader sees all of it or none.

    Raises:
        EnvironmentFault: the disk is full.
    """
    # Of its own, since several processes may write the same.
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_LAST}")
    with _disk_faults(path):
        try:
            with open(temporary, "wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        # The rename itself lives in the folder: without this a power cut may undo it.
        _sync(path.parent)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary path for a library that writes a file or a folder by itself; renamed to `path` at the end."""
    temporary = path.with_name(f"{_FIRST}{path.name}")  # keeps the suffix, by which libraries tell formats apart
    remove(temporary)
    with _disk_faults(path):
        try:
            yield temporary
        except BaseException:
            remove(temporary)
            raise
        # Of a folder all that is in it. metrics.json says that a run is done: what it speaks of must be on the disk.
        for each in (temporary, *temporary.rglob("*")):
            _sync(each)
        remove(path)
        os.replace(temporary, path)
        _sync(path.parent)


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before anything else is done."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder with all that is in it, where it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_left_over(name: str) -> bool:
    """Whether a file of this name is what a kill left unfinished."""
    return name.startswith(_FIRST) or (name[0] == "." and name.endswith(_LAST))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON, whole or not at all."""
    write(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: it is absent or damaged; names the file.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(
            f"{path} is absent: {path.parent} is not a run directory, or one that never started."
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}.") from None


def write_checked(path: Path, data: bytes) -> None:
    """Write bytes behind their SHA-256, so that damage is noticed when they are read."""
    write(path, hashlib.sha256(data).digest() + data)


def read_checked(path: Path) -> bytes | None:
    """The bytes that `write_checked` wrote, or None where the file is damaged."""
    content = path.read_bytes()
    digest, data = content[:_DIGEST], content[_DIGEST:]
    return data if hashlib.sha256(data).digest() == digest else None
