"""The weights of resnet14 that ship with the package: CIFAR-10, trained from scratch, tested once.

    python benchmarks/resnet14_weights.py --data cifar10_jpeg.npz --output resnet14.npz

The .npz holds each image as a JPEG: train_jpeg (all bytes joined, uint8), train_offsets (n + 1, or n starts),
train_labels, the same of test, and class_names. Goes on where it was stopped when --run names the same directory.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasuite import devices

BATCH_SIZE = 128


class Cycle(NamedTuple):
    """A rise and fall of the learning rate; a later one goes on from the weights of the one before."""

    stage: str
    epochs: int
    optimizer: str
    schedule: str
    peak: float
    weight_decay: float
    erase: float = 0.0
    cutmix: float = 0.0


CYCLES = (
    Cycle("first", 18, "adamw", "one_cycle", 3e-3, weight_decay=0.05, erase=0.5),
    Cycle("second", 14, "momentum", "warmup_cosine", 0.1, weight_decay=5e-3),
    Cycle("third", 30, "momentum", "warmup_cosine", 0.1, weight_decay=5e-3, erase=0.5, cutmix=1.0),
    # What was learnt of mixed images is brought back to whole ones (He et al. 2019, arXiv:1909.09148).
    Cycle("fourth", 6, "momentum", "warmup_cosine", 0.01, weight_decay=5e-3),
)


def images(path: str, part: str):
    """uint8 (n, 32, 32, 3), labels (n,), and the class names."""
    import tensorflow as tf

    with np.load(path, allow_pickle=False) as file:
        joined, labels = file[f"{part}_jpeg"].tobytes(), file[f"{part}_labels"]
        starts = file[f"{part}_offsets"].tolist()
        names = tuple(
            np.char.decode(file["class_names"])
            if file["class_names"].dtype.kind == "S"
            else file["class_names"].tolist()
        )
    ends = [*starts[1:], len(joined)]
    pixels = [tf.io.decode_jpeg(joined[a:b]).numpy() for a, b in zip(starts[: len(labels)], ends)]
    return np.stack(pixels), labels.astype(np.int32), tuple(map(str, names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 as an .npz of JPEGs")
    parser.add_argument("--output", type=Path, required=True, help="the .npz of weights to write")
    parser.add_argument("--run", type=Path, default=Path("runs/resnet14"), help="directory of checkpoints")
    given = parser.parse_args()
    devices.import_tensorflow()
    import keras

    from kerasuite.contracts import Examples, Plan
    from kerasuite.data import batches, splits
    from kerasuite.data import images as room
    from kerasuite.data.augmentation import Augmentation, Mixing, together
    from kerasuite.evaluation import metrics, predict
    from kerasuite.models import resnet
    from kerasuite.training import fit, losses, optimizers

    began = time.monotonic()
    x, y, names = images(given.data, "train")
    train, validation = splits.hold_out(Examples({"image": x}, y, class_names=names), 0.1, 0)
    prepare = room.ImagePreparation((32, 32), 3)
    plan = Plan(len(train), BATCH_SIZE, 0)
    given.run.mkdir(parents=True, exist_ok=True)
    fitted = None
    for cycle in CYCLES:

        def build(before=fitted):
            model = resnet.build((32, 32), 3, len(names), **resnet.SHAPES["resnet14"])
            if before:
                model.set_weights(before.model.get_weights())
            return model

        def optimizer(model, num_updates, cycle=cycle):
            rate = optimizers.schedule(cycle.schedule, cycle.peak, num_updates)
            made = optimizers.optimizer(cycle.optimizer, rate, weight_decay=cycle.weight_decay)
            return [(made, model.trainable_variables)]

        keras.utils.set_random_seed(0)
        changes = together(
            Augmentation(shift=0.125, flip=True, erase=cycle.erase), Mixing(len(names), cutmix=cycle.cutmix)
        )
        fitted = fit.fit(
            build,
            batches.starting_at(train, prepare, plan, augment=changes),
            batches.starting_at(validation, prepare, Plan(len(validation), 500, 0, shuffle=False), epochs=1),
            loss=losses.cross_entropy(0.1),
            measures={"accuracy": losses.accuracy},
            optimizers=optimizer,
            epochs=cycle.epochs,
            steps_per_epoch=plan.steps_per_epoch,
            run_dir=given.run,
            precision="bfloat16",
            tensorboard=False,
            stage=cycle.stage,
            before=fitted,
        )
    seconds = fitted.earlier_seconds + time.monotonic() - began

    # What ships is scored: the weights rounded to float16.
    rounded = {weight.path: weight.numpy().astype(np.float16) for weight in fitted.model.weights}
    fitted.model.set_weights([value.astype(np.float32) for value in rounded.values()])
    np.savez_compressed(given.output, **rounded)
    x_test, y_test, _ = images(given.data, "test")
    answers = predict.probabilities(fitted.model, batches.inference(Examples({"image": x_test}, y_test), prepare, 500))
    right = int((answers.argmax(1) == y_test).sum())
    accuracy = metrics.wilson(right, len(y_test)).as_dict()
    print(json.dumps({"test": accuracy, "seconds": round(seconds), "bytes": given.output.stat().st_size}))


if __name__ == "__main__":
    main()
