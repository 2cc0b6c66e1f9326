"""The weights of resnet14 that ship with the package: CIFAR-10, trained from scratch, tested once.

    python benchmarks/resnet14_weights.py --data cifar10_jpeg.npz --output resnet14.npz

The .npz holds each image as a JPEG: train_jpeg (all bytes joined, uint8), train_offsets (n + 1, or n starts),
train_labels, the same of test, and class_names. Goes on where it was stopped when --run names the same directory.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path

import numpy as np

from kerasuite import devices

EPOCHS, BATCH_SIZE, PEAK, WEIGHT_DECAY = 18, 128, 3e-3, 0.05


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
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    given = parser.parse_args()
    devices.import_tensorflow()
    import keras

    from kerasuite.contracts import Examples, Plan
    from kerasuite.data import batches, splits
    from kerasuite.data import images as room
    from kerasuite.data.augmentation import Augmentation
    from kerasuite.evaluation import metrics, predict
    from kerasuite.models import resnet
    from kerasuite.training import fit, losses, optimizers

    began = time.monotonic()
    x, y, names = images(given.data, "train")
    train, validation = splits.hold_out(Examples({"image": x}, y, class_names=names), 0.1, 0)
    prepare = room.ImagePreparation((32, 32), 3)
    plan = Plan(len(train), BATCH_SIZE, 0)
    build = partial(resnet.build, (32, 32), 3, len(names), **resnet.SHAPES["resnet14"])
    rate = optimizers.schedule("one_cycle", PEAK, given.epochs * plan.steps_per_epoch)
    adamw = partial(optimizers.optimizer, "adamw", rate, weight_decay=WEIGHT_DECAY)
    given.run.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    fitted = fit.fit(
        build,
        batches.starting_at(train, prepare, plan, augment=Augmentation.usual("cifar10")),
        batches.training(validation, prepare, Plan(len(validation), 500, 0, shuffle=False), epochs=1),
        loss=losses.cross_entropy(0.1),
        measures={"accuracy": losses.accuracy},
        optimizers=lambda model: [(adamw(), model.trainable_variables)],
        epochs=given.epochs,
        steps_per_epoch=plan.steps_per_epoch,
        run_dir=given.run,
        precision="bfloat16",
        tensorboard=False,
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
