"""mnist_cnn from end to end on small real data, through the code of the measured run."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from kerasuite import run_directory
from kerasuite.commands import run
from kerasuite.errors import InputError
from kerasuite.pipelines import mnist_cnn

FILES = {
    "baselines.npz",
    "config.json",
    "confusion_matrix.csv",
    "confusion_matrix.png",
    "confusion_matrix_normalized.png",
    "environment.json",
    "history.csv",
    "metrics.json",
    "mistakes.png",
    "model.keras",
    "precision_recall.png",
    "predictions.csv",
    "reliability.png",
    "report.html",
    "roc.png",
    "servable",
    "tensorboard",
    "trained_on.npz",
}
EPOCHS = 4


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A run on the digits with the sample's settings, but fewer epochs."""
    run_dir = tmp_path_factory.mktemp("sample") / "run"
    settings = mnist_cnn.Config(**mnist_cnn.SAMPLE | {"epochs": EPOCHS, "learning_rate": 1e-2}, output=str(run_dir))
    return run.start("mnist_cnn", settings)


def rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def read(path):
    return json.loads(path.read_text())


def test_the_run_directory_holds_every_file_and_no_checkpoint(sample):
    assert {path.name for path in sample.iterdir()} == FILES


def test_the_metrics_have_their_form(sample):
    metrics = read(sample / "metrics.json")
    assert metrics["pipeline"] == "mnist_cnn"
    assert metrics["examples"] == {"train": 1375, "validation": 153, "test": 269, "skipped": 0}
    assert metrics["headline"] == "accuracy"
    assert set(metrics["baselines"]) >= {"majority", "logistic_regression"}
    assert metrics["best_baseline"] in metrics["baselines"]
    assert metrics["verdict"] in ("better", "not shown", "worse")
    assert metrics["servable"]["checked"] == 269
    assert metrics["servable"]["label_disagreements"] == 0
    assert metrics["servable"]["max_difference"] < 1e-4
    for measured in (metrics["test"], *metrics["baselines"].values()):
        for estimate in measured.values():
            assert estimate["low"] <= estimate["value"] + 1e-9
            assert estimate["value"] <= estimate["high"] + 1e-9
            assert estimate["n"] == 269


def test_the_seconds_add_up(sample):
    seconds = read(sample / "metrics.json")["seconds"]
    assert set(seconds) == {"load", "train", "evaluate", "total"}
    assert all(value > 0 for value in seconds.values())
    assert seconds["total"] == pytest.approx(seconds["load"] + seconds["train"] + seconds["evaluate"])


def test_the_confusion_matrix_counts_every_test_row_once_and_agrees_with_the_accuracy(sample):
    table = rows(sample / "confusion_matrix.csv")
    names = [str(digit) for digit in range(10)]
    counts = np.array([[int(row[name]) for name in [*row][-10:]] for row in table])
    assert counts.shape == (10, 10)
    assert [*table[0]][-10:] == names
    assert counts.sum() == 269
    assert counts.trace() / 269 == pytest.approx(read(sample / "metrics.json")["test"]["accuracy"]["value"])


def test_the_predictions_are_of_the_test_rows_in_order_and_give_the_headline(sample):
    table = rows(sample / "predictions.csv")
    test = mnist_cnn.load(mnist_cnn.Config(**mnist_cnn.SAMPLE)).test
    assert [row["id"] for row in table] == [*test.ids]
    assert [row["label"] for row in table] == [test.class_names[label] for label in test.labels]
    right = np.mean([row["label"] == row["prediction"] for row in table])
    assert right == pytest.approx(read(sample / "metrics.json")["test"]["accuracy"]["value"])
    for row in table:
        probabilities = {name: float(row[f"p({name})"]) for name in map(str, range(10))}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert max(probabilities, key=probabilities.get) == row["prediction"]


def test_a_few_epochs_learn_the_digits(sample):
    # Guessing is right in 1 of 10; the exact share is the seed's and the machine's.
    assert read(sample / "metrics.json")["test"]["accuracy"]["low"] > 0.5


def test_the_history_has_a_line_an_epoch(sample):
    assert [row["epoch"] for row in rows(sample / "history.csv")] == [str(k) for k in range(1, EPOCHS + 1)]


def test_the_report_shows_the_headline_and_needs_no_network_and_no_script(sample):
    page = (sample / "report.html").read_text()
    accuracy = read(sample / "metrics.json")["test"]["accuracy"]["value"]
    assert f"{accuracy:.1%}" in page
    assert "<script" not in page
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)


def test_the_environment_says_on_what_and_from_what_the_run_was_made(sample):
    environment = read(sample / "environment.json")
    assert environment["machine"]["replicas"] == 1
    assert environment["precision"]["used"] in ("float32", "bfloat16")
    assert set(environment["precision"]["seconds"]) == {"float32", "bfloat16"}
    settings = mnist_cnn.Config(**mnist_cnn.SAMPLE)
    assert environment["data"] == mnist_cnn.load(settings).fingerprint()
    assert environment["data"] != mnist_cnn.load(replace(settings, seed=1)).fingerprint()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """60 images of 10x10 in three unequal classes, each class a row that is lit."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.npz"
    labels = np.array([0] * 30 + [1] * 20 + [2] * 10)
    images = np.random.default_rng(0).integers(0, 60, (60, 10, 10), np.uint8)
    images[np.arange(60), labels * 3] += 120
    np.savez(path, x_train=images, y_train=labels, class_names=np.array(["low", "mid", "high"]))
    return path


# Every value of every choice is in one of these.
CHOICES = {
    "mlp": {"optimizer": "sgd", "schedule": "constant", "hidden": (16, 8), "augment": False, "label_smoothing": 0.1},
    "cnn": {"optimizer": "adamw", "schedule": "cosine", "class_weights": "balanced", "batch_norm": True, "l2": 1e-4},
    "residual_cnn": {"optimizer": "momentum", "schedule": "one_cycle", "flip": True, "erase": 0.2, "dropout": 0.2},
}


@pytest.mark.parametrize("model", CHOICES)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_every_model_and_choice_goes_through_the_same_steps(tiny, tmp_path, model):
    precision = "bfloat16" if model == "cnn" else "float32"
    settings = mnist_cnn.Config(
        data=str(tiny), model=model, epochs=1, batch_size=16, precision=precision, output=str(tmp_path / "run"),
        **CHOICES[model],
    )  # fmt: skip
    run_dir = run.start("mnist_cnn", settings)
    metrics = read(run_dir / "metrics.json")
    # Of 30, 20 and 10 rows 4, 3 and 2 are the test (15 %), then 3, 2 and 1 validation (10 %).
    assert metrics["examples"] == {"train": 45, "validation": 6, "test": 9, "skipped": 0}
    assert metrics["servable"] == {
        "checked": 9,
        "label_disagreements": 0,
        "max_difference": pytest.approx(0, abs=1e-4),
    }
    assert {row["label"] for row in rows(run_dir / "predictions.csv")} == {"low", "mid", "high"}
    assert read(run_dir / "environment.json")["precision"] == {"used": precision}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny, tmp_path):
    settings = mnist_cnn.Config(data=str(tiny), model="mlp", epochs=1, batch_size=16, precision="float32")

    def weights(name, **changes):
        (tmp_path / name).mkdir()
        config = replace(settings, **changes)
        splits = mnist_cnn.load(config)
        return mnist_cnn.train(config, splits.train, splits.validation, tmp_path / name).model.get_weights()

    first, again, other = weights("first"), weights("again"), weights("other", seed=1)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])


def test_augmentation_is_of_training_alone_and_each_flag_takes_its_place():
    assert mnist_cnn.augmentation(mnist_cnn.Config(augment=False)) is None
    changed = mnist_cnn.augmentation(mnist_cnn.Config(rotation=3.0, flip=True))
    assert (changed.rotation, changed.flip) == (3.0, True)
    assert changed == replace(mnist_cnn.augmentation(mnist_cnn.Config()), rotation=3.0, flip=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_norm": True, "model": "mlp"}, "--batch-norm"),
        ({"batch_norm": True, "model": "residual_cnn"}, "--batch-norm"),
        ({"learning_rate": 0.0}, "--learning-rate"),
        ({"dropout": 1.0}, "--dropout"),
        ({"label_smoothing": -0.1}, "--label-smoothing"),
    ],
)
def test_settings_that_contradict_each_other_or_make_no_sense_name_their_flag(settings, message):
    with pytest.raises(InputError, match=message):
        mnist_cnn.Config(**settings)


def test_an_image_is_held_in_one_part_only():
    splits = mnist_cnn.load(mnist_cnn.Config(data="digits"))
    parts = [set(part.ids) for part in (splits.train, splits.validation, splits.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 1797


def test_the_names_of_the_files_are_those_of_the_run_directory():
    public = {name: value for name, value in vars(run_directory).items() if name.isupper() and name[0] != "_"}
    constants = {value for value in public.values() if isinstance(value, str)}
    # Those of a run under way, of what was skipped, of several seeds, of encoders from random weights, of `launch`.
    others = {"checkpoints", "confusion_matrix", "skipped.csv", "seeds.json", "vocabulary.txt", "workers"}
    assert constants - FILES == others


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"image_size": (0, 8)}, "--image-size"),
        ({"hidden": (8, 0)}, "--hidden"),
        ({"scale": -1.0}, "--scale"),
        ({"l2": -1.0}, "--l2"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"dropout": 1.0}, "--dropout"),
    ],
)
def test_settings_out_of_range_name_their_flag(setting, message):
    with pytest.raises(InputError, match=message):
        mnist_cnn.Config(**setting)
