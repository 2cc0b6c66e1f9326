"""Work in processes of its own, which start at once: they are forked from one that has TensorFlow imported."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from kerasuite.errors import EnvironmentFault, InputError

POLL_SECONDS = 0.25
_OUT_OF_MEMORY = "ResourceExhaustedError"


class ChildError(EnvironmentFault):
    """What went wrong in the process, as one line."""


@cache
def _context():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kerasuite.commands.sweeps.preload"])
    return context


def prepare() -> None:
    """Begin to import TensorFlow in the process that others are forked from, while this one does something else."""
    _context()
    forkserver.ensure_running()


def call(
    function: Callable[..., Any],
    *arguments: Any,
    log: Path | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Any:
    """What a function gives in a process of its own; it and its arguments are pickled.

    The process ends when this one does, however that ends. Ctrl-C is passed on as SIGTERM.

    Args:
        log: file that gets what the process prints, added at its end; None prints it here.
        meanwhile: called every quarter of a second.

    Raises:
        InputError, EnvironmentFault: as the function did.
        ChildError: any other error, or an end without an answer.
    """
    context = _context()
    answers, answer = context.Pipe(duplex=False)
    lifeline, held = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(lifeline, answer, log, function, arguments))
    process.start()
    answer.close()
    lifeline.close()
    try:
        while not answers.poll(POLL_SECONDS):
            meanwhile()
        kind, value = answers.recv()
    except EOFError:
        process.join()
        raise ChildError(_ended(process.exitcode)) from None
    except KeyboardInterrupt:
        process.terminate()
        process.join()
        raise
    finally:
        held.close()
    process.join()
    if kind == "value":
        return value
    if kind == "interrupt":
        raise KeyboardInterrupt(value)
    raise {"input": InputError, "environment": EnvironmentFault}.get(kind, ChildError)(value)


def _ended(status: int | None) -> str:
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        return f"its process was ended by {name}" + (": probably out of memory" if name == "SIGKILL" else "")
    return f"its process ended with exit status {status} and no answer"


def _run(lifeline, answer, log: Path | None, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.setsid()  # Ctrl-C at the terminal is for the parent, which passes it on
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    if log is not None:
        with open(log, "ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    try:
        found = ("value", function(*arguments))
    except InputError as error:
        found = ("input", str(error))
    except (EnvironmentFault, OSError, MemoryError) as error:
        found = ("environment", str(error) or "out of memory")
    except KeyboardInterrupt as interrupt:
        found = ("interrupt", str(interrupt))
    except Exception as error:
        traceback.print_exc()
        found = ("error", _line(error))
    sys.stdout.flush()
    sys.stderr.flush()
    answer.send(found)


def _line(error: Exception) -> str:
    """An error as one line, alike for the same fault in two trials."""
    if type(error).__name__ == _OUT_OF_MEMORY:
        return "out of memory"
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text[:200]}"


def _end_with(lifeline) -> None:
    """End this process when the one that started it has ended."""
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
