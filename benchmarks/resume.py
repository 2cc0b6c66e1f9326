"""Nothing lost: runs killed at random moments end with the very weights of one that was left alone; what that costs.

    python benchmarks/resume.py --mnist mnist.npz [--kills 100] [--only kills,cost]

Each run has dropout, batch normalisation, Adam, a schedule, early stopping and augmentation, on the digits that come
with scikit-learn. It is killed (SIGKILL) at a moment drawn evenly from one and a half times the length of a whole run,
start and report included (two go on at a time, and are slower; where one was over already, it is killed earlier), and
then resumed. Of a hundred kills ten are of runs on two devices, and ten of a worker of two, which `launch` starts again
by itself. --mnist is what checkpoints are timed on.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from parts import apart, header, main, row

from kerasuite import run_directory, whole_files

SETTINGS = "--data digits --model cnn --batch-norm --dropout 0.3 --rotation 10 --shift 0.1 --batch-size 64 --epochs 8"
SETTINGS += " --patience 3 --precision float32 --checkpoint-seconds 0.2"
KERASUITE = [sys.executable, "-m", "kerasuite"]
RUN = ["run", "mnist_cnn", *SETTINGS.split(), "--output"]
# Name: the flags of the run, and of `launch` before it.
KINDS = {"one device": ([], []), "two devices": (["--devices", "cpu:2"], []), "two workers": ([], ["launch", "--"])}
FILES = (run_directory.HISTORY, run_directory.PREDICTIONS)


def command(kind: str, run_dir: Path) -> list[str]:
    flags, before = KINDS[kind]
    return [*KERASUITE, *before, *RUN, str(run_dir), *flags]


def finish(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: status {done.returncode}\n{done.stderr}")


def killed_once(kind: str, run_dir: Path, moment: float) -> str:
    """Kill a run, or a worker of it, at a moment, and see it to its end; where it stood then."""
    process = subprocess.Popen(command(kind, run_dir), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment)
        # It was over already: that is no kill.
        shutil.rmtree(run_dir)
        return killed_once(kind, run_dir, 0.7 * moment)
    where = stage(run_dir)
    if kind == "two workers":
        while process.poll() is None and not (workers := workers_of(run_dir)):
            time.sleep(0.1)
        with contextlib.suppress(ProcessLookupError):
            os.kill(random.Random(moment).choice(workers), signal.SIGKILL)
        if process.wait():
            raise RuntimeError(f"{run_dir}: launch ended with status {process.returncode}")
        return where
    process.kill()
    process.wait()
    begun = (run_dir / run_directory.CONFIG).is_file()
    finish([*KERASUITE, "resume", str(run_dir)] if begun else command(kind, run_dir))
    return where


def workers_of(run_dir: Path) -> list[int]:
    """The processes of the workers of a run, by their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if str(run_dir) in words and "launch" not in words:
            found.append(int(path.name))
    return found


def stage(run_dir: Path) -> str:
    if run_directory.is_finished(run_dir):
        return "finished"
    if (run_dir / run_directory.MODEL).exists():
        return "after training"
    if any((run_dir / run_directory.CHECKPOINTS).rglob("*")):
        return "in training"
    return "before training"


def differences(run_dir: Path, whole: Path) -> list[str]:
    """What differs by a single bit: weights, history, predictions, metrics."""
    import keras

    weights = [keras.models.load_model(each / run_directory.MODEL).get_weights() for each in (run_dir, whole)]
    found = [] if all(map(np.array_equal, *weights)) else ["weights"]
    found += [name for name in FILES if (run_dir / name).read_bytes() != (whole / name).read_bytes()]
    metrics = [whole_files.read_json(each / run_directory.METRICS) for each in (run_dir, whole)]
    alike = all(metrics[0][name] == metrics[1][name] for name in ("examples", "test", "baselines", "verdict"))
    return found if alike else [*found, "metrics"]


def kills(given) -> None:
    """So many kills, two runs at a time."""
    tenth = given.kills // 10
    numbers = {"one device": given.kills - 2 * tenth, "two devices": tenth, "two workers": tenth}
    header("killed at a random moment", "kills", "the very same to the last bit", "moments")
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        for kind, number in numbers.items():
            whole = Path(folder, f"whole {kind}")
            begun = time.monotonic()
            finish(command(kind, whole))
            # Two at a time take longer than one alone.
            seconds = 1.5 * (time.monotonic() - begun)
            runs = [(Path(folder, f"{kind} {k}"), rng.uniform(0, seconds)) for k in range(number)]
            with ThreadPoolExecutor(2) as pool:
                where = Counter(pool.map(lambda run: killed_once(kind, *run), runs))  # noqa: B023
            unlike = {run_dir.name: found for run_dir, _ in runs if (found := differences(run_dir, whole))}
            told = ", ".join(f"{count} {name}" for name, count in where.most_common())
            row(kind, number, number - len(unlike), told)
            for name, found in unlike.items():
                print(f"{name} differs in {', '.join(found)}")


def timed(data: str, model: str, epochs: str) -> dict:
    """A run's training, and its checkpoints' share of it."""
    from parts import finished

    from kerasuite.training import checkpoint

    spent, save = [], checkpoint.save

    def timed_save(*arguments):
        begun = time.perf_counter()
        done = save(*arguments)
        spent.append(time.perf_counter() - begun)
        return done

    checkpoint.save = timed_save
    settings = {"data": data, "model": model, "epochs": int(epochs)}
    with finished("mnist_cnn", **settings) as run_dir:
        train = whole_files.read_json(run_dir / run_directory.METRICS)["seconds"]["train"]
    return {"train": train, "number": len(spent), "seconds": sum(spent)}


def cost(given) -> None:
    """What checkpoints cost, one every thirty seconds and one at the end of each epoch."""
    header("MNIST", "training, s", "checkpoints", "their seconds", "share")
    for model, epochs in (("cnn", 3), ("residual_cnn", 1)):
        found = apart("timed", given.mnist, model, str(epochs))
        share = f"{100 * found['seconds'] / found['train']:.2f} %"
        row(f"{model}, {epochs} epochs", f"{found['train']:.1f}", found["number"], f"{found['seconds']:.2f}", share)


if __name__ == "__main__":
    main(
        __doc__,
        {"timed": timed},
        {"kills": kills, "cost": cost},
        {
            "--mnist": {"required": True, "help": "mnist.npz"},
            "--kills": {"type": int, "default": 100, "help": "how many (100)"},
        },
    )
