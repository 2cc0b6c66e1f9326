"""Sweeps: settings as good as a plain random search finds, in a quarter of its time, and what a trial costs.

    python benchmarks/sweep.py --data mnist.npz [--minutes 16] [--only search,overhead]

--only takes search, overhead and memory. Each search is a process of its own; importing TensorFlow is in its time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import statistics
import tempfile
import time
from multiprocessing import forkserver
from pathlib import Path

from parts import apart, header, main, row

from kerasuite.pipelines import mnist_cnn

SEEDS = (0, 1, 2)
FRESH = (100, 101)
SETTINGS = {"augment": False, "epochs": 3}


class TimeIsUp(Exception):
    """The end of a search."""


def plain(data: str, seed: str, minutes: str) -> dict:
    """Keras Tuner's RandomSearch around `fit` in float32, over the space of mnist_cnn; the best, trained again."""
    began = time.perf_counter()
    import keras
    import keras_tuner
    import numpy as np

    from kerasuite.models import cnn

    config = mnist_cnn.Config(data=data, **SETTINGS)
    # The same rows for training and validation.
    splits = mnist_cnn.load(config)
    (x, y), held_out = (
        (np.asarray(part.inputs["image"], np.float32), part.labels) for part in (splits.train, splits.validation)
    )

    class Model(keras_tuner.HyperModel):
        def build(self, hp):
            found = mnist_cnn.space(hp, config)
            model = cnn.build((28, 28), 1, 10, dropout=found.dropout)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(found.learning_rate), loss, metrics=["accuracy"])
            return model

        def fit(self, hp, model, **ignored):
            size = hp.get("batch_size")
            history = model.fit(x, y, batch_size=size, epochs=config.epochs, validation_data=held_out, verbose=0)
            return {"val_accuracy": max(history.history["val_accuracy"])}

    class Timed(keras_tuner.RandomSearch):
        def on_trial_end(self, trial):
            super().on_trial_end(trial)
            if time.perf_counter() - began > 60 * float(minutes):
                raise TimeIsUp

    with tempfile.TemporaryDirectory() as folder:
        tuner = Timed(Model(), "val_accuracy", 1000, seed=int(seed) + 1, directory=folder)
        with contextlib.suppress(TimeIsUp):
            tuner.search(verbose=0)
        seconds, hp = time.perf_counter() - began, tuner.get_best_hyperparameters()[0]
        found, trials = tuner.oracle.get_best_trials()[0].score, len(tuner.oracle.trials)
    again = []
    for fresh in FRESH:
        keras.utils.set_random_seed(fresh)
        again.append(Model().fit(hp, Model().build(hp))["val_accuracy"])
    return {"trials": trials, "seconds": seconds, "found": found, "again": again}


def ours(data: str, seed: str, minutes: str) -> dict:
    """`kerasuite sweep` with the same space, its re-runs and the run on the test rows included in the time."""
    import kerasuite

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        config = mnist_cnn.Config(data=data, output=f"{folder}/sweep", seed=int(seed), **SETTINGS)
        path = kerasuite.sweep("mnist_cnn", config, trials=1000, minutes=float(minutes), fresh_seeds=len(FRESH))
        sweep = kerasuite.load(path)
        best, trials = sweep.best, len(sweep.display.trials)
    found = {"found": best["value_in_sweep"], "again": best["values_of_fresh_seeds"]}
    return found | {"trials": trials, "seconds": time.perf_counter() - began}


def searches(given) -> None:
    """Both ways with each seed."""
    header("MNIST, cnn, three epochs a trial", "seconds", "trials", "validation accuracy, found", "trained again, mean")
    means: dict[str, list[float]] = {}
    for seed in SEEDS:
        for name, part, minutes in (
            ("random search by plain Keras Tuner", "plain", given.minutes),
            ("kerasuite sweep", "ours", given.minutes / 4),
        ):
            found = apart(part, given.data, str(seed), str(minutes))
            mean = statistics.fmean(found["again"])
            means.setdefault(name, []).append(mean)
            row(
                f"{name}, seed {seed}",
                f"{found['seconds']:.0f}",
                found["trials"],
                f"{found['found']:.4f}",
                f"{mean:.4f}",
            )
    for name, values in means.items():
        row(f"{name}, median", "", "", "", f"{statistics.median(values):.4f}")


def trials(data: str, number: str, epochs: str) -> dict:
    """Seconds from each trial's end to the next one's, those of its epochs, and the memory after each, MB: that of the
    searching process and of the one that trials are forked from."""
    import kerasuite
    from kerasuite.commands.sweeps import attempt

    marks, written = [], attempt.Result.write

    def noted(result, folder):
        written(result, folder)
        processes = ("self", forkserver._forkserver._forkserver_pid)
        pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in processes)
        spent = [float(each) for each in re.findall(r"Epoch \d+/\d+  ([\d.]+) s", (folder / attempt.LOG).read_text())]
        marks.append((time.perf_counter(), spent, pages * os.sysconf("SC_PAGE_SIZE") / 2**20))

    attempt.Result.write = noted
    with tempfile.TemporaryDirectory() as folder:
        settings = SETTINGS | {"epochs": int(epochs), "batch_size": 128}
        config = mnist_cnn.Config(data=data, output=f"{folder}/sweep", **settings)
        search = {"set": ("dropout=0.1..0.5",), "stop_early": False, "best": 1, "fresh_seeds": 1}
        kerasuite.sweep("mnist_cnn", config, trials=int(number), tuner="random", **search)
    marks = marks[: int(number)]
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(marks)]
    return {"seconds": gaps, "epochs": [spent for _, spent, _ in marks[1:]], "mb": [mb for *_, mb in marks]}


def overhead(given) -> None:
    """What of a trial's time is not that of its epochs."""
    found = apart("trials", given.data, "6", "3")
    # The first epoch has tracing and the first batch of validation in it.
    epochs = [statistics.fmean(spent[1:]) for spent in found["epochs"]]
    beyond = [seconds - len(spent) * epoch for seconds, spent, epoch in zip(found["seconds"], found["epochs"], epochs)]
    header("a trial of the cnn on MNIST, three epochs, median", "seconds")
    row("in all", f"{statistics.median(found['seconds']):.2f}")
    row("an epoch, but the first", f"{statistics.median(epochs):.2f}")
    row("beyond its epochs: process, model, tracing, TensorBoard", f"{statistics.median(beyond):.2f}")


def memory(given) -> None:
    """What stays over thirty trials, on the digits."""
    mb = apart("trials", "digits", "30", "1")["mb"]
    header("memory of the processes that stay, MB", "after 2 trials", "after 30", "a trial more")
    row("", f"{mb[1]:.0f}", f"{mb[-1]:.0f}", f"{(mb[-1] - mb[1]) / (len(mb) - 2):.2f}")


if __name__ == "__main__":
    main(
        __doc__,
        {"plain": plain, "ours": ours, "trials": trials},
        {"search": searches, "overhead": overhead, "memory": memory},
        {
            "--data": {"required": True, "help": "mnist.npz"},
            "--minutes": {"type": float, "default": 16.0, "help": "for the plain search; a quarter for the sweep"},
        },
    )
