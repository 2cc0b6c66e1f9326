"""How a training ends before its end: by a signal, or by a rule that pauses it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from kerasuite.training.history import History


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM; what was trained so far is in a checkpoint."""


class Paused(Exception):
    """A training that `pausing` stopped after an epoch; the same call goes on from its checkpoint.

    Args:
        history: as Fitted has it.
        best: as Fitted has it.
    """

    def __init__(self, history: History, best: dict[str, float]):
        super().__init__(f"paused after epoch {len(history)}")
        self.history, self.best = history, best


_PAUSE: ContextVar[Callable[[History], bool]] = ContextVar("pause", default=lambda history: False)


@contextmanager
def pausing(rule: Callable[[History], bool]) -> Iterator[None]:
    """Within, each training asks this rule before each further epoch, with the history so far; True raises Paused."""
    token = _PAUSE.set(rule)
    try:
        yield
    finally:
        _PAUSE.reset(token)


def wants_pause(history: History) -> bool:
    """Whether the rule of `pausing` ends the training here."""
    return _PAUSE.get()(history)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second has its usual effect."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number, frame):
        stop.set()
        for each, handler in kept.items():
            signal.signal(each, handler)

    for number in kept:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
