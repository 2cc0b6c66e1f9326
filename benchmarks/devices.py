"""One device, two logical ones, two processes: the same losses, and what sharing the work costs.

    python benchmarks/devices.py [--only mnist_cnn,resnet_transfer,bert_text,lstm_recommender,steps]

Each pipeline trains on its bundled data, without dropout, since replicas draw their own masks; in float32. All ways
share the same cores, so that the time would be the same if sharing cost nothing. `steps` times the steps of a size that
people train, of random weights and random rows.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from parts import apart, header, main, row

from kerasuite import devices

COMMON = ["--precision", "float32", "--patience", "50", "--checkpoint-seconds", "1000"]
PIPELINES = {
    "mnist_cnn": ["--sample", "--model", "cnn", "--batch-norm", "--dropout", "0", "--epochs", "6"],
    "resnet_transfer": ["--sample", "--unfreeze", "all", "--head-epochs", "1", "--epochs", "3", "--dropout", "0"],
    "bert_text": ["--sample", "--encoder", "transformer", "--tuning", "full", "--epochs", "4", "--dropout", "0"],
    "lstm_recommender": ["--sample", "--epochs", "4", "--dropout", "0"],
}
WAYS = {"one device": ["run"], "two devices": ["run"], "two processes": ["launch", "--", "run"]}
REPEATS = 7


def trained(pipeline: str, way: str, folder: Path) -> tuple[list[float], float]:
    """The losses of training and validation, epoch by epoch, and the seconds of an epoch, its tracing left out."""
    output = folder / f"{pipeline} {way}"
    words = [sys.executable, "-m", "kerasuite", *WAYS[way], pipeline, *PIPELINES[pipeline], *COMMON]
    words += ["--output", str(output), *(["--devices", "cpu:2"] if way == "two devices" else [])]
    words += ["--cache", str(folder / "cache")] if pipeline in ("resnet_transfer", "bert_text") else []
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds = [float(found) for found in re.findall(r"poch \d+/\d+  ([\d.]+) s", said)]
    table = np.genfromtxt(output / "history.csv", delimiter=",", names=True)
    return [*table["loss"], *table["val_loss"]], statistics.median(seconds[1:])


def losses(pipeline: str) -> None:
    """The three ways side by side."""
    header(
        f"{pipeline}, sample", "last loss", "last val_loss", "largest difference from one device", "seconds an epoch"
    )
    with tempfile.TemporaryDirectory() as folder:
        first = None
        for way in WAYS:
            found, seconds = trained(pipeline, way, Path(folder))
            first = first or found
            apart = max(abs(a - b) / abs(a) for a, b in zip(first, found))
            half = len(found) // 2
            row(way, f"{found[half - 1]:.7f}", f"{found[-1]:.7f}", f"{apart:.1e}", f"{seconds:.2f}")


def step_times(kind: str, setting: str) -> dict:
    """Seconds of a step on batches of one size, and the bytes of the gradients; weights and rows are random."""
    import tensorflow as tf

    from kerasuite.training import losses, optimizers
    from kerasuite.training.steps import Steps

    strategy = devices.strategy(setting)
    build, x, classes = STEPS[kind]()
    rows = len(x)
    y = np.arange(rows, dtype=np.int32) % classes
    with strategy.scope():
        model = build()
        optimizer = optimizers.optimizer("adamw", 1e-4, weight_decay=0.01)
        optimizer.build(model.trainable_variables)
        groups = [(optimizer, model.trainable_variables)]
        steps = Steps(model, groups, losses.cross_entropy(), {}, strategy)
        batch = tf.data.Dataset.from_tensors((x, y, np.ones(rows, np.float32))).repeat()
        iterator = iter(steps.distribute(batch))
        steps.train(iterator, 1)
        took = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            steps.train(iterator, 2)
            took.append((time.perf_counter() - begun) / 2)
    mb = sum(4 * int(np.prod(v.shape)) for v in model.trainable_variables) / 1e6
    return {"seconds": statistics.median(took), "mb": mb, "rows": rows}


def _cnn():
    from kerasuite.models import cnn

    return lambda: cnn.build((28, 28), 1, 10), np.zeros((256, 28, 28, 1), np.float32), 10


def _photos():
    from kerasuite.models import resnet, transfer

    body = transfer.pooled(resnet.build((224, 224), 3, None, **resnet.SHAPES["resnet50"]))
    build = lambda: transfer.joined(  # noqa: E731
        [transfer.copied(body, frozen_statistics=True)], transfer.head(2048, 6, dropout=0.0)
    )
    return build, np.zeros((32, 224, 224, 3), np.float32), 6


def _texts():
    from kerasuite.models import encoders, transfer

    body = encoders.load("minilm").model
    build = lambda: transfer.joined([encoders.copied(body)], transfer.head(384, 2, dropout=0.0))  # noqa: E731
    return build, np.ones((128, 16), np.int32), 2


STEPS = {
    "mnist_cnn: cnn, 256 images": _cnn,
    "resnet_transfer: all of ResNet-50, 32 photos at 224": _photos,
    "bert_text: all of MiniLM's shape, 128 texts of 16 tokens": _texts,
}


def steps(given) -> None:
    """A step on one device and on two."""
    header("a step", "one device, s", "two logical devices, s", "more by", "gradients, MB")
    for kind in STEPS:
        one, two = (apart("step", kind, setting) for setting in ("cpu", "cpu:2"))
        more = f"{100 * (two['seconds'] / one['seconds'] - 1):+.0f} %"
        row(kind, f"{one['seconds']:.3f}", f"{two['seconds']:.3f}", more, f"{one['mb']:.1f}")


if __name__ == "__main__":
    main(
        __doc__,
        {"step": step_times},
        {name: lambda given, name=name: losses(name) for name in PIPELINES} | {"steps": steps},
        {},
    )
