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
    apart: dict[str, Callable[..., dict]],
    sections: dict[str, Callable[[argparse.Namespace], None]],
    arguments: dict[str, dict],
) -> None:
    """Print the sections that are asked for; or, in a process started by `apart`, the JSON of one part."""
    if sys.argv[1:2] == ["--part"]:
        devices.import_tensorflow()
        print(json.dumps(apart[sys.argv[2]](*sys.argv[3:])))
        return
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for flag, settings in arguments.items():
        parser.add_argument(flag, **settings)
    parser.add_argument("--only", default=",".join(sections), help=f"by comma, of {', '.join(sections)}")
    given = parser.parse_args()
    wanted = given.only.split(",")
    if unknown := [name for name in wanted if name not in sections]:
        parser.error(f"--only {unknown[0]}: there are {', '.join(sections)}")
    print(f"{datetime.date.today()}, {devices.processor()}\n", flush=True)
    for name in wanted:
        sections[name](given)
        print(flush=True)
