"""Whether photos are still what they were when a run first looked at them."""

from __future__ import annotations

import os

from kerasuite.contracts import Examples
from kerasuite.data.files import check
from kerasuite.errors import InputError

CHANGED = "was changed or taken away after the run had looked at it. Put it back, or start anew."


class PhotoFiles:
    """The photos that features were worked out of: each must be what it was when its digest was taken."""

    def __init__(self):
        self._states: dict[str, tuple[int, int, int] | None] = {}

    def refuse_changed(self, examples: Examples) -> None:
        """Raise where a photo is not what the examples say: by its content at first, then by size and time."""
        if "path" not in examples.inputs:
            return
        paths = examples.inputs["path"].tolist()
        new = [row for row, path in enumerate(paths) if path not in self._states]
        for row, picture in zip(new, check([paths[row] for row in new])):
            self._states[paths[row]] = _state(paths[row])
            if picture.digest != examples.facts["digest"][row]:
                raise InputError(f"{paths[row]} {CHANGED}")
        for path in paths:
            if _state(path) != self._states[path]:
                raise InputError(f"{path} {CHANGED}")


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ino)
