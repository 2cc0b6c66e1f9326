import csv
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import run_files
from run_files import metrics_of

from kerasuite import cli
from kerasuite.commands import run
from kerasuite.errors import InputError
from kerasuite.models import pointwise
from kerasuite.pipelines import lstm_recommender

ITEMS = 20


def tastes(users, *, seed=0, length=10, name="u"):
    """(user, item, rating, time): half of the users like odd items, half even ones, but for every seventh."""
    rng = np.random.default_rng(seed)
    for user in range(users):
        for place, item in enumerate(rng.permutation(ITEMS)[:length]):
            likes = (item % 2 == user % 2) != (rng.integers(14) == 0)
            yield f"{name}{user:03d}", f"i{item:02d}", 4 + likes * rng.integers(2) if likes else 1, place


def write(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("user", "item", "rating", "time"), *rows])
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("data") / "log.csv", [*tastes(200), ("x", "i01", "good", 3)])
    return lstm_recommender.Config(
        data=(str(path),),
        model="pointwise",
        dim=16,
        batch_tokens=256,
        epochs=20,
        learning_rate=1e-2,
        schedule="constant",
        precision="float32",
        max_length=9,
        patience=20,
    )


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    return run.start("lstm_recommender", replace(config, output=str(tmp_path_factory.mktemp("runs") / "run")))


train = partial(run_files.train, lstm_recommender)


def predicted(capsys, *words):
    capsys.readouterr()
    assert cli.main(["predict", *map(str, words)]) == 0
    return list(csv.DictReader(capsys.readouterr().out.splitlines()))


def test_what_a_user_likes_is_learnt_and_scored_on_every_last_rating_by_the_exported_model(finished):
    metrics = metrics_of(finished)
    assert metrics["examples"] == {"train": 1600, "validation": 200, "test": 200, "skipped": 1}
    assert metrics["servable"] == {
        "checked": 200,
        "label_disagreements": 0,
        "max_difference": pytest.approx(0, abs=1e-5),
    }
    assert metrics["test"]["accuracy"]["value"] > 0.85
    assert metrics["baselines"]["logistic_regression_on_shares"]["accuracy"]["value"] < 0.7
    assert metrics["verdict"] == "better"


def test_the_two_by_two_matrix_has_every_test_rating_and_the_report_its_roc(finished):
    with open(finished / "confusion_matrix.csv") as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == ["not liked", "liked"]
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 200
    page = (finished / "report.html").read_text()
    for words in (
        "Receiver operating characteristic",
        "An item is liked from a rating of",
        "rating good is no number",
        "before: ",
    ):
        assert words in page


def test_rows_without_a_rating_are_answered_from_those_before_them(finished, tmp_path, capsys):
    odd, even = ([("new" + str(parity), f"i{2 * k + parity:02d}", 5, k) for k in range(5)] for parity in (1, 0))
    asked = [(user, item, "", 9) for user in ("new1", "new0") for item in ("i17", "i18", "nowhere")]
    rows = predicted(capsys, finished, write(tmp_path / "asked.csv", [*odd, *even, *asked]))
    assert {row["id"]: row["prediction"] for row in rows if "nowhere" not in row["id"]} == {
        "new1: i17": "liked",
        "new1: i18": "not liked",
        "new0: i17": "not liked",
        "new0: i18": "liked",
    }
    assert len(rows) == 6


def test_a_log_with_every_rating_has_nothing_to_ask(finished, tmp_path, capsys):
    write(tmp_path / "all.csv", tastes(2))
    assert cli.main(["predict", str(finished), str(tmp_path / "all.csv")]) == 2
    assert "rating is empty" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--text", "a"], ["--history", "i01"]])
def test_what_is_not_for_it_is_refused(finished, words, capsys):
    assert cli.main(["predict", str(finished), *words]) == 2
    assert "logs of ratings" in capsys.readouterr().err


def test_another_log_is_evaluated_and_ratings_that_were_trained_on_are_named(finished, config, tmp_path):
    rows = [*tastes(40, seed=3, name="v"), next(tastes(1))]
    path = write(tmp_path / "new.csv", [*rows, ("u000", "i19", 1, -1)])
    assert cli.main(["evaluate", str(finished), "--data", str(path), "--output", str(tmp_path / "report")]) == 0
    metrics = metrics_of(tmp_path / "report")
    assert metrics["examples"] == {"test": 41, "skipped": 0}
    assert metrics["test"]["accuracy"]["value"] > 0.75
    assert "1 of these 41 ratings are among those that the model was trained on" in (
        (tmp_path / "report" / "report.html").read_text()
    )


def test_one_device_and_two_give_the_same_losses(config, tmp_path, monkeypatch):
    for name in ("FORGOTTEN_USERS", "FORGOTTEN_ITEMS"):
        monkeypatch.setattr(pointwise, name, 0.0)
    alike = replace(config, dropout=0.0, epochs=2, learning_rate=1e-3)
    histories = [train(replace(alike, devices=devices), tmp_path / devices).history for devices in ("cpu:1", "cpu:2")]
    for one, two in zip(*histories, strict=True):
        for name in ("loss", "val_loss", "val_accuracy"):
            assert one[name] == pytest.approx(two[name], 1e-4)


def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(config, refuse_other_weights):
    refuse_other_weights(partial(train, replace(config, epochs=3)))


def test_a_log_without_ratings_is_refused(config, tmp_path):
    (tmp_path / "log.csv").write_text("user,item,time\n" + "".join(f"u,i{k},{k}\nv,i{k},{k}\n" for k in range(5)))
    with pytest.raises(InputError, match="--rating-column"):
        lstm_recommender.load(replace(config, data=(str(tmp_path / "log.csv"),)))
