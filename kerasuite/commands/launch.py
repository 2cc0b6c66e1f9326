"""`kerasuite launch`: several workers of one training on this machine, watched, and started again when one dies."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kerasuite import cli, cluster, config, devices, run_directory, whole_files, workers
from kerasuite.commands import sweep
from kerasuite.errors import EnvironmentFault, InputError

# What each worker runs.
PROGRAM = (sys.executable, "-m", "kerasuite")
POLL_SECONDS = 0.1
# Time for a checkpoint, once asked to stop; and for the others to refuse what one refused.
GRACE_SECONDS, REFUSAL_SECONDS = 120.0, 10.0
DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130


class Watch(NamedTuple):
    """How the workers are watched: how often they are started again, and how long they may do nothing."""

    restarts: int
    stall_seconds: float


def main(args: list[str]) -> int:
    """Run the command behind `--` in several workers; the last line printed is the run directory."""
    parser = argparse.ArgumentParser(
        "kerasuite launch",
        usage="kerasuite launch [--workers N] [--restarts N] [--stall-minutes M] -- run NAME ... | resume RUN_DIR",
        description="Train one model in several processes on this machine. When one dies, or nothing is done for the "
        "stated time, all are ended and started again from the last checkpoint. Their output is in RUN_DIR/workers.",
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (2)")
    parser.add_argument("--restarts", type=int, default=3, metavar="N", help="starts from a checkpoint at most (3)")
    parser.add_argument(
        "--stall-minutes", type=float, default=30.0, metavar="M", help="minutes without progress before that (30)"
    )
    own, command = _parted(args)
    given = parser.parse_args(own)
    for flag, value, least in (("--workers", given.workers, 1), ("--restarts", given.restarts, 0)):
        if value < least:
            raise InputError(f"{flag} is {value}; it must be {least} or more.")
    if given.stall_minutes <= 0:
        raise InputError(f"--stall-minutes is {given.stall_minutes:g}; it must be more than 0.")
    run_dir, command = _checked(command)
    return supervise(run_dir, command, given.workers, Watch(given.restarts, 60 * given.stall_minutes))


def _parted(args: Sequence[str]) -> tuple[list[str], list[str]]:
    if "--" in args:
        at = args.index("--")
        return [*args[:at]], [*args[at + 1 :]]
    if {"-h", "--help"} & set(args):
        return ["--help"], []
    raise InputError("What to launch stands behind --, such as: kerasuite launch --workers 2 -- run mnist_cnn --sample")


def _checked(command: Sequence[str]) -> tuple[Path, list[str]]:
    """The run directory, and the command with its name; the command's faults are told before anything is started."""
    if len(command) == 2 and command[0] == "resume":
        run_dir = Path(command[1])
        if (run_dir / sweep.SWEEP).is_file():
            raise InputError(f"{run_dir} is a sweep, which has workers of its own: kerasuite resume {run_dir}")
        whole_files.read_json(run_dir / run_directory.CONFIG)
        return run_dir, [*command]
    if len(command) < 2 or command[0] != "run":
        received = shlex.join(command) or "nothing"
        raise InputError(f"launch takes run NAME ... or resume RUN_DIR behind --; received {received}.")
    name, flags = command[1], [*command[2:]]
    module = cli.pipeline(name)
    settings = config.parse(module.Config, module.SAMPLE, flags, f"kerasuite run {name}", module.__doc__)
    if settings.output:
        run_directory.refuse_used(Path(settings.output))
        return Path(settings.output), [*command]
    run_dir = run_directory.claimed(Path("runs") / name)
    return run_dir, [*command, "--output", str(run_dir)]


def supervise(run_dir: Path, command: Sequence[str], number: int, watch: Watch) -> int:
    """Run a command in so many workers until it is done.

    Returns:
        Exit status: 0, or 2 where worker 0 was given what it cannot use, and has said so.

    Raises:
        InputError: another worker was.
        EnvironmentFault: it failed more often than it may be started again.
        KeyboardInterrupt: this process, or a worker, was asked to stop; a checkpoint was written first.
    """
    folder = run_dir / run_directory.WORKERS
    folder.mkdir(parents=True, exist_ok=True)
    go_on = f"Go on by: kerasuite launch --workers {number} -- resume {run_dir}"
    with _stop_signals() as stopped, open(folder / "launch.log", "a") as log:
        for again in range(watch.restarts + 1):
            end = Crew(folder, command, number).run(watch.stall_seconds, stopped)
            if stopped or end.status == INTERRUPTED:
                raise KeyboardInterrupt(go_on)
            if end.status == REFUSED and end.rank > 0:
                raise InputError(f"Worker {end.rank}: {end.reason}")
            if end.status in (DONE, REFUSED):
                return end.status
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {end.reason}", file=log, flush=True)
            if again < watch.restarts:
                print(f"{end.reason} Starting again ({again + 1} of {watch.restarts}).", file=sys.stderr, flush=True)
            if (run_dir / run_directory.CONFIG).is_file():
                command = ["resume", str(run_dir)]
    raise EnvironmentFault(
        f"{end.reason} It was started again {watch.restarts} times (--restarts). What the workers printed is in "
        f"{folder}. {go_on}"
    )


class End(NamedTuple):
    """How the processes of one start ended: with which status, of which worker, and why."""

    status: int
    rank: int = 0
    reason: str = ""


class Crew:
    """The processes of one start.

    Args:
        folder: gets worker_0.log, worker_1.log, ...; what worker 0 prints is printed here too.
    """

    def __init__(self, folder: Path, command: Sequence[str], number: int):
        gpus = devices.visible_gpus(number)
        hosts = {"worker": [f"localhost:{port}" for port in free_ports(number)]}
        self._open = contextlib.ExitStack()
        self.progress = self._open.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115
        self.processes, self.logs = [], []
        for rank in range(number):
            path = folder / f"worker_{rank}.log"
            log = self._open.enter_context(path.open("ab"))
            self.logs.append(self._open.enter_context(path.open("rb")))
            self.logs[rank].seek(0, os.SEEK_END)
            place = {"cluster": hosts, "task": {"type": "worker", "index": rank}}
            own = {cluster.TF_CONFIG: json.dumps(place), workers.PROGRESS: self.progress.name, "PYTHONUNBUFFERED": "1"}
            own |= {devices.VISIBLE: ",".join(gpus[rank::number])} if gpus else {}
            process = subprocess.Popen(
                [*PROGRAM, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | own,
                start_new_session=True,  # Ctrl-C comes to the supervisor alone
            )
            self.processes.append(process)

    def run(self, stall_seconds: float, stopped: Sequence[int]) -> End:
        """Wait for the end, and end what is left."""
        try:
            return self._wait(stall_seconds, stopped)
        finally:
            self._signal(signal.SIGKILL)
            for process in self.processes:
                process.wait()
            self._show()
            self._open.close()

    def _wait(self, stall_seconds: float, stopped: Sequence[int]) -> End:
        asked, moved, seen = 0.0, time.monotonic(), None
        while True:
            time.sleep(POLL_SECONDS)
            self._show()
            states = [process.poll() for process in self.processes]
            if all(state == DONE for state in states):
                return End(DONE)
            if stopped:
                if not asked:
                    asked = time.monotonic()
                    self._signal(signal.SIGTERM)
                if None not in states or len(stopped) > 1 or time.monotonic() - asked > GRACE_SECONDS:
                    return End(INTERRUPTED)
            elif failed := [rank for rank, state in enumerate(states) if state]:
                # One that merely failed may have done so for want of another.
                return self._failed(min(failed, key=lambda rank: (states[rank] == FAILED, rank)), stopped)
            if (now := self._marks()) != seen:
                moved, seen = time.monotonic(), now
            if time.monotonic() - moved > stall_seconds:
                return End(FAILED, 0, f"No worker made progress for {stall_seconds / 60:g} minutes (--stall-minutes).")

    def _failed(self, rank: int, stopped: Sequence[int]) -> End:
        """The end by a worker that failed, or was stopped."""
        status = self.processes[rank].returncode
        # Asked to stop before, or after, it could write a checkpoint.
        status = INTERRUPTED if status == -signal.SIGTERM else status
        if status in (REFUSED, INTERRUPTED):
            # The others are about to end for the same reason.
            until = time.monotonic() + (REFUSAL_SECONDS if status == REFUSED else GRACE_SECONDS)
            while None in [process.poll() for process in self.processes] and time.monotonic() < until and not stopped:
                time.sleep(POLL_SECONDS)
                self._show()
        how = f"ended with status {status}" if status > 0 else f"was killed by {signal.Signals(-status).name}"
        said = self._last_line(rank) if status > 0 else ""
        return End(status, rank, said if status == REFUSED else f"Worker {rank} {how}.{said and f' It said: {said}'}")

    def _last_line(self, rank: int) -> str:
        log = self.logs[rank]
        log.seek(max(log.seek(0, os.SEEK_END) - 4096, 0))
        return log.read().decode(errors="replace").rstrip().rpartition("\n")[2].removeprefix("Error: ")

    def _marks(self) -> list[tuple[int, int]]:
        """What changes while something is done."""
        found = [os.fstat(file.fileno()) for file in (self.progress, *self.logs)]
        return [(each.st_mtime_ns, each.st_size) for each in found]

    def _signal(self, number: int) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def _show(self) -> None:
        """Print what worker 0 has printed since."""
        sys.stdout.write(self.logs[0].read().decode(errors="replace"))
        sys.stdout.flush()


def free_ports(number: int) -> list[int]:
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that gets each Ctrl-C, SIGTERM and hang-up: the first asks the workers to stop, the second ends them."""
    got: list[int] = []
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in kept:
        signal.signal(number, lambda number, frame: got.append(number))
    try:
        yield got
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
