import json

import pytest

from kerasuite.evaluation import sweep_report


def trial(name, value, status="finished", reason="", **values):
    known = {"name": name, "value": value, "seconds": 30.0, "epochs": 2, "status": status, "reason": reason}
    known["run"] = f"trials/{name}/run"
    return known | {"values": values}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "best").mkdir()
    accuracy = {"value": 0.75, "low": 0.7, "high": 0.8, "n": 200}
    metrics = {"pipeline": "mnist_cnn", "headline": "accuracy", "test": {"accuracy": accuracy}}
    (folder / "best" / "metrics.json").write_text(json.dumps(metrics))
    sweep_report.write(
        folder,
        pipeline="mnist_cnn",
        objective="val_accuracy",
        higher_is_better=True,
        trials=[
            trial("0", 0.81, rate=0.01),
            trial("1", 0.85, rate=0.02),
            trial("2", 0.6, "stopped", rate=0.03),
            trial("3", None, "failed", "out of <memory>", rate=9.0),
        ],
        reruns={"1": [0.79, 0.77], "0": [0.80, 0.82]},
        winner="0",
        num_validation=100,
        search={"tuner": "random", "trials": 4, "best": 3, "minutes": None},
        command="kerasuite sweep mnist_cnn --trials 4",
        repeat="kerasuite run mnist_cnn --learning-rate 0.01",
        seconds=150.0,
        final=folder / "best",
    )
    return (folder / "report.html").read_text()


def test_the_winner_is_told_with_its_value_in_the_sweep_and_that_of_fresh_seeds(page):
    assert "4 trials (random) in 2 min, chosen by val_accuracy on 100 validation rows" in page
    assert "In the sweep these reached 0.8100, where others came to 0.8500" in page
    assert "with fresh seeds 0.8100 (0.8000, 0.8200)" in page


def test_trials_that_the_validation_rows_cannot_tell_apart_are_named(page):
    # Wilson's interval of 81 in 100.
    assert "between 0.7222 and 0.8749 (95 %): by them trial 1 may be as good" in page


@pytest.mark.parametrize(("minutes", "is_said"), [(2.0, True), (None, False)])
def test_it_is_said_where_there_was_no_time_to_train_as_many_again_as_were_asked_for(minutes, is_said):
    trials = [trial(name, 0.8, rate=0.01) for name in "0123"]
    search, reruns = {"best": 3, "minutes": minutes}, {"0": [0.79, 0.77]}
    section = sweep_report._again(trials, reruns, trials[0], "val_loss", 100, search, higher_is_better=False)
    assert ("There was no time for the best 3: 1 could be trained again." in section.text) is is_said


def test_the_headline_is_that_of_the_one_run_on_the_test_rows(page):
    assert "Accuracy 75% on 200 test rows (95% interval 70 to 80%)" in page


def test_failures_are_named_counted_and_escaped(page):
    assert "1 trial failed: out of &lt;memory&gt;" in page
    assert "2 trained to their end; 1 stopped as hopeless, by the median rule; 1 failed." in page


def test_so_few_trials_tell_nothing_of_what_mattered(page):
    assert "cannot be told by 2 finished trials; 10 are needed" in page


def test_the_commands_stand_there(page):
    for words in ("kerasuite sweep mnist_cnn --trials 4", "kerasuite run mnist_cnn --learning-rate 0.01"):
        assert words in page


def test_what_could_not_be_trained_again_and_rounds_that_were_not_come_to_are_named():
    trials = [trial("0", 0.8, "paused"), trial("1", 0.7, "paused")]
    found = sweep_report._warnings(trials, [("0_seed_2", "out of memory")], "hyperband")
    assert found[0] == "0_seed_2 failed, so these settings could not win: out of memory"
    assert "the winner was chosen by 2 epochs" in found[1]
    assert not sweep_report._warnings(trials, [], "random")
