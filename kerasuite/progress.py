"""Progress of long work on a terminal; silent elsewhere, but for a supervisor."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from kerasuite import workers


@contextlib.contextmanager
def bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on the error stream, or nothing where that is no terminal: yields a function of (done, total or None)."""
    if not sys.stderr.isatty():
        yield lambda done, total: workers.progressed()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
