"""What every download has in common. Does not import TensorFlow."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

_SILENCE_SECONDS = 30


@contextmanager
def silence_bounded() -> Iterator[None]:
    """A server that says nothing for half a minute has failed."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
