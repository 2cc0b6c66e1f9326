"""The processes that train one model together, each on a machine of its own: what they wait for, what all agree on.

Does not import TensorFlow by itself.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasuite.cluster import TF_CONFIG, of_slurm, place
from kerasuite.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    import tensorflow as tf

# Environment variables: a file to touch whenever something was done, and how long to wait for the others to come.
PROGRESS, WAIT = "KERASUITE_PROGRESS", "KERASUITE_WAIT_SECONDS"
WAIT_SECONDS = 600.0
# Bytes of a message at a time: each goes as a float.
CHUNK = 2**24


class Team:
    """The processes that a strategy spans, which talk through its collectives.

    Args:
        strategy: of any kind; one of a single process makes a team of one, to which all of this costs nothing.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        resolver = strategy.cluster_resolver
        hosts = resolver.cluster_spec().as_dict() if resolver else {}
        ranks = [(kind, k) for kind in ("chief", "worker") for k in range(len(hosts.get(kind, ())))]
        self.strategy, self.count = strategy, max(len(ranks), 1)
        self.rank = ranks.index((resolver.task_type, resolver.task_id)) if self.count > 1 else 0
        self.replicas = strategy.num_replicas_in_sync // self.count

    def sum(self, values: Sequence[float]) -> np.ndarray:
        """Numbers added up over all workers, float32 (n,); all wait for each other."""
        import tensorflow as tf

        array = np.asarray(values, np.float32)
        if self.count == 1:
            return array
        with others_may_fail():
            summed = self._sum(tf.constant(array.ravel()))
            return self.strategy.experimental_local_results(summed)[0].numpy().reshape(array.shape)

    @functools.cached_property
    def _sum(self) -> Callable[[tf.Tensor], Any]:
        import tensorflow as tf

        def replica(numbers):
            replicas = tf.distribute.get_replica_context()
            # Of a worker's devices one alone adds.
            adds = tf.cast(replicas.replica_id_in_sync_group % self.replicas == 0, numbers.dtype)
            return replicas.all_reduce(tf.distribute.ReduceOp.SUM, adds * numbers)

        signature = [tf.TensorSpec([None], tf.float32)]
        return tf.function(lambda numbers: self.strategy.run(replica, (numbers,)), signature, autograph=False)

    def bytes_of_first(self, data: bytes | None) -> bytes:
        """What the first worker has; the others pass None."""
        if self.count == 1:
            return data
        # A float32 holds integers up to 2**24 exactly.
        high, low = self.sum(divmod(len(data or b""), 2**20)).astype(int)
        size = int(high) * 2**20 + int(low)
        found = []
        for start in range(0, size, CHUNK):
            end = min(start + CHUNK, size)
            own = np.frombuffer(data[start:end], np.uint8) if self.rank == 0 else np.zeros(end - start, np.uint8)
            found.append(self.sum(own).astype(np.uint8).tobytes())
        return b"".join(found)

    def of_first(self, value: Any) -> Any:
        """What the first worker has, of values that JSON can hold; those of the others are passed over."""
        return value if self.count == 1 else json.loads(self.bytes_of_first(_json(value) if self.rank == 0 else None))

    def of_all(self, value: Any) -> list[Any]:
        """What each worker has, by rank."""
        if self.count == 1:
            return [value]
        own = _json(value)
        sizes = self.sum([len(own) if rank == self.rank else 0 for rank in range(self.count)]).astype(int)
        table = np.zeros((self.count, sizes.max()), np.float32)
        table[self.rank, : len(own)] = np.frombuffer(own, np.uint8)
        filled = self.sum(table).astype(np.uint8)
        return [json.loads(row[:size].tobytes()) for row, size in zip(filled, sizes)]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


@contextlib.contextmanager
def others_may_fail() -> Iterator[None]:
    """TensorFlow's word for a worker that has gone, as an error for a person."""
    import tensorflow as tf

    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise EnvironmentFault(
            f"Another worker has ended, or cannot be reached; its output says why. ({error.message.splitlines()[0]})"
        ) from None


class _State:
    """The one strategy of this process, and whether a training is under way in which all take part."""

    team: Team | None = None
    is_training = False


def strategy(all_reduce: str = "auto") -> tf.distribute.Strategy:
    """The strategy over all workers; waits until they have come.

    Args:
        all_reduce: `auto`, `nccl` or `ring`.

    Raises:
        EnvironmentFault: this worker's port is in use.
    """
    import tensorflow as tf

    if _State.team is None:
        if not os.environ.get(TF_CONFIG):
            os.environ[TF_CONFIG] = of_slurm()
        with _waiting_for_others():
            try:
                options = tf.distribute.experimental.CommunicationOptions(implementation=all_reduce.upper())
                made = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
            except (tf.errors.UnknownError, tf.errors.UnavailableError) as error:
                raise EnvironmentFault(
                    f"This worker cannot start its server at the address that {TF_CONFIG} or Slurm gives it: is the "
                    f"port in use? ({error.message.splitlines()[0]})"
                ) from None
        _State.team = Team(made)
    _State.is_training = True
    return _State.team.strategy


# Says that the others have not come, where a process ends without having written a byte, after its time.
_WATCH = """
import sys, time
if not sys.stdin.buffer.read(1) and time.monotonic() >= float(sys.argv[1]):
    print(sys.argv[2], file=sys.stderr)
"""


@contextlib.contextmanager
def _waiting_for_others() -> Iterator[None]:
    """End the process with a message and status 1 where others do not come in time.

    TensorFlow waits for an hour, and lets neither a thread nor a signal's handler run meanwhile. So another process
    has the last word, and it is C code that ends this one.
    """
    seconds, mine = wait_seconds(), place()
    message = (
        f"Error: worker {mine.rank} of {mine.count} waited for the others for {seconds:g} s, and not all have come. "
        f"Look whether they run and reach each other; {WAIT} sets how long to wait."
    )
    # All processes of a machine have one monotonic clock.
    until = str(time.monotonic() + seconds)
    watch = subprocess.Popen([sys.executable, "-ISc", _WATCH, until, message], stdin=subprocess.PIPE)
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds + 0.5, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            signal.signal(signal.SIGINT, interrupt)
            watch.communicate(b"k")


def wait_seconds() -> float:
    """How long a worker waits for others.

    Raises:
        InputError: the environment's variable is no number.
    """
    text = os.environ.get(WAIT, str(WAIT_SECONDS))
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{WAIT} is {text!r}; expected seconds.") from None


def of_first(make: Callable[[], Any]) -> Any:
    """What the first worker's call gives; in training the others make no call of their own."""
    if not _State.is_training:
        return make()
    return _State.team.of_first(make() if _State.team.rank == 0 else None)


def require_alike(facts: Mapping[str, Any]) -> None:
    """Hold facts of this run, such as its version and settings, against those of the other workers.

    Raises:
        InputError: they differ; says in what, on every worker.
    """
    if not _State.is_training:
        return
    first, *others = _State.team.of_all(facts)
    for rank, other in enumerate(others, 1):
        unlike = [name for name in first | other if first.get(name) != other.get(name)]
        if unlike:
            told = "; ".join(f"{name} is {other.get(name)!r}, not {first.get(name)!r}" for name in unlike)
            raise InputError(f"Worker {rank} runs something else than worker 0: its {told}.")


def go_on_alone() -> bool:
    """Call when the training is over: True for the first worker, which does the rest; the others have done."""
    _State.is_training = False
    return _State.team is None or _State.team.rank == 0


def progressed() -> None:
    """Tell a supervisor, if there is one, that something was done."""
    if path := os.environ.get(PROGRESS):
        with contextlib.suppress(OSError):
            Path(path).touch()
