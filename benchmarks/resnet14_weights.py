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

import numpy as np

from kerasuite import devices

BATCH_SIZE, EPOCHS, PEAK_RATE, WEIGHT_DECAY, SMOOTHING = 128, 42, 0.2, 5e-3, 0.1
# What normalisation adds has little to go by in its gradients: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a
# Single GPU", arXiv:2404.00498, from which is also how convolutions begin.
SHIFTS_RATE = 16
# Of the 50,000 training images, to see by how it goes.
HELD_OUT = 0.02


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


def train(data: str, run_dir: Path):
    """Of all but the rows held out, in one rise and fall of the rate: what `fit` returns."""
    import keras

    from kerasuite.contracts import Examples, Plan
    from kerasuite.data import batches, splits
    from kerasuite.data.augmentation import Augmentation
    from kerasuite.models import resnet
    from kerasuite.training import fit, losses, optimizers

    x, y, names = images(data, "train")
    rows, held_out = splits.hold_out(Examples({"image": x}, y, class_names=names), HELD_OUT, 0)
    plan = Plan(len(rows), BATCH_SIZE, 0)

    def build():
        model = resnet.build((32, 32), 3, len(names), **resnet.SHAPES["resnet14"])
        begin_as_identity(model)
        return model

    def groups(model, num_updates):
        shifts = [variable for variable in model.trainable_variables if variable.path.endswith("/beta")]
        others = [variable for variable in model.trainable_variables if not variable.path.endswith("/beta")]
        made = []
        for share, variables in ((1, others), (SHIFTS_RATE, shifts)):
            rate = optimizers.schedule("warmup_cosine", share * PEAK_RATE, num_updates)
            made.append((optimizers.optimizer("momentum", rate, weight_decay=WEIGHT_DECAY), variables))
        return made

    keras.utils.set_random_seed(0)
    return fit.fit(
        build,
        batches.starting_at(rows, prepare(), plan, augment=Augmentation(shift=0.125, flip=True, erase=0.5)),
        batches.starting_at(held_out, prepare(), Plan(len(held_out), 500, 0, shuffle=False), epochs=1),
        loss=losses.cross_entropy(SMOOTHING),
        measures={"accuracy": losses.accuracy},
        optimizers=groups,
        epochs=EPOCHS,
        steps_per_epoch=plan.steps_per_epoch,
        run_dir=run_dir,
        precision="bfloat16",
        tensorboard=False,
    )


def begin_as_identity(model) -> None:
    """Make each 3x3 convolution pass on its first channels as they are."""
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and kernel.shape[:2] == (3, 3) and layer.name != "stem":
            values = kernel.numpy()
            number = min(values.shape[2:])
            values[..., :number] = 0
            values[1, 1, range(number), range(number)] = 1
            kernel.assign(values)


def rounded(model) -> dict[str, np.ndarray]:
    """Its weights by path: to bfloat16's 8 significant bits, in float16, which NumPy reads and zip makes smaller."""
    import tensorflow as tf

    return {weight.path: tf.cast(tf.cast(weight, tf.bfloat16), tf.float16).numpy() for weight in model.weights}


def score(model, data: str) -> dict:
    """Accuracy on the test images, with its 95 % interval."""
    from kerasuite.contracts import Examples
    from kerasuite.data import batches
    from kerasuite.evaluation import metrics, predict

    x, y, _ = images(data, "test")
    answers = predict.probabilities(model, batches.inference(Examples({"image": x}, y), prepare(), 500))
    return metrics.wilson(int((answers.argmax(1) == y).sum()), len(y)).as_dict()


def prepare():
    from kerasuite.data.images import ImagePreparation

    return ImagePreparation((32, 32), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 as an .npz of JPEGs")
    parser.add_argument("--output", type=Path, required=True, help="the .npz of weights to write")
    parser.add_argument("--run", type=Path, default=Path("runs/resnet14"), help="directory of checkpoints")
    given = parser.parse_args()
    devices.import_tensorflow()

    began = time.monotonic()
    given.run.mkdir(parents=True, exist_ok=True)
    fitted = train(given.data, given.run)
    seconds = fitted.earlier_seconds + time.monotonic() - began

    # What ships is scored: the weights as they are rounded.
    arrays = rounded(fitted.model)
    fitted.model.set_weights([value.astype(np.float32) for value in arrays.values()])
    np.savez_compressed(given.output, **arrays)
    size = given.output.stat().st_size
    print(json.dumps({"test": score(fitted.model, given.data), "seconds": round(seconds), "bytes": size}))


if __name__ == "__main__":
    main()
