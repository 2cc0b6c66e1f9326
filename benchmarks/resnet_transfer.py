"""Photos: what the README claims of resnet_transfer, in accuracy and in speed.

    python benchmarks/resnet_transfer.py --data trashnet [--only quality,scratch,frozen,heads,inference,input,memory]

Each part runs in processes of its own. Importing TensorFlow and loading weights are left out of all times; reading and
decoding photos is in all of them. PyTorch's side of the inference part is benchmarks/torch_resnet50.py, which wants an
environment of its own: --torch-python names its Python.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from parts import answer, apart, finished, header, main, row

from kerasuite.pipelines import _stage_rows, resnet_transfer

SPLITS = (0, 1, 2)
FRACTIONS = {"test_fraction": 0.15, "validation_fraction": 0.15 / 0.85}
LITE = {"backbone": "efficientnet_lite0"}
TINY = {"backbone": "resnet14", "image_size": (64, 64), "unfreeze": "all", "epochs": 15, "patience": 15}
# CIFAR's images are unlike photos: what was learnt of them has to change more than what was learnt of ImageNet.
TINY_RATE = {"backbone_rate": 0.5}
PROBE = "logistic_regression_on_features"


def whole_run(data: str, cache: str, seed: str, settings: str) -> dict:
    """metrics.json of one run of the pipeline, and for each test row whether it is right."""
    from kerasuite import run_directory, whole_files

    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(settings).items()}
    with finished("resnet_transfer", data=data, cache=cache, seed=int(seed), **FRACTIONS, **chosen) as run_dir:
        metrics = whole_files.read_json(run_dir / run_directory.METRICS)
        table = (run_dir / run_directory.PREDICTIONS).read_text().splitlines()[1:]
    return metrics | {"right": [cells[1] == cells[2] for cells in (line.split(",") for line in table)]}


def quality(data: str, kinds: dict[str, dict]) -> dict[str, list[bool]]:
    """Accuracy on three splits of each kind of run, by name; returns whether each test row of all splits is right."""
    header("TrashNet", "test accuracy: mean (each split)", "linear probe", "seconds", "verdict on each split")
    right = {}
    for name, settings in kinds.items():
        with tempfile.TemporaryDirectory() as cache:
            runs = [apart("run", data, cache, str(seed), json.dumps(settings)) for seed in SPLITS]
        values = [run["test"]["accuracy"]["value"] for run in runs]
        probes = [run["baselines"].get(PROBE, run["baselines"]["majority"])["accuracy"]["value"] for run in runs]
        right[name] = [is_right for run in runs for is_right in run["right"]]
        each = ", ".join(f"{value:.3f}" for value in values)
        verdicts = ", ".join(run["verdict"] for run in runs)
        row(
            name,
            f"{statistics.fmean(values):.3f} ({each}; sd {statistics.stdev(values):.3f})",
            f"{statistics.fmean(probes):.3f}" if not settings.get("train_from_scratch") else "–",
            f"{statistics.fmean(run['seconds']['total'] for run in runs):.0f}",
            verdicts,
        )
    return right


def transfer_and_scratch(data: str) -> None:
    """The small network against itself from scratch, by the paired test over the test rows of three splits."""
    import numpy as np

    from kerasuite.evaluation import metrics

    right = quality(data, {"resnet14": TINY | TINY_RATE, "resnet14 from scratch": TINY | {"train_from_scratch": True}})
    transfer, scratch = map(np.array, right.values())
    word, p = metrics.verdict(transfer, scratch)
    print(f"\nresnet14's transfer against itself from scratch, {len(transfer):,} rows: {word}, p = {p:.2g}.")


def plain_keras(data: str, seed: int, epochs: int) -> dict:
    """The usual way: decode, resize, run the frozen backbone and train the head, all in each epoch of `fit`."""
    import keras
    import tensorflow as tf

    config = resnet_transfer.Config(data=data, seed=seed, **FRACTIONS, **LITE)
    splits = resnet_transfer.load(config)
    base = resnet_transfer.backbone(config).model
    base.trainable = False
    size = base.input_shape[1:3]

    def batches(examples, shuffle):
        def read(path, label):
            pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
            return tf.image.resize(pixels, size), label

        rows = tf.data.Dataset.from_tensor_slices((examples.inputs["path"], examples.labels))
        rows = rows.shuffle(len(examples), seed) if shuffle else rows
        return rows.map(read, tf.data.AUTOTUNE).batch(64).prefetch(tf.data.AUTOTUNE)

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((*size, 3))
    x = keras.layers.Dropout(0.2)(base(inputs, training=False))
    model = keras.Model(inputs, keras.layers.Dense(len(splits.train.class_names))(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    marks = []

    class Mark(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            marks.append(time.perf_counter() - began)

    began = time.perf_counter()
    model.fit(
        batches(splits.train, True), validation_data=batches(splits.validation, False), epochs=epochs, verbose=0,
        callbacks=[Mark()],
    )  # fmt: skip
    test = model.evaluate(batches(splits.test, False), verbose=0)[1]
    return {"marks": marks, "accuracy": test}


def cached_head(data: str, cache: str, seed: int, epochs: int, cache_gb: float = 8.0) -> dict:
    """The pipeline's own head stage."""
    from kerasuite.data import batches
    from kerasuite.evaluation import predict

    settings = FRACTIONS | LITE | {"unfreeze": "none", "augment": False, "epochs": epochs, "patience": epochs}
    config = resnet_transfer.Config(data=data, cache=cache, cache_gb=cache_gb, seed=seed, **settings)
    splits = resnet_transfer.load(config)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        fitted = resnet_transfer.train(config, splits.train, splits.validation, Path(folder))
    seconds = time.perf_counter() - began
    prepare = resnet_transfer.preparation(resnet_transfer.backbone(config))
    answers = predict.probabilities(fitted.model, batches.inference(splits.test, prepare, 64)).argmax(1)
    return {"seconds": seconds, "accuracy": float((answers == splits.test.labels).mean())}


def frozen_stage(data: str) -> None:
    """Ten and twenty epochs of the frozen stage, the plain way and with cached features; then with the cache full."""
    plain = apart("plain", data, "0", "20")
    header("frozen stage, TrashNet, efficientnet_lite0", "10 epochs, s", "20 epochs, s", "test accuracy after 20")
    row("plain Keras", f"{plain['marks'][9]:.1f}", f"{plain['marks'][19]:.1f}", f"{plain['accuracy']:.4f}")
    found = {}
    for epochs in (10, 20):
        with tempfile.TemporaryDirectory() as cache:
            found[epochs] = [apart("head", data, cache, "0", str(epochs)) for _ in range(2)]
    for k, name in enumerate(("cached features", "the same again, cache full")):
        cells = [f"{found[epochs][k]['seconds']:.1f}" for epochs in (10, 20)]
        row(name, *cells, f"{found[20][k]['accuracy']:.4f}")
    for epochs in (10, 20):
        ratio = plain["marks"][epochs - 1] / found[epochs][0]["seconds"]
        print(f"{epochs} epochs: {ratio:.1f} times faster.", flush=True)


def slow_and_cached_heads(data: str) -> None:
    """The same head, trained on cached features and by running the frozen backbone in each epoch."""
    with tempfile.TemporaryDirectory() as cache:
        cached = [apart("head", data, cache, str(seed), "10")["accuracy"] for seed in SPLITS]
    slow = [apart("head", data, "-", str(seed), "10", "0")["accuracy"] for seed in SPLITS]
    print(f"Head on cached features {cached}, the slow way {slow}: difference of the means "
          f"{100 * abs(statistics.fmean(cached) - statistics.fmean(slow)):.2f} points.")  # fmt: skip


def inference(torch_python: str | None) -> None:
    """ResNet-50 at 224: plain Keras, ours, and PyTorch where there is one, twice in turn."""
    rates: dict[str, list[float]] = {}
    for _ in range(2):
        for kind in ("float32", "mixed_bfloat16", "ours"):
            name = kind if kind == "ours" else f"Keras {kind}"
            rates.setdefault(name, []).append(resnet50(sys.executable, "keras_resnet50.py", kind))
        for kind in ("float32", "bfloat16") if torch_python else ():
            rates.setdefault(f"PyTorch {kind}", []).append(resnet50(torch_python, "torch_resnet50.py", kind))
    header("ResNet-50 at 224", "images a second")
    for name, found in rates.items():
        row(name, f"{statistics.fmean(found):.1f}")
    print(
        f"Ours is {statistics.fmean(rates['ours']) / statistics.fmean(rates['Keras float32']):.2f} times plain Keras."
    )


def resnet50(python: str, script: str, kind: str) -> float:
    """Images a second by a script beside this one."""
    return answer([python, Path(__file__).with_name(script), kind])["a_second"]


def input_speed(data: str) -> dict:
    """Photos a second decoded, cropped and mirrored at 224, and the share of a training step spent waiting for them."""
    import keras
    import tensorflow as tf

    from kerasuite.contracts import Plan
    from kerasuite.data import batches
    from kerasuite.models import transfer
    from kerasuite.training import losses, optimizers
    from kerasuite.training.steps import Steps

    config = resnet_transfer.Config(data=data, **LITE)
    train = resnet_transfer.load(config).train
    base = resnet_transfer.backbone(config)
    prepare = resnet_transfer.preparation(base, _stage_rows.ROOM_TO_CROP)
    source = batches.training(train, prepare, Plan(len(train), 64, 0), augment=_stage_rows.photo_changes(config, base))
    iterator = iter(source)
    for _ in range(4):
        next(iterator)
    begun = time.perf_counter()
    for _ in range(40):
        next(iterator)
    rate = 40 * 64 / (time.perf_counter() - begun)

    keras.utils.set_random_seed(0)
    model = transfer.joined([transfer.copied(base.model)], transfer.head(base.model.output_shape[-1], 6))
    adam = optimizers.optimizer("adam", 1e-4)
    adam.build(model.trainable_variables)
    groups = [(adam, model.trainable_variables)]
    steps = Steps(model, groups, losses.cross_entropy(), {}, tf.distribute.get_strategy())
    sources = {"photos": source, "repeated": tf.data.Dataset.from_tensors(next(iter(source))).repeat()}
    iterators = {name: iter(each) for name, each in sources.items()}
    seconds = {name: [] for name in sources}
    for name in list(sources) * 6:
        begun = time.perf_counter()
        steps.train(iterators[name], 4)
        seconds[name].append(time.perf_counter() - begun)
    photos, repeated = (statistics.median(seconds[name][1:]) for name in ("photos", "repeated"))
    return {"photos_a_second": rate, "waiting": 1 - repeated / photos}


def peak_memory(number: int) -> dict:
    """Peak memory of a run over so many generated photos, GB."""
    import numpy as np
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for k in range(number):
            photos = Path(folder) / "photos" / "abcde"[k % 5]
            photos.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 200, (6, 8, 3)) + 10 * (k % 5)
            large = tf.image.resize(pixels, (96, 128), method="nearest")
            (photos / f"{k}.jpg").write_bytes(tf.io.encode_jpeg(tf.cast(large, tf.uint8)).numpy())
        places = ["--data", f"{folder}/photos", "--cache", f"{folder}/cache", "--output", f"{folder}/run"]
        words = ["--backbone", "resnet14", "--image-size", "32", "32", "--unfreeze", "none", "--epochs", "2"]
        command = [sys.executable, "-m", "kerasuite", "run", "resnet_transfer", *places, *words]
        subprocess.run(command, capture_output=True, check=True)
    return {"gb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20}


PARTS = {
    "run": whole_run,
    "plain": lambda data, seed, epochs: plain_keras(data, int(seed), int(epochs)),
    "head": lambda data, cache, seed, epochs, gb="8": cached_head(data, cache, int(seed), int(epochs), float(gb)),
    "input": input_speed,
    "memory": lambda number: peak_memory(int(number)),
}


def print_input(data: str) -> None:
    found = apart("input", data)
    print(
        f"Decoded, cropped and mirrored at 224: {found['photos_a_second']:,.0f} photos a second; "
        f"training waits for them {found['waiting']:.1%} of the time."
    )


def print_memory() -> None:
    peaks = {number: apart("memory", str(number))["gb"] for number in (2_500, 50_000)}
    print(" ".join(f"Peak memory at {number:,} photos: {gb:.2f} GB." for number, gb in peaks.items()))


SECTIONS = {
    "quality": lambda given: quality(given.data, {"efficientnet_lite0": LITE}),
    "scratch": lambda given: transfer_and_scratch(given.data),
    "frozen": lambda given: frozen_stage(given.data),
    "heads": lambda given: slow_and_cached_heads(given.data),
    "inference": lambda given: inference(given.torch_python),
    "input": lambda given: print_input(given.data),
    "memory": lambda given: print_memory(),
}
ARGUMENTS = {
    "--data": {"required": True, "help": "TrashNet's class folders"},
    "--torch-python": {"help": "Python of an environment with PyTorch"},
}


if __name__ == "__main__":
    main(__doc__, PARTS, SECTIONS, ARGUMENTS)
