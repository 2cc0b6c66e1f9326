"""Examples kept on disk, for processes that come after: written once, mapped into memory when they are read."""

from __future__ import annotations

import contextlib
import pickle
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from kerasuite.contracts import Examples

Made = TypeVar("Made")
_VALUE, _BUFFERS, _ENDS = "value.pickle", "buffers.bin", "ends.npy"
_ALIGNED = 64
_FOLDER: ContextVar[Path | None] = ContextVar("kept", default=None)


def save(folder: Path, value: Any) -> None:
    """Write a value, its arrays apart from the rest; whole or not at all."""
    made = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    made.mkdir(parents=True)
    ends = []
    with open(made / _BUFFERS, "wb") as file:

        def write(buffer: pickle.PickleBuffer) -> None:
            with buffer.raw() as raw:
                start = file.tell()
                file.write(raw)
                ends.append((start, file.tell()))
            file.write(b"\0" * (-file.tell() % _ALIGNED))

        content = pickle.dumps(value, protocol=5, buffer_callback=write)
    (made / _VALUE).write_bytes(content)
    np.save(made / _ENDS, np.array(ends, np.int64).reshape(-1, 2))
    try:
        made.rename(folder)
    except OSError:
        # Another process was first, with the same.
        shutil.rmtree(made)
        if not folder.is_dir():
            raise


def load(folder: Path) -> Any:
    """What `save` wrote; its arrays lie on disk, and cannot be changed."""
    size = (folder / _BUFFERS).stat().st_size
    whole = np.memmap(folder / _BUFFERS, np.uint8, "r") if size else np.empty(0, np.uint8)
    buffers = [whole[start:end] for start, end in np.load(folder / _ENDS)]
    return pickle.loads((folder / _VALUE).read_bytes(), buffers=buffers)


@contextlib.contextmanager
def sharing(folder: Path) -> Iterator[None]:
    """Within, `once` finds what other processes made in this folder, and leaves there what it makes."""
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


def once(examples: Examples, key: str, make: Callable[[], Made]) -> Made:
    """What `make` makes of these examples: within `sharing` made by the first process that asks.

    Examples that were made of them get their ids.

    Args:
        key: names what is made of them.
    """
    folder = _FOLDER.get()
    if folder is None:
        return make()
    name = blake2b(f"{examples.fingerprint()} {len(examples)} {key}".encode(), digest_size=12).hexdigest()
    if not (folder / name).is_dir():
        made = make()
        folder.mkdir(parents=True, exist_ok=True)
        save(folder / name, made)
    found = load(folder / name)
    return replace(found, ids=examples.ids) if isinstance(found, Examples) else found
