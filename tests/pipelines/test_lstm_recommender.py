"""lstm_recommender from end to end on small made-up logs."""

import csv
import html
import re
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import run_files
import tensorflow as tf
from run_files import confusion_total, metrics_of

from kerasuite import cli
from kerasuite.commands import run
from kerasuite.errors import InputError
from kerasuite.models.recommender import KINDS
from kerasuite.pipelines import _next_item, lstm_recommender

ITEMS = 20


def walks(number, seed=0):
    """Users who go from each item to the next: what comes next is known for certain."""
    rng = np.random.default_rng(seed)
    for user in range(number):
        start, length = rng.integers(0, ITEMS), rng.integers(4, 9)
        for time in range(length):
            yield f"u{user:03d}", f"i{(start + time) % ITEMS:02d}", time


def write_log(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("user", "item", "time"), *rows])
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "log.csv"
    return write_log(path, [*walks(150), ("", "i01", 3), ("u001", "i02", "late")])


@pytest.fixture(scope="module")
def config(table):
    return lstm_recommender.Config(
        data=(str(table),), dim=16, batch_tokens=128, epochs=12, learning_rate=2e-2, precision="float32", max_length=6
    )


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    return run.start("lstm_recommender", replace(config, output=str(tmp_path_factory.mktemp("runs") / "run")))


train = partial(run_files.train, lstm_recommender)


def test_what_always_comes_next_is_learnt_and_scored_on_every_user_by_the_exported_model(finished):
    metrics = metrics_of(finished)
    assert metrics["examples"] == {"train": 150, "validation": 150, "test": 150, "skipped": 2}
    assert metrics["servable"]["checked"] == 150
    assert metrics["servable"]["label_disagreements"] == 0
    assert metrics["servable"]["max_difference"] < 1e-4
    assert metrics["headline"] == "ndcg@10"
    assert metrics["test"]["ndcg@10"]["value"] > 0.9
    assert metrics["test"]["hit_rate@10"]["n"] == 150
    assert set(metrics["baselines"]) == {"most_popular", "most_popular_recently", "item_knn", "markov", "ease"}
    # Who looks at the item before alone knows all there is to know here.
    assert metrics["best_baseline"] == "markov"
    assert metrics["verdict"] == "not shown"


def test_the_run_leaves_its_files_and_no_checkpoint(finished):
    names = {path.name for path in finished.iterdir()}
    assert {"confusion_matrix.png", "report.html", "metrics.json", "servable", "model.keras"} <= names
    assert "checkpoints" not in names
    assert confusion_total(finished) == 150


def test_the_predictions_name_each_users_target_and_its_rank(finished):
    with open(finished / "predictions.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 150
    for row in rows:
        if row["rank"] and int(row["rank"]) <= 10:
            assert row[f"item_{row['rank']}"] == row["target"]
    hits = np.mean([bool(row["rank"]) and int(row["rank"]) <= 10 for row in rows])
    assert hits == pytest.approx(metrics_of(finished)["test"]["hit_rate@10"]["value"])


def test_lists_are_predicted_for_histories_and_for_the_users_of_a_log(finished, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("user,item,time\nx,i05,2\nx,i04,1\ny,never,1\n")
    words = ["--history", "i04, i05", "--history", "never"]
    assert cli.main(["predict", str(finished), str(tmp_path / "new.csv"), *words]) == 0
    shown = capsys.readouterr()
    rows = list(csv.DictReader(shown.out.splitlines()))
    first = {row["id"]: row["item"] for row in rows if row["rank"] == "1"}
    assert first["history[1]"] == first["x"] == "i06"
    # Who has no history that is known gets what is popular.
    assert first["history[2]"] == first["y"]
    assert "2 id(s) are not in the catalogue" in shown.err
    assert "4 predicted" in shown.err


@pytest.mark.parametrize("words", [["--text", "a"], ["--precision", "bfloat16", "--history", "i01"], []])
def test_what_is_not_for_a_recommender_is_refused(finished, words):
    assert cli.main(["predict", str(finished), *words]) == 2


def test_another_log_is_evaluated_with_the_runs_baselines(finished, tmp_path):
    rows = [*walks(30, seed=5), ("lone", "i01", 1), ("odd", "i01", 1), ("odd", "never", 2)]
    path = write_log(tmp_path / "new.csv", rows)
    assert cli.main(["evaluate", str(finished), "--data", str(path), "--output", str(tmp_path / "report")]) == 0
    metrics = metrics_of(tmp_path / "report")
    assert metrics["examples"] == {"test": 31, "skipped": 0}
    assert metrics["never_in_training"] == pytest.approx(1 / 31)
    assert metrics["test"]["ndcg@10"]["value"] > 0.85
    assert set(metrics["baselines"]) == set(metrics_of(finished)["baselines"])
    with open(tmp_path / "report" / "predictions.csv") as file:
        (odd,) = (row for row in csv.DictReader(file) if row["user"] == "odd")
    assert (odd["target"], odd["rank"]) == ("(not in the catalogue)", "")


def test_rows_of_another_log_that_were_skipped_stand_in_a_table(finished, tmp_path):
    path = write_log(tmp_path / "new.csv", [*walks(30, seed=5), *[("", "i01", 1)] * 1002])
    assert cli.main(["evaluate", str(finished), "--data", str(path), "--output", str(tmp_path / "report")]) == 0
    assert metrics_of(tmp_path / "report")["examples"] == {"test": 30, "skipped": 1002}
    with open(tmp_path / "report" / "skipped.csv") as file:
        rows = list(csv.reader(file))
    assert rows[1][1] == "no user"
    assert rows[1001:] == [["and 2 more", "this table names the first 1,000"]]


def test_the_runs_own_log_evaluates_to_the_runs_own_numbers_though_users_come_back_to_items(config, tmp_path):
    rows = [*walks(60), *((f"u{user:03d}", f"i{user % ITEMS:02d}", 99) for user in range(0, 60, 2))]
    path = write_log(tmp_path / "log.csv", rows)
    settings = replace(config, data=(str(path),), epochs=2, output=str(tmp_path / "run"))
    run_dir = run.start("lstm_recommender", settings)
    assert cli.main(["evaluate", str(run_dir), "--data", str(path), "--output", str(tmp_path / "report")]) == 0
    assert metrics_of(tmp_path / "report")["test"] == metrics_of(run_dir)["test"]


def test_a_range_of_ratings_is_refused_where_there_are_none_but_not_of_other_logs(config, table):
    ranged = replace(config, rating_range=(1.0, 5.0))
    for each in (ranged, replace(ranged, data=("order_sample",))):
        with pytest.raises(InputError, match=r"--rating-range is \(1\.0, 5\.0\)"):
            lstm_recommender.load(each)
    assert _next_item.read_another("evaluate", [str(table)], asdict(ranged)).ratings is None


def test_a_catalogue_of_few_items_is_ranked_to_its_end(config, tmp_path):
    rows = [(user, f"i{int(item[1:]) % 5}", place) for user, item, place in walks(40)]
    settings = replace(config, data=(str(write_log(tmp_path / "log.csv", rows)),), epochs=1)
    run_dir = run.start("lstm_recommender", replace(settings, output=str(tmp_path / "run")))
    assert metrics_of(run_dir)["test"]["hit_rate@20"]["value"] == 1


def test_a_table_of_items_that_is_named_is_read_before_anything_is_trained(config, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv is not there"):
        lstm_recommender.load(replace(config, items=str(tmp_path / "nowhere.csv")))


def test_a_table_of_other_items_beside_a_log_is_not_used_and_that_is_said(config, tmp_path):
    path = write_log(tmp_path / "ratings.csv", walks(40))
    (tmp_path / "movies.csv").write_text("movieId,title\n7,Seven\n")
    notes = lstm_recommender.load(replace(config, data=(str(path),))).notes
    assert any("movies.csv, which lies beside the log, is not used" in note for note in notes)


def test_titles_and_groups_stand_in_the_report_and_in_predictions(config, tmp_path, capsys):
    items = "".join(f"i{number:02d},Film {number},{'odd' if number % 2 else 'even'}\n" for number in range(ITEMS))
    (tmp_path / "items.csv").write_text("item,title,genre\n" + items)
    settings = replace(config, items=str(tmp_path / "items.csv"), epochs=1, output=str(tmp_path / "run"))
    run_dir = run.start("lstm_recommender", settings)
    with open(run_dir / "confusion_matrix.csv") as file:
        assert [row["true"] for row in csv.DictReader(file)] == ["even", "odd"]
    assert re.search(r"Film \d", (run_dir / "report.html").read_text())
    capsys.readouterr()
    assert cli.main(["predict", str(run_dir), "--history", "i04"]) == 0
    row = next(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert row["title"] == f"Film {int(row['item'][1:])}"


def test_the_report_names_rows_that_were_skipped(finished):
    page = (finished / "report.html").read_text()
    for words in ("log.csv[", "no user", "time late is neither a number nor a date", "Some users", "taken for which"):
        assert words in page


def slow_but(*quick):
    """Every kind of encoder, those that are not named here by `make test-slow` alone."""
    return [kind if kind in quick else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "lstm"]


@pytest.mark.parametrize("kind", slow_but("transformer"))
def test_the_other_models_learn_it_too(config, tmp_path, kind):
    run_dir = run.start("lstm_recommender", replace(config, model=kind, epochs=20, output=str(tmp_path / "run")))
    metrics = metrics_of(run_dir)
    assert metrics["test"]["ndcg@10"]["value"] > 0.6
    assert metrics["servable"]["max_difference"] < 1e-4


def test_items_may_come_again_where_that_is_asked_for(config, tmp_path):
    # Everybody goes round a ring of three.
    rows = [(f"u{user:02d}", f"i{(user + place) % 3}", place) for user in range(40) for place in range(12)]
    settings = replace(config, data=(str(write_log(tmp_path / "log.csv", rows)),), repeat_items=True, epochs=20)
    run_dir = run.start("lstm_recommender", replace(settings, output=str(tmp_path / "run")))
    metrics = metrics_of(run_dir)
    assert metrics["test"]["ndcg@10"]["value"] == metrics["baselines"]["markov"]["ndcg@10"]["value"] == 1


@pytest.mark.slow
def test_the_sample_is_learnt_nearly_as_well_as_it_can_be_and_markov_cannot(tmp_path):
    settings = lstm_recommender.Config(**lstm_recommender.SAMPLE, output=str(tmp_path / "run"))
    metrics = metrics_of(run.start("lstm_recommender", settings))
    assert metrics["share_of_optimum"] >= 0.95
    best = metrics["optimum"]["ndcg@10"]["value"]
    assert metrics["baselines"]["markov"]["ndcg@10"]["value"] < 0.7 * best


def test_the_reports_example_of_a_call_is_one_that_works(config, tmp_path):
    settings = replace(config, user_embedding=True, epochs=1, output=str(tmp_path / "run"))
    run_dir = run.start("lstm_recommender", settings)
    (given,) = re.findall(r"predict\((histories=.*)\)", html.unescape((run_dir / "report.html").read_text()))
    predict = tf.saved_model.load(str(run_dir / "servable")).signatures["serving_default"]
    assert eval(f"predict({given})", {"tf": tf, "predict": predict})["items"].shape == (2, 20)


def test_users_may_have_vectors_of_their_own(config, tmp_path, capsys):
    settings = replace(config, user_embedding=True, epochs=3, output=str(tmp_path / "run"))
    run_dir = run.start("lstm_recommender", settings)
    metrics = metrics_of(run_dir)
    assert metrics["servable"]["checked"] == 150
    assert metrics["servable"]["max_difference"] < 1e-4
    new = write_log(tmp_path / "new.csv", [(user, f"i{item:02d}", item) for user in ("u001", "w") for item in (4, 5)])
    assert cli.main(["predict", str(run_dir), str(new), "--history", "i04,i05"]) == 0
    scores = {}
    for row in csv.DictReader(capsys.readouterr().out.splitlines()[1:], ["id", "rank", "item", "score"]):
        scores.setdefault(row["id"], {})[row["item"]] = row["score"]
    assert scores["w"] == scores["history[1]"] != scores["u001"]


@pytest.mark.parametrize("loss", ["softmax", "gbce"])
def test_a_sample_of_items_in_the_loss_is_enough(config, tmp_path, loss):
    fitted = train(replace(config, negatives=8, loss=loss), tmp_path / "run")
    assert fitted.history[-1]["val_ndcg@10"] > 0.8


def test_by_time_the_same_is_learnt(config, tmp_path):
    run_dir = run.start("lstm_recommender", replace(config, split="time", output=str(tmp_path / "run")))
    assert metrics_of(run_dir)["test"]["ndcg@10"]["value"] > 0.5


@pytest.mark.parametrize("kind", ["lstm", *slow_but()])
def test_one_device_and_two_give_the_same_losses(config, tmp_path, kind):
    alike = replace(config, model=kind, dropout=0.0, epochs=2, learning_rate=1e-3)
    histories = [train(replace(alike, devices=devices), tmp_path / devices).history for devices in ("cpu:1", "cpu:2")]
    for one, two in zip(*histories, strict=True):
        for name in ("loss", "val_loss", "val_ndcg@10"):
            assert one[name] == pytest.approx(two[name], 1e-4)


def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(config, refuse_other_weights):
    refuse_other_weights(partial(train, replace(config, epochs=3, negatives=8)))


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 1},
        {"dropout": 1.0},
        {"negatives": -1},
        {"learning_rate": 0.0},
        {"top_k": 5},
        {"dim": 15, "num_heads": 2, "model": "transformer"},
        {"temperature": 0.0},
        {"temperature": 0.2, "model": "pointwise"},
        {"like_from": 3.0},
        {"user_embedding": True, "model": "pointwise"},
        {"rating_range": (5.0, 1.0)},
        {"batch_size": 7},
        {"test_fraction": 0.3},
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_flag(config, changes):
    with pytest.raises(InputError, match=f"--{next(iter(changes)).replace('_', '-')}"):
        replace(config, **changes)
