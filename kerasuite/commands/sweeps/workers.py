"""Several processes that run the trials of one sweep: Keras Tuner's chief and workers, on one machine or on many."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kerasuite.errors import EnvironmentFault

_TUNER_ID, _IP, _PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
_CHIEF = "chief"
# A worker that dies is started again so often; its trial goes on from its checkpoint.
MOST_RESTARTS = 3
POLL_SECONDS = 0.25


def is_chief() -> bool:
    """Whether the environment says that this process hands out the trials."""
    return _IP in os.environ and _CHIEF in os.environ.get(_TUNER_ID, "")


def is_worker() -> bool:
    """Whether the environment says that this process runs trials for a chief elsewhere."""
    return _IP in os.environ and not is_chief()


def serve(tuner: Any, meanwhile: Callable[[], None]) -> None:
    """Hand out trials to the workers of other machines, until the last is done."""
    served = threading.Thread(target=tuner.search, daemon=True)
    served.start()
    while served.is_alive():
        meanwhile()
        time.sleep(POLL_SECONDS)


def search(sweep_dir: Path, number: int, tuner: Callable[[], Any], meanwhile: Callable[[], None]) -> None:
    """Be the chief of so many workers on this machine, and start each again that dies.

    Raises:
        EnvironmentFault: one dies again and again.
    """
    names = [f"worker{k}" for k in range(number)]
    with _environment(_CHIEF) as shared:
        made = tuner()
        made.oracle.hand_on(names)
        # Not tuner.search: it goes on for up to 20 s after the last worker has left.
        threading.Thread(target=made.search, daemon=True).start()
        # All cores are shared out, or each worker would take them all.
        threads = str(max(1, (os.cpu_count() or 1) // number))
        shared |= {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}
        workers = {name: _start(sweep_dir, name, shared) for name in names}
        restarts = dict.fromkeys(names, 0)
        try:
            while any(worker.poll() is None for worker in workers.values()):
                for name, worker in workers.items():
                    if worker.poll() in (None, 0):
                        continue
                    restarts[name] += 1
                    if restarts[name] > MOST_RESTARTS:
                        raise EnvironmentFault(
                            f"{name} has ended {MOST_RESTARTS + 1} times with exit status {worker.returncode}: see "
                            f"{_log(sweep_dir, name)}."
                        )
                    print(
                        f"{name} has ended with exit status {worker.returncode}: it is started again.", file=sys.stderr
                    )
                    workers[name] = _start(sweep_dir, name, shared)
                meanwhile()
                time.sleep(POLL_SECONDS)
        finally:
            for worker in workers.values():
                worker.terminate()
            for worker in workers.values():
                worker.wait()


def _start(sweep_dir: Path, name: str, shared: dict[str, str]) -> subprocess.Popen:
    with open(_log(sweep_dir, name), "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "kerasuite", "resume", str(sweep_dir)],
            env=os.environ | shared | {_TUNER_ID: name},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C at the terminal is passed on from here
        )


def _log(sweep_dir: Path, name: str) -> Path:
    return sweep_dir / f"{name}.log"


@contextmanager
def _environment(tuner_id: str) -> Iterator[dict[str, str]]:
    """The variables by which Keras Tuner's chief and workers find one another, set for the chief within."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {_IP: "127.0.0.1", _PORT: str(free.getsockname()[1])}
    before = {name: os.environ.get(name) for name in (_TUNER_ID, *shared)}
    os.environ.update(shared | {_TUNER_ID: tuner_id})
    try:
        yield dict(shared)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
