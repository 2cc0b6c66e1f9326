"""What the benchmarks share: their command line, each part in a process of its own, and rows of a table."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kerasuite import devices


def row(*cells) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def header(*cells) -> None:
    row(*cells)
    row(*["---"] * len(cells))


def apart(part: str, *words: str) -> dict:
    """A function of the calling script, in a process of its own: what it prints last."""
    return answer([sys.executable, sys.argv[0], "--part", part, *words])


def answer(command: list) -> dict:
    """The JSON that a command prints last."""
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def own_peak() -> float:
    """The most memory this process has held, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def multiplication() -> dict:
    """The machine's rate of matrix multiplication, GFLOP/s."""
    import tensorflow as tf

    rates = {}
    for name in ("float32", "bfloat16"):
        a, b = (tf.cast(tf.random.normal((2048, 2048)), name) for _ in range(2))
        multiply = tf.function(tf.matmul)
        multiply(a, b)
        begun = time.perf_counter()
        for _ in range(10):
            product = multiply(a, b)
        product.numpy()
        rates[name] = 10 * 2 * 2048**3 / (time.perf_counter() - begun) / 1e9
    return rates


@contextlib.contextmanager
def finished(pipeline: str, **settings) -> Iterator[Path]:
    """The directory of a run made for this; it goes away with its caches."""
    from kerasuite import cli
    from kerasuite.commands import run

    with tempfile.TemporaryDirectory() as folder:
        make = cli.pipeline(pipeline).Config
        own = {name: f"{folder}/{name}" for name in ("cache", "output") if name in make.__dataclass_fields__}
        yield run.start(pipeline, make(**own | settings))


def main(
    doc: str,
    parts: dict[str, Callable[..., dict]],
    sections: dict[str, Callable[[argparse.Namespace], None]],
    arguments: dict[str, dict],
) -> None:
    """Print the sections that are asked for; or, in a process started by `apart`, the JSON of one part."""
    if sys.argv[1:2] == ["--part"]:
        devices.import_tensorflow()
        print(json.dumps((parts | {"multiplication": multiplication})[sys.argv[2]](*sys.argv[3:])))
        return
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for flag, settings in arguments.items():
        parser.add_argument(flag, **settings)
    parser.add_argument("--only", default=",".join(sections), help=f"by comma, of {', '.join(sections)}")
    given = parser.parse_args()
    wanted = given.only.split(",")
    if unknown := [name for name in wanted if name not in sections]:
        parser.error(f"--only {unknown[0]}: there are {', '.join(sections)}")
    rates = ", ".join(f"{rate:.0f} GFLOP/s in {name}" for name, rate in apart("multiplication").items())
    print(f"{datetime.date.today()}, {devices.processor()}; matrix multiplication: {rates}\n", flush=True)
    for name in wanted:
        sections[name](given)
        print(flush=True)
