"""One device, two logical ones, two processes: the same losses, and what sharing the work costs.

    python benchmarks/devices.py [--only mnist_cnn,resnet_transfer,bert_text,lstm_recommender,steps]

Each pipeline trains on its bundled data, without dropout, since replicas draw their own masks; in float32. All ways
share the same cores, so that the time would be the same if sharing cost nothing. `steps` times the steps of a size that
people train, of random weights and random rows, and computes from them what eight GPUs and 64 machines would do, by the
cost model of docs/scaling.md: that is not measured.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from parts import apart, header, main, row

from kerasuite import devices

COMMON = "--precision float32 --patience 50 --checkpoint-seconds 1000 --dropout 0"
PIPELINES = {
    "mnist_cnn": "--sample --model cnn --batch-norm --epochs 4 --learning-rate 1e-3",
    "resnet_transfer": "--sample --unfreeze all --head-epochs 1 --epochs 3",
    "bert_text": "--sample --encoder transformer --tuning full --epochs 4",
    "lstm_recommender": "--sample --epochs 4",
}
WAYS = {"one device": ["run"], "two devices": ["run"], "two processes": ["launch", "--", "run"]}
REPEATS = 7


def trained(pipeline: str, way: str, folder: Path) -> tuple[list[tuple[float, float]], float]:
    """The losses of training and validation of each epoch, and the seconds of an epoch, its tracing left out."""
    output = folder / f"{pipeline} {way}"
    words = [sys.executable, "-m", "kerasuite", *WAYS[way], pipeline, *PIPELINES[pipeline].split()]
    words += [*COMMON.split(), "--output", str(output), *(["--devices", "cpu:2"] if way == "two devices" else [])]
    words += ["--cache", str(folder / "cache")] if pipeline in ("resnet_transfer", "bert_text") else []
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds = [float(found) for found in re.findall(r"poch \d+/\d+  ([\d.]+) s", said)]
    table = np.genfromtxt(output / "history.csv", delimiter=",", names=True)
    return [*zip(table["loss"], table["val_loss"])], statistics.median(seconds[1:])


def losses(pipeline: str) -> None:
    """The three ways side by side."""
    names = ("last loss", "last val_loss", "differ in the first epoch by", "in any by at most", "seconds an epoch")
    header(f"{pipeline}, sample", *names)
    with tempfile.TemporaryDirectory() as folder:
        first = None
        for way in WAYS:
            found, seconds = trained(pipeline, way, Path(folder))
            first = first or found
            differ = [max(abs(a - b) for a, b in zip(*epoch)) for epoch in zip(first, found)]
            cells = [f"{each:.7f}" for each in found[-1]] + [f"{differ[0]:.0e}", f"{max(differ):.0e}"]
            row(way, *cells, f"{seconds:.2f}")


def step_times(kind: str, setting: str) -> dict:
    """Seconds of a step on batches of one size, and the megabytes of the gradients; rows are all alike."""
    import tensorflow as tf

    from kerasuite.training import losses
    from kerasuite.training.steps import Steps

    strategy = devices.strategy(setting)
    build, x, classes, groups_of = STEPS[kind]()
    loss = losses.cross_entropy() if classes else (lambda y, outputs: outputs[:, 0])
    y = np.arange(len(x), dtype=np.int32) % max(classes, 1)
    with strategy.scope():
        model = build()
        groups = groups_of(model)
        for optimizer, variables in groups:
            optimizer.build(variables)
        steps = Steps(model, groups, loss, {}, strategy)
        batch = tf.data.Dataset.from_tensors((x, y, np.ones(len(x), np.float32))).repeat()
        iterator = iter(steps.distribute(batch))
        steps.train(iterator, 1)
        took = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            steps.train(iterator, 2)
            took.append((time.perf_counter() - begun) / 2)
    mb = sum(4 * int(np.prod(v.shape)) for v in model.trainable_variables) / 1e6
    return {"seconds": statistics.median(took), "mb": mb, "rows": len(x)}


def _adamw(model):
    from kerasuite.training import optimizers

    return [(optimizers.optimizer("adamw", 1e-4, weight_decay=0.01), model.trainable_variables)]


def _cnn():
    from kerasuite.models import cnn

    return lambda: cnn.build((28, 28), 1, 10), np.zeros((256, 28, 28, 1), np.float32), 10, _adamw


def _photos():
    from kerasuite.models import resnet, transfer

    body = transfer.pooled(resnet.build((224, 224), 3, None, **resnet.SHAPES["resnet50"]))
    build = lambda: transfer.joined(  # noqa: E731
        [transfer.copied(body, frozen_statistics=True)], transfer.head(2048, 6, dropout=0.0)
    )
    return build, np.zeros((32, 224, 224, 3), np.float32), 6, _adamw


def _texts():
    from kerasuite.models import encoder_tuning, encoders, transfer

    body = encoders.load("minilm").model
    build = lambda: transfer.joined([encoder_tuning.copied(body)], transfer.head(384, 2, dropout=0.0))  # noqa: E731
    return build, np.ones((128, 16), np.int32), 2, _adamw


def _histories():
    from kerasuite.models import next_item, recommender
    from kerasuite.pipelines import _next_item, lstm_recommender

    def build():
        return next_item.trainer(recommender.encoder("lstm", 54_542, dim=64), num_negatives=4096)

    config = lstm_recommender.Config(data=("made",))
    histories = np.random.default_rng(0).integers(1, 54_542, (128, 16), np.int32)
    return build, histories, 0, lambda model: _next_item.groups(config, model, 1000)


STEPS = {
    "mnist_cnn: cnn, 256 images": _cnn,
    "resnet_transfer: all of ResNet-50, 32 photos at 224": _photos,
    "bert_text: all of MiniLM, 128 texts of 16 tokens": _texts,
    "lstm_recommender: LSTM of 64, 54,542 items, 128 histories of 16": _histories,
}


# ResNet-50 v1.5 in TensorFlow on DGX A100, images a second: NVIDIA's DeepLearningExamples, mixed precision.
A100_RESNET50 = 2375.0
# Seconds a step loses for each doubling of devices, beyond the exchange itself: from the same table, where eight GPUs
# do 7.32 (mixed precision) and 7.70 times (TF32) as much as one, 256 images each.
LOST_A_DOUBLING = 3.2e-3
# Name: whether a device is an A100 (else it is this machine), devices, GB/s that each sends.
CLUSTERS = {
    "8 A100 in one machine, 200 GB/s": (True, 8, 200.0),
    "64 machines with an A100, 100 Gbit/s": (True, 64, 12.5),
    "64 machines like this one, 10 Gbit/s": (False, 64, 1.25),
}
# No step of a GPU is shorter: so long does it take to start its kernels.
LEAST_GPU_SECONDS = 2e-3
# A GPU's memory and cores want larger batches than a laptop's.
ROWS_ON_GPU = 8


def times_as_fast(seconds: float, mb: float, number: int, gb_a_second: float) -> float:
    """How many times as much so many devices do as one, each with as many rows as the one.

    The gradients go round in a ring (2 (n - 1) / n of their bytes leave each device), after all of them are there.

    Example:
        >>> round(times_as_fast(256 / 2375, 102, 8, 200.0), 1)
        7.3
    """
    exchange = 2 * (number - 1) / number * mb / 1e3 / gb_a_second
    return number * seconds / (seconds + exchange + LOST_A_DOUBLING * np.log2(number))


def projected(alone: Mapping[str, Mapping[str, float]]) -> None:
    """A table of the cost model; a GPU is taken for as much faster as it is on ResNet-50."""
    photos = next(step for kind, step in alone.items() if "ResNet-50" in kind)
    faster = A100_RESNET50 / (photos["rows"] / photos["seconds"])
    print(f"An A100 is taken for {faster:.0f} times as fast as this machine, with {ROWS_ON_GPU} times the rows.\n")
    header("projected, not measured: times as fast as one", *CLUSTERS)
    for kind, step in alone.items():
        cells = []
        for is_gpu, number, gb in CLUSTERS.values():
            on_gpu = max(ROWS_ON_GPU * step["seconds"] / faster, LEAST_GPU_SECONDS)
            found = times_as_fast(on_gpu if is_gpu else step["seconds"], step["mb"], number, gb)
            cells.append(f"{found:.1f}")
        row(kind, *cells)


def steps(given) -> None:
    """A step on one device and on two, and what the cost model makes of it."""
    header("a step", "one device, s", "two logical devices, s", "more by", "gradients, MB")
    alone = {}
    for kind in STEPS:
        one, two = (apart("step", kind, setting) for setting in ("cpu", "cpu:2"))
        more = f"{100 * (two['seconds'] / one['seconds'] - 1):+.0f} %"
        row(kind, f"{one['seconds']:.3f}", f"{two['seconds']:.3f}", more, f"{one['mb']:.1f}")
        alone[kind] = one
    print()
    projected(alone)


if __name__ == "__main__":
    main(
        __doc__,
        {"step": step_times},
        {name: lambda given, name=name: losses(name) for name in PIPELINES} | {"steps": steps},
        {},
    )
