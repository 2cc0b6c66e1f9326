"""MNIST: how much sooner than the plain Keras way, and what else the README claims of mnist_cnn.

    python benchmarks/mnist_cnn.py --data mnist.npz [--only speed,memory]

Every run is a process of its own; importing TensorFlow is left out of all times, reading the data is in all of them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from parts import apart, finished, header, main, own_peak, row

from kerasuite import devices
from kerasuite.pipelines import mnist_cnn

CLASSIC = {"model": "cnn", "augment": False, "epochs": 3, "learning_rate": 8e-3}
RESIDUAL = {"model": "residual_cnn", "learning_rate": 8e-3}


def plain(data: str) -> dict:
    """float32, batches of 64, ten epochs of `fit` on arrays; the test accuracy after each, its time left out."""
    import keras
    import numpy as np

    from kerasuite.models import cnn

    began = time.perf_counter()
    keras.utils.set_random_seed(0)
    with np.load(data) as file:
        x_train, y_train, x_test, y_test = (file[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    x_train, x_test = (x[..., None].astype("float32") for x in (x_train, x_test))
    model = cnn.build((28, 28), 1, 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    marks, tested = [], 0.0
    for _ in range(10):
        model.fit(x_train, y_train, batch_size=64, verbose=0)
        pause = time.perf_counter()
        accuracy = model.evaluate(x_test, y_test, batch_size=1000, verbose=0)[1]
        tested += time.perf_counter() - pause
        marks.append({"seconds": time.perf_counter() - began - tested, "accuracy": accuracy})
    return {"marks": marks, **marks[-1]}


def ours(data: str, seed: str, **settings) -> dict:
    """The pipeline's own load and train, the choice of precision included; then the test accuracy."""
    from kerasuite.data import batches
    from kerasuite.evaluation import predict

    began = time.perf_counter()
    config = mnist_cnn.Config(data=data, seed=int(seed), **settings)
    with tempfile.TemporaryDirectory() as folder:
        splits = mnist_cnn.load(config)
        loaded = time.perf_counter()
        fitted = mnist_cnn.train(config, splits.train, splits.validation, Path(folder))
    trained = time.perf_counter()
    prepare = mnist_cnn.preparation(config, splits.train)
    answers = predict.probabilities(fitted.model, batches.inference(splits.test, prepare, 1000)).argmax(1)
    accuracy = float((answers == splits.test.labels).mean())
    return {"seconds": trained - began, "train_seconds": trained - loaded, "accuracy": accuracy}


def input_wait(data: str) -> dict:
    """How much longer steps take when their batches are gathered than when one batch is handed out again and again.

    Without augmentation, which is work of its own on a CPU.
    """
    import tensorflow as tf

    from kerasuite.contracts import Plan
    from kerasuite.data import batches
    from kerasuite.models import cnn
    from kerasuite.training import losses, optimizers
    from kerasuite.training.steps import Steps

    config = mnist_cnn.Config(data=data)
    train = mnist_cnn.load(config).train
    prepare = mnist_cnn.preparation(config, train)
    real = batches.training(train, prepare, Plan(len(train), config.batch_size, 0))
    with devices.precision("bfloat16"):
        model = cnn.build((28, 28), 1, 10)
        adam = optimizers.optimizer("adam", 1e-3)
        adam.build(model.trainable_variables)
        steps = Steps(
            model, [(adam, model.trainable_variables)], losses.cross_entropy(), {}, tf.distribute.get_strategy()
        )
        sources = {"gathered": real, "repeated": tf.data.Dataset.from_tensors(next(iter(real))).repeat()}
        iterators = {name: iter(source) for name, source in sources.items()}
        seconds = {name: [] for name in sources}
        for name in list(sources) * 12:
            begun = time.perf_counter()
            steps.train(iterators[name], 40)
            seconds[name].append(time.perf_counter() - begun)
    # The first two calls trace.
    gathered, repeated = (statistics.median(seconds[name][2:]) for name in ("gathered", "repeated"))
    return {"share": 1 - repeated / gathered}


def decoding() -> dict:
    """Photos a second, 341x256 JPEGs decoded and resized to 224x224, as training reads them."""
    import numpy as np
    import tensorflow as tf

    from kerasuite.contracts import Examples, Plan
    from kerasuite.data import batches, images

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for k in range(512):
            coarse = tf.image.resize(rng.integers(0, 256, (12, 9, 3)), (341, 256), method="bicubic")
            noisy = tf.clip_by_value(coarse + rng.normal(0, 6, coarse.shape), 0, 255)
            paths.append(f"{folder}/{k}.jpg")
            Path(paths[-1]).write_bytes(tf.io.encode_jpeg(tf.cast(noisy, tf.uint8), quality=90).numpy())
        photos = Examples({"path": np.array(paths)}, np.zeros(512, int))
        prepare = images.ImagePreparation((224, 224), 3)
        iterator = iter(batches.training(photos, prepare, Plan(512, 64, 0)))
        for _ in range(4):
            next(iterator)
        begun = time.perf_counter()
        for _ in range(40):
            next(iterator)
        return {"photos_a_second": 40 * 64 / (time.perf_counter() - begun)}


def answer_seconds(*words: str) -> float:
    """The median time of a command that answers at once."""
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        subprocess.run([Path(sys.executable).with_name("kerasuite"), *words], capture_output=True, check=True)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def whole_run(data: str) -> dict:
    """Peak memory of a run of the pipeline, GB."""
    with finished("mnist_cnn", data=data):
        return {"gb": own_peak()}


PARTS = {
    "plain": plain,
    "classic": lambda data, seed: ours(data, seed, **CLASSIC),
    "residual": lambda data, seed: ours(data, seed, **RESIDUAL),
    "input_wait": input_wait,
    "decoding": decoding,
    "run": whole_run,
}


def print_speed(data: str, seeds: int) -> None:
    """Seconds to an accuracy: plain Keras, and ours with several seeds."""
    header("MNIST", "seconds", "test accuracy", "seeds")
    keras_way = apart("plain", data)
    row("plain Keras, 10 epochs", f"{keras_way['seconds']:.1f}", f"{keras_way['accuracy']:.4f}", 1)
    medians = {}
    for name, settings in (("classic", CLASSIC), ("residual", RESIDUAL)):
        runs = [apart(name, data, str(seed)) for seed in range(seeds)]
        medians[name] = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        accuracies = [run["accuracy"] for run in runs]
        spread = f"{medians[name]['accuracy']:.4f} ({min(accuracies):.4f} to {max(accuracies):.4f})"
        row(settings["model"], f"{medians[name]['seconds']:.1f}", spread, len(runs))
    ratio = keras_way["seconds"] / medians["classic"]["seconds"]
    print(f"\nThe cnn's median run takes 1/{ratio:.1f} of the plain way's time.")
    reached = next((m["seconds"] for m in keras_way["marks"] if m["accuracy"] >= medians["classic"]["accuracy"]), None)
    after = f"{reached:.1f} s" if reached else "more than 10 epochs"
    print(f"The plain way first has the cnn's median accuracy after {after}.")


def print_input(data: str) -> None:
    print(f"Waiting for input: {apart('input_wait', data)['share']:.1%} of the step time.")
    print(f"JPEG photos decoded and resized to 224: {apart('decoding')['photos_a_second']:,.0f} a second.")


SECTIONS = {
    "speed": lambda given: print_speed(given.data, given.seeds),
    "input": lambda given: print_input(given.data),
    "memory": lambda given: print(f"Peak memory of the whole run: {apart('run', given.data)['gb']:.2f} GB."),
    "answers": lambda given: print(
        f"kerasuite --help: {answer_seconds('--help'):.2f} s; list: {answer_seconds('list'):.2f} s."
    ),
}
ARGUMENTS = {
    "--data": {"required": True, "help": "MNIST as an .npz with x_train, y_train, x_test, y_test"},
    "--seeds": {"type": int, "default": 5, "help": "runs of each of our models"},
}


if __name__ == "__main__":
    main(__doc__, PARTS, SECTIONS, ARGUMENTS)
