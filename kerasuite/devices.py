"""Which devices there are and how they are used: strategy, precision, a quiet start of TensorFlow."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasuite import cluster, workers
from kerasuite.errors import InputError

# Which GPUs a process sees.
VISIBLE = "CUDA_VISIBLE_DEVICES"
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

if TYPE_CHECKING:
    import tensorflow as tf


def import_tensorflow(*, look: bool = True) -> None:
    """Import TensorFlow without the lines that its native libraries print; they are shown if the import fails.

    Args:
        look: for devices too, which begins with them: a process that others are forked from must not.
    """
    if "tensorflow" in sys.modules:
        return
    # Its errors come as exceptions; what it prints beside them are remarks on its own optimiser.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN's matrix products and convolutions, a fifth faster in training: TensorFlow by itself has them only where a
    # CPU has AVX-512 VNNI.
    os.environ.setdefault(ONEDNN, "1")
    # Those lines come before any log level is read, and go past sys.stderr.
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            import tensorflow as tf

            if look:
                tf.config.list_physical_devices()
        except BaseException:
            hidden.seek(0)
            os.write(kept, hidden.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def strategy(devices: str, all_reduce: str = "auto") -> tf.distribute.Strategy:
    """The strategy for a setting such as `auto`, `gpu:0,1` or `cpu:2`, over all workers where there are several.

    Args:
        all_reduce: how gradients are summed: `auto` as tf.distribute chooses, `nccl`; `hierarchical` in one process;
            `ring` over several.

    Raises:
        InputError: a device that does not exist (those that do are named), a setting of another form, or a way to sum
            that these devices do not have.
        EnvironmentFault: of several workers, this one cannot start its server.
    """
    import tensorflow as tf

    is_alone = cluster.place().count == 1
    kind, numbers = _parsed(devices)
    if kind == "gpu":
        gpus = tf.config.list_physical_devices("GPU")
        if absent := sorted({k for k in numbers if k >= len(gpus)}):
            there = ", ".join(f"gpu:{k}" for k in range(len(gpus))) or "no GPU; --devices auto uses the CPU"
            raise InputError(
                f"--devices {devices}: there is no gpu:{', gpu:'.join(map(str, absent))}; there is {there}."
            )
        if not is_alone:
            _show_only([gpus[k] for k in numbers])
    elif kind == "cpu":
        if not is_alone and len(numbers) > 1:
            raise InputError(f"--devices {devices}: one of several workers has one CPU device; expected cpu.")
        _show_only([])
        if is_alone:
            _split_cpu(len(numbers))
    _refuse_all_reduce(all_reduce, kind, numbers, is_alone)
    # What asks for logical devices starts TensorFlow, which of several workers has to know all others before.
    return _strategy_of(local(devices), all_reduce) if is_alone else workers.strategy(all_reduce)


def _refuse_all_reduce(all_reduce: str, kind: str, numbers: Sequence[int], is_alone: bool) -> None:
    import tensorflow as tf

    if kind == "auto":
        numbers = range(len(tf.config.list_physical_devices("GPU")))
        kind = "gpu" if numbers else "cpu"
    share = len(numbers) > 1 or not is_alone
    fits = {"auto": True, "nccl": share and kind == "gpu", "hierarchical": share and is_alone, "ring": not is_alone}
    if not fits[all_reduce]:
        raise InputError(
            f"--all-reduce {all_reduce} is not for {max(len(numbers), 1)} {kind.upper()} in each of "
            f"{cluster.place().count} processes: nccl is of GPUs, hierarchical of several devices in one process, ring "
            "of several processes. auto leaves it to tf.distribute."
        )


def local(devices: str = "auto") -> list[str]:
    """The devices of this process that a setting names, as TensorFlow calls them; none where it is left to TensorFlow.

    Of those that `strategy` was called with, or `auto`.

    Example:
        >>> local("cpu:2")
        ['CPU:0', 'CPU:1']
    """
    import tensorflow as tf

    kind, numbers = _parsed(devices)
    if kind == "auto" or (kind == "gpu" and cluster.place().count > 1):
        # Of several workers each sees the GPUs alone that it was told to use.
        kind, numbers = "gpu", range(len(tf.config.list_logical_devices("GPU")))
    return [f"{kind.upper()}:{k}" for k in numbers]


def _parsed(devices: str) -> tuple[str, Sequence[int]]:
    """`auto`, `cpu` or `gpu`, and the numbers of the devices."""
    if devices == "auto":
        return "auto", ()
    match = re.fullmatch(r"cpu(?::(\d+))?|gpu:(\d+(?:,\d+)*)", devices)
    if not match:
        raise InputError(f"--devices is {devices!r}; expected auto, cpu, cpu:2 (logical devices) or gpu:0,1.")
    if match[2]:
        return "gpu", [int(k) for k in match[2].split(",")]
    if match[1] and int(match[1]) < 1:
        raise InputError(f"--devices {devices} names no device; expected cpu:1 or more.")
    return "cpu", range(int(match[1] or 1))


def _show_only(gpus: list) -> None:
    import tensorflow as tf

    if tf.config.get_visible_devices("GPU") != gpus:
        tf.config.set_visible_devices(gpus, "GPU")


def refuse_too_few(used: tf.distribute.Strategy, num_rows: int, batch_size: int | None = None) -> None:
    """Hold the rows to train on, and those of a batch if they are a setting, against the number of devices.

    Raises:
        InputError: there are fewer.
    """
    number = used.num_replicas_in_sync
    if num_rows < number:
        raise InputError(f"{num_rows} training rows are fewer than the {number} devices that share them.")
    if batch_size is not None and batch_size < number:
        raise InputError(f"--batch-size {batch_size} is less than the {number} devices that share a batch.")


def _strategy_of(names: list[str], all_reduce: str) -> tf.distribute.Strategy:
    import tensorflow as tf

    if len(names) > 1:
        return _mirrored(all_reduce, *names)
    return tf.distribute.OneDeviceStrategy(names[0]) if names else tf.distribute.get_strategy()


@functools.cache
def _mirrored(all_reduce: str, *names: str) -> tf.distribute.Strategy:
    """One strategy a process: two over the same devices would number their collectives alike, and meet."""
    import tensorflow as tf

    ways = {"nccl": tf.distribute.NcclAllReduce, "hierarchical": tf.distribute.HierarchicalCopyAllReduce}
    return tf.distribute.MirroredStrategy(names, cross_device_ops=ways[all_reduce]() if all_reduce in ways else None)


def _split_cpu(number: int) -> None:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or [0]) == number:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)
    except RuntimeError:
        there = len(tf.config.list_logical_devices("CPU"))
        if there < number:
            raise InputError(
                f"--devices cpu:{number}: TensorFlow has already started with {there} logical CPU devices in this "
                "process. In a notebook, restart the kernel and call kerasuite.devices.strategy first."
            ) from None


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Trace what is called within in this arithmetic: `float32` or `bfloat16`; as it was before, afterwards.

    On a GPU bfloat16 is Keras's policy. On a CPU it is the graph optimiser's rewrite, which is as fast, leaves the
    model's own types float32, and does not slow depthwise convolutions.
    """
    import keras
    import tensorflow as tf

    rewrite = {"auto_mixed_precision_onednn_bfloat16": name == "bfloat16" and not on_gpu()}
    policy = keras.config.dtype_policy()
    options = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options(options | rewrite)
    if name == "bfloat16" and on_gpu():
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        # What was never set is not among the options; it has to be put back by its name.
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": False} | options)
        keras.config.set_dtype_policy(policy)


def on_gpu() -> bool:
    """Whether this process computes on GPUs."""
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def versions() -> dict[str, str]:
    """The versions that decide what a training comes to."""
    import keras
    import tensorflow as tf

    from kerasuite import __version__

    return {"kerasuite": __version__, "tensorflow": tf.__version__, "keras": keras.__version__}


def describe(used: tf.distribute.Strategy) -> dict[str, Any]:
    """Versions and devices, for environment.json."""
    import numpy as np
    import tensorflow as tf

    return versions() | {
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "onednn": os.environ.get(ONEDNN),
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "replicas": used.num_replicas_in_sync,
    }


def _git_commit() -> str | None:
    """The commit of the checkout that this code runs from, `+` if it was changed since; None outside a checkout."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    ask = lambda *words: subprocess.run(["git", "-C", root, *words], capture_output=True, text=True).stdout.strip()  # noqa: E731
    commit = ask("rev-parse", "--short=12", "HEAD")
    return commit + ("+" if commit and ask("status", "--porcelain", "--untracked-files=no") else "") or None


def processor() -> str:
    """The name of the processor."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def visible_gpus(number: int) -> list[str]:
    """The GPUs of this machine, which so many workers share; none where there are none.

    Raises:
        InputError: there are fewer than workers.
    """
    if VISIBLE in os.environ:
        found = [name for name in os.environ[VISIBLE].split(",") if name not in ("", "-1")]
    elif shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        found = subprocess.run(asked, capture_output=True, text=True).stdout.split()
    else:
        found = []
    if 0 < len(found) < number:
        raise InputError(
            f"--workers {number}: there are {len(found)} GPUs, and no two workers can have the same. Pass --workers "
            f"{len(found)}, or set {VISIBLE}=-1 to train on the CPU."
        )
    return found
