"""Recommendations: what the README claims of lstm_recommender, in quality and in speed.

    python benchmarks/lstm_recommender.py --beauty beauty.txt.gz --movielens ml-100k [--only beauty,speed]

--only takes beauty, movielens, speed, ranking and scale. --beauty is Amazon Beauty, "user item" a line; --movielens a
folder with ml-100k.inter and ml-100k.item, as RecBole has them. Each part runs in processes of its own. Importing
TensorFlow and tracing are left out of rates, and are in the seconds of whole runs.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from parts import apart, finished, header, main, own_peak, row

from kerasuite import devices
from kerasuite.pipelines import _next_item, _ranking, lstm_recommender

SEEDS = (0, 1, 2)
# Settings found on validation's users.
BEAUTY = {
    "lstm": {"dim": 128, "temperature": 0.08, "epochs": 8},
    "transformer": {
        "dim": 128,
        "temperature": 0.08,
        "model": "transformer",
        "num_layers": 2,
        "dropout": 0.3,
        "epochs": 12,
    },
}
MOVIELENS = {
    "lstm": {"temperature": 0.2},
    "gru": {"temperature": 0.2, "model": "gru"},
    "bidirectional": {"temperature": 0.2, "model": "bidirectional"},
    "transformer": {"temperature": 0.2, "model": "transformer", "num_layers": 2, "epochs": 30},
}


def whole_run(data: str, settings: str) -> dict:
    """metrics.json of one run of the pipeline, and its peak of memory."""
    from kerasuite import run_directory, whole_files

    with finished("lstm_recommender", data=(data,), **json.loads(settings)) as run_dir:
        return whole_files.read_json(run_dir / run_directory.METRICS) | {"gb": own_peak()}


def told(estimate: dict) -> str:
    """A number with its interval."""
    return f"{estimate['value']:.4f} ({estimate['low']:.4f} to {estimate['high']:.4f})"


def quality(data: str, name: str, best: dict[str, dict]) -> None:
    """Each model with three seeds, and the baselines, on one log."""
    names = ("NDCG@10 (95% interval)", "HR@10 (95% interval)", "verdict", "training, s", "all, s")
    header(f"{name}, test users", *names)
    for model, settings in best.items():
        values = []
        for seed in SEEDS:
            found = apart("run", data, json.dumps(settings | {"seed": seed}))
            cells = told(found["test"]["ndcg@10"]), told(found["test"]["hit_rate@10"]), found["verdict"]
            row(f"{model}, seed {seed}", *cells, *(f"{found['seconds'][each]:.0f}" for each in ("train", "total")))
            values.append([found["test"][each]["value"] for each in ("ndcg@10", "hit_rate@10")])
        medians = [f"{statistics.median(column):.4f}" for column in zip(*values)]
        row(f"{model}, median", *medians, "", "", "")
    for baseline, scores in found["baselines"].items():
        row(baseline.replace("_", " "), told(scores["ndcg@10"]), told(scores["hit_rate@10"]), "", "", "")


def likes(data: str) -> None:
    """The other question: will a user like an item? Three seeds, and the baselines."""
    header("MovieLens-100K, each user's last rating", "accuracy (95% interval)", "verdict", "all, s")
    for seed in SEEDS:
        found = apart("run", data, json.dumps({"model": "pointwise", "seed": seed}))
        row(
            f"pointwise, seed {seed}",
            told(found["test"]["accuracy"]),
            found["verdict"],
            f"{found['seconds']['total']:.0f}",
        )
    for baseline, scores in found["baselines"].items():
        row(baseline.replace("_", " "), told(scores["accuracy"]), "", "")


def loaded(data: str, settings: dict):
    config = lstm_recommender.Config(data=(data,), **settings)
    return config, lstm_recommender.load(config)


def plain_keras(data: str, settings: str) -> dict:
    """Seconds an epoch by Keras's `fit`: every prefix a padded example of 50, all items in the loss, float32."""
    import keras

    from kerasuite.data import histories

    config, splits = loaded(data, json.loads(settings))
    sequences, longest = histories.sequences(splits.train), config.max_length
    prefixes = int(np.maximum(sequences.lengths - 1, 0).sum())
    x, y = np.zeros((4096, longest), np.int32), np.zeros(4096, np.int32)
    rng = np.random.default_rng(0)
    for k, user in enumerate(rng.permutation(np.flatnonzero(sequences.lengths > 1))[: len(x)]):
        sequence = sequences[user] + 1
        end = rng.integers(1, len(sequence))
        part = sequence[max(0, end - longest) : end]
        x[k, longest - len(part) :], y[k] = part, sequence[end]
    model = keras.Sequential(
        [
            keras.Input((longest,)),
            keras.layers.Embedding(len(splits.train.class_names) + 1, config.dim, mask_zero=True),
            keras.layers.LSTM(config.dim),
            keras.layers.Dense(len(splits.train.class_names) + 1),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    marks = []

    class Mark(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            marks.append(time.perf_counter())

    model.fit(x, y, batch_size=128, epochs=1, verbose=0, callbacks=[Mark()])
    return {"seconds": (marks[-1] - marks[7]) / (len(marks) - 8) * prefixes / 128}


def ours(data: str, settings: str, precision: str) -> dict:
    """Seconds of an epoch of the pipeline's own steps, after a warm-up."""
    import tensorflow as tf

    from kerasuite.data import batches
    from kerasuite.training.steps import Steps

    config, splits = loaded(data, json.loads(settings))
    parts = _next_item.training_parts(config, splits.train, splits.validation, 1)
    with devices.precision(precision):
        model = parts.build()
        groups = _next_item.groups(config, model, 2 * parts.plan.steps_per_epoch)
        for optimizer, variables in groups:
            optimizer.build(variables)
        steps = Steps(model, groups, _next_item.loss, {}, tf.distribute.get_strategy())
        iterator = iter(batches.training(parts.train, parts.prepare, parts.plan))
        steps.train(iterator, max(parts.plan.steps_per_epoch // 8, 1))
        begun = time.perf_counter()
        steps.train(iterator, parts.plan.steps_per_epoch)
        seconds = time.perf_counter() - begun
    num_items = len(splits.train.class_names)
    scored = (_next_item.num_negatives(config, num_items) or num_items - 1) + 1
    # Multiplications and additions, forwards and twice as many backwards: an LSTM's four gates of inputs and states,
    # and the scores.
    work = 3 * 2 * sum(parts.plan.row_weights) * (8 * config.dim**2 + scored * config.dim)
    return {"seconds": seconds, "rate": work / seconds / 1e9}


def speed(data: str) -> None:
    """Seconds an epoch: plain Keras, and ours with all items and with a sample of them."""
    header("one epoch, Beauty, LSTM of 64", "seconds", "times as fast", "GFLOP/s of matrix multiplications")
    first = apart("plain", data, "{}")["seconds"]
    row("plain Keras: padded prefixes, all items, float32", f"{first:.0f}", "1", "")
    for negatives, name in ((0, "all items"), (4096, "4,096 sampled items")):
        for precision in ("float32", "bfloat16"):
            found = apart("ours", data, json.dumps({"negatives": negatives}), precision)
            cells = f"{found['seconds']:.1f}", f"{first / found['seconds']:.0f}", f"{found['rate']:.0f}"
            row(f"kerasuite, {name}, {precision}", *cells)


def ranking(data: str) -> dict:
    """Seconds to rank all items for all users by an exported model, metrics included; weights are random."""
    import keras

    from kerasuite.data import histories
    from kerasuite.evaluation import ranking as measures
    from kerasuite.models import next_item, recommender
    from kerasuite.serving import recommender as serving

    config, splits = loaded(data, {})
    item_ids, (_, test) = splits.test.class_names, _ranking.by_length(splits.test)
    keras.utils.set_random_seed(0)
    scorer = next_item.scorer(next_item.trainer(recommender.encoder("lstm", len(item_ids), dim=config.dim)))
    with tempfile.TemporaryDirectory() as folder:
        prepare = _ranking.preparation(config, test)
        served = serving.ServableRecommender(scorer, prepare, np.zeros(len(item_ids)), config.top_k)
        serving.export(Path(folder, "servable"), served)
        loaded_again = serving.Recommender(f"{folder}/servable")
        names, history = np.array(item_ids, object), test.inputs[histories.HISTORY]
        some = [names[history[k]] for k in range(len(history))]
        loaded_again(some[:512])
        begun = time.perf_counter()
        measures.estimates(measures.by_user(loaded_again.lists(some, test.ids, item_ids).items, test.labels))
    return {"seconds": time.perf_counter() - begun, "users": len(test), "items": len(item_ids)}


def scale(number: str) -> dict:
    """Rows a second of loading, splitting and an epoch of training, and the peak of memory, for a made log."""
    number = int(number)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        with open(path, "w") as file:
            file.write("user,item,time\n")
            users, items = max(number // 20, 1), min(100_000, number // 10)
            for start in range(0, number, 10**6):
                n = min(10**6, number - start)
                popular = (items * rng.random(n) ** 3).astype(int)
                rows = zip(rng.integers(users, size=n), popular, range(start, start + n))
                file.writelines(f"u{user},i{item},{when}\n" for user, item, when in rows)
        found = whole_run(str(path), json.dumps({"epochs": 1, "precision": "bfloat16"}))
    seconds = found["seconds"]
    return {
        "gb": found["gb"],
        **{f"{part}, rows/s": number / seconds[part] for part in ("load", "train", "evaluate")},
    }


PARTS = {"run": whole_run, "plain": plain_keras, "ours": ours, "ranking": ranking, "scale": scale}


def print_movielens(folder: str | None) -> None:
    if folder is None:
        print("MovieLens-100K is left out: --movielens names no folder.")
        return
    quality(f"{folder}/ml-100k.inter", "MovieLens-100K", MOVIELENS)
    print()
    likes(f"{folder}/ml-100k.inter")


def print_ranking(data: str) -> None:
    found = apart("ranking", data)
    print(f"{found['items']:,} items are ranked for {found['users']:,} users in {found['seconds']:.1f} s.")


def print_scale() -> None:
    for number in (10**5, 10**6, 10**7):
        found = apart("scale", str(number))
        print(f"{number:,} interactions: " + ", ".join(f"{name} {value:,.1f}" for name, value in found.items()))


SECTIONS = {
    "beauty": lambda given: quality(given.beauty, "Beauty", BEAUTY),
    "movielens": lambda given: print_movielens(given.movielens),
    "speed": lambda given: speed(given.beauty),
    "ranking": lambda given: print_ranking(given.beauty),
    "scale": lambda given: print_scale(),
}
ARGUMENTS = {
    "--beauty": {"required": True, "help": "beauty.txt.gz"},
    "--movielens": {"help": "folder of ml-100k.inter and ml-100k.item"},
}


if __name__ == "__main__":
    main(__doc__, PARTS, SECTIONS, ARGUMENTS)
