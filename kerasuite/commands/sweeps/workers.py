"""Several processes that run the trials of one sweep: Keras Tuner's chief and workers, on one machine or on many."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kerasuite import devices
from kerasuite.errors import EnvironmentFault, InputError
from kerasuite.workers import wait_seconds

_TUNER_ID, _IP, _PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
_CHIEF = "chief"
# Set for workers that a process on this machine has started: they end when it does.
_WITH_PARENT = "KERASUITE_END_WITH_PARENT"
ALIVE, BEAT_SECONDS = "alive", 5.0
# A worker that dies is started again so often; its trial goes on from its checkpoint.
MOST_RESTARTS = 3
POLL_SECONDS = 0.25


def is_chief() -> bool:
    """Whether the environment says that this process hands out the trials."""
    return _IP in os.environ and _CHIEF in os.environ.get(_TUNER_ID, "")


def is_worker() -> bool:
    """Whether the environment says that this process runs trials for a chief elsewhere."""
    return _IP in os.environ and not is_chief()


def end_with_parent() -> None:
    """If a chief on this machine has started this worker, end when it does: nobody else would end it."""
    if _WITH_PARENT not in os.environ:
        return

    def wait():
        os.read(0, 1)  # not sys.stdin, whose lock would be held where this process ends by itself
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def beat(sweep_dir: Path) -> None:
    """Say that this worker is alive, in a file that the chief looks at."""
    path = sweep_dir / ALIVE / os.environ[_TUNER_ID]
    if not path.is_file() or time.time() - path.stat().st_mtime > BEAT_SECONDS:
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(time.time()))


class Hearts:
    """How long each worker has been silent, by this machine's own clock.

    Args:
        sweep_dir: where they say that they are alive.
    """

    def __init__(self, sweep_dir: Path):
        self.folder, self.last = sweep_dir / ALIVE, {}

    def silent(self, names: Iterable[str], seconds: float) -> set[str]:
        """Those of these workers that have said nothing for so long since they were first asked about."""
        now, found = time.monotonic(), set()
        for name in names:
            path = self.folder / name
            said = path.read_text() if path.is_file() else ""
            if name not in self.last or self.last[name][0] != said:
                self.last[name] = (said, now)
            if now - self.last[name][1] > seconds:
                found.add(name)
        return found


def refuse_half_an_environment() -> None:
    """Raise InputError where some of Keras Tuner's variables are set, and others of them are not."""
    missing = [name for name in (_TUNER_ID, _IP, _PORT) if not os.environ.get(name)]
    if 0 < len(missing) < 3:
        raise InputError(
            f"{' and '.join(missing)} is not set, and others of Keras Tuner's variables are: a chief and its workers "
            "need all three."
        )


def run_trials(tuner: Callable[[], Any]) -> None:
    """Run what the chief hands out, until there is nothing left.

    Raises:
        EnvironmentFault: the chief does not answer.
    """
    import grpc
    from keras_tuner.src.distribute import oracle_client

    oracle_client.TIMEOUT = wait_seconds()  # an hour, else
    try:
        tuner().search()
    except grpc.RpcError as fault:
        raise EnvironmentFault(
            f"The chief at {os.environ[_IP]}:{os.environ[_PORT]} does not answer any more: it has ended, or goes on "
            f"without this worker. {type(fault).__name__}"
        ) from fault


def serve(sweep_dir: Path, tuner: Any, meanwhile: Callable[[], None]) -> None:
    """Hand out trials to the workers of other machines, until the last is done.

    The trial of a worker that is silent goes to another.
    """
    (served, faults), hearts = _served(tuner), Hearts(sweep_dir)
    while served.is_alive():
        meanwhile()
        expected = {*tuner.oracle.tuner_ids, *tuner.oracle.ongoing_trials}
        if silent := hearts.silent(expected, max(wait_seconds(), 2 * BEAT_SECONDS)):
            print(f"Nothing is heard of {', '.join(sorted(silent))}: others go on without.", file=sys.stderr)
            tuner.oracle.hand_on(expected - silent)
        time.sleep(POLL_SECONDS)
    if faults:
        raise faults[0]


def _served(tuner: Any) -> tuple[threading.Thread, list[BaseException]]:
    """Keras Tuner's server in a thread of its own, and what goes wrong in it."""
    faults: list[BaseException] = []

    def search() -> None:
        try:
            tuner.search()
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=search, daemon=True)
    thread.start()
    return thread, faults


def search(sweep_dir: Path, number: int, tuner: Callable[[], Any], meanwhile: Callable[[], None]) -> None:
    """Be the chief of so many workers on this machine, and start each again that dies.

    Raises:
        EnvironmentFault: one dies again and again.
    """
    names = [f"worker{k}" for k in range(number)]
    with _environment(_CHIEF) as shared:
        made = tuner()
        made.oracle.hand_on(names)
        # Its end is not waited for: it goes on for up to 20 s after the last worker has left.
        _, faults = _served(made)
        environments = dict(zip(names, _shares(shared, number)))
        workers = {name: _start(sweep_dir, name, environments[name]) for name in names}
        restarts = dict.fromkeys(names, 0)
        try:
            while any(worker.poll() is None for worker in workers.values()):
                if faults:
                    raise faults[0]
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
                    workers[name] = _start(sweep_dir, name, environments[name])
                meanwhile()
                time.sleep(POLL_SECONDS)
        finally:
            for worker in workers.values():
                worker.terminate()
            for worker in workers.values():
                worker.wait()


def _shares(shared: dict[str, str], number: int) -> list[dict[str, str]]:
    """Each worker's environment: cores and GPUs are shared out, or each would take them all."""
    threads, gpus = str(max(1, (os.cpu_count() or 1) // number)), devices.visible_gpus(number)
    cores = {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}
    own = [{devices.VISIBLE: ",".join(gpus[rank::number])} if gpus else {} for rank in range(number)]
    return [shared | cores | each for each in own]


def _start(sweep_dir: Path, name: str, shared: dict[str, str]) -> subprocess.Popen:
    with open(_log(sweep_dir, name), "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "kerasuite", "resume", str(sweep_dir)],
            env=os.environ | shared | {_TUNER_ID: name, _WITH_PARENT: "1"},
            stdin=subprocess.PIPE,  # which ends with this process, however that ends
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
