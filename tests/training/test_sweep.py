import itertools
import json

import keras_tuner
import pytest

from kerasuite.training import sweep
from kerasuite.training.sweep import Failed, is_hopeless


def square(**ranges):
    hp = keras_tuner.HyperParameters()
    hp.Choice("x", [1, 2, 3])
    hp.Choice("y", ["a", "b"])
    return hp


class Killed(BaseException):
    """The end of the process, as far as the oracle can tell."""


def searched(folder, kind="random", *, trials=20, epochs=1, space=square, kill_at=(), fail=(), first=None):
    """The trials that were run, in order, as (name, values); killed and begun again before each of these numbers."""
    ran = []
    for stop in (*kill_at, None):

        def attempt(name, hp, stop=stop):
            if len(ran) == stop:
                raise Killed
            ran.append((name, dict(hp.values)))
            if hp.values["x"] in fail:
                raise Failed("no such x")
            return float(hp.values["x"])

        may_start = lambda: len(ran) < trials  # noqa: E731
        options = {"trials": trials, "epochs": epochs, "seed": 3, "may_start": may_start, "first": first}
        oracle = sweep.oracle(kind, space(), "val_loss", **options)
        tuner = sweep.Tuner(oracle, folder / "oracle", attempt)
        try:
            tuner.search()
        except Killed:
            continue
    return ran, tuner


@pytest.mark.parametrize("kind", ["random", "grid", "bayesian"])
def test_all_combinations_are_tried_once(tmp_path, kind):
    ran, tuner = searched(tmp_path, kind)
    assert sorted((values["x"], values["y"]) for _, values in ran) == sorted(itertools.product((1, 2, 3), "ab"))
    assert tuner.oracle.get_best_trials()[0].hyperparameters.values["x"] == 1


@pytest.mark.parametrize("kind", ["random", "bayesian"])
def test_a_search_begins_with_what_it_is_given_and_goes_on_elsewhere(tmp_path, kind):
    ran, _ = searched(tmp_path, kind, first={"x": 3, "y": "b"}, kill_at=(0, 1))
    assert ran[0] == ("00", {"x": 3, "y": "b"})
    assert sorted((values["x"], values["y"]) for _, values in ran) == sorted(itertools.product((1, 2, 3), "ab"))


@pytest.mark.parametrize("kind", ["random", "grid", "bayesian", "hyperband"])
def test_a_search_that_is_killed_goes_on_as_if_it_had_not_been(tmp_path, kind):
    whole, _ = searched(tmp_path / "whole", kind, trials=5, epochs=3, space=line)
    again, _ = searched(tmp_path / "killed", kind, trials=5, epochs=3, kill_at=(0, 2, 4), space=line)
    assert again == whole


@pytest.mark.parametrize("place", range(6))
def test_files_are_whole_wherever_a_kill_comes(tmp_path, monkeypatch, place):
    whole, _ = searched(tmp_path / "whole", trials=4)
    writes, write = itertools.count(), sweep.whole_files.write

    def killed_before(path, data):
        if next(writes) == 4 + place:
            raise Killed
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(sweep.whole_files, "write", killed_before)
        with pytest.raises(Killed):
            run_once(tmp_path / "killed")
    _, tuner = searched(tmp_path / "killed", trials=4)
    assert [tuner.oracle.trials[name].hyperparameters.values for name, _ in whole] == [values for _, values in whole]
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"COMPLETED"}


def run_once(folder):
    oracle = sweep.oracle("random", square(), "val_loss", trials=4, epochs=1, seed=3, may_start=lambda: True)
    sweep.Tuner(oracle, folder / "oracle", lambda name, hp: float(hp.values["x"])).search()


def test_a_trial_that_fails_is_marked_and_the_search_goes_on(tmp_path):
    ran, tuner = searched(tmp_path, "grid", fail={1})
    assert len(ran) == 6
    assert sorted(trial.status for trial in tuner.oracle.trials.values()) == ["COMPLETED"] * 4 + ["FAILED"] * 2
    assert json.loads((tmp_path / "oracle" / "trial_00" / "trial.json").read_text())["message"] == "no such x"


def test_who_is_heard_of_no_more_is_not_waited_for_and_others_take_the_trial(tmp_path):
    oracle = sweep.oracle("random", square(), "val_loss", trials=2, epochs=1, seed=3, may_start=lambda: True)
    sweep.Tuner(oracle, tmp_path / "oracle", lambda name, hp: 1.0)
    lost, kept = oracle.create_trial("lost"), oracle.create_trial("kept")
    oracle.hand_on(["kept"])
    assert oracle.tuner_ids == {"kept"}
    assert set(oracle.ongoing_trials) == {"kept"}
    kept.status = "COMPLETED"
    oracle.update_trial(kept.trial_id, {"val_loss": 1.0})
    oracle.end_trial(kept)
    assert oracle.create_trial("kept").trial_id == lost.trial_id


def test_who_has_nothing_to_do_waits_for_the_others_whose_trial_may_come_back(tmp_path):
    oracle = sweep.oracle("random", square(), "val_loss", trials=1, epochs=1, seed=3, may_start=lambda: True)
    sweep.Tuner(oracle, tmp_path / "oracle", lambda name, hp: 1.0)
    lost = oracle.create_trial("lost")
    assert oracle.create_trial("kept").status == "IDLE"
    oracle.hand_on(["kept"])
    again = oracle.create_trial("kept")
    assert again.trial_id == lost.trial_id
    again.status = "COMPLETED"
    oracle.update_trial(again.trial_id, {"val_loss": 1.0})
    oracle.end_trial(again)
    assert oracle.create_trial("kept").status == "STOPPED"
    assert not oracle.tuner_ids


def test_trials_that_failed_run_again_where_that_is_asked_for(tmp_path):
    ran, tuner = searched(tmp_path, "grid", fail={1})
    failed = [name for name, trial in tuner.oracle.trials.items() if trial.status == "FAILED"]
    tuner.oracle.retry(failed)
    tuner.search()
    assert sorted(name for name, _ in ran[6:]) == sorted(failed)
    assert len(ran) == 8


def test_a_search_goes_on_in_a_process_of_another_name(tmp_path, monkeypatch):
    searched(tmp_path, trials=2)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "another")
    again, _ = searched(tmp_path, trials=4)
    assert [name for name, _ in again] == ["2", "3"]


def test_an_error_of_the_program_is_not_taken_for_the_trials(tmp_path):
    def attempt(name, hp):
        raise ZeroDivisionError

    oracle = sweep.oracle("random", square(), "val_loss", trials=2, epochs=1, seed=3, may_start=lambda: True)
    with pytest.raises(ZeroDivisionError):
        sweep.Tuner(oracle, tmp_path / "oracle", attempt).search()


def test_no_trial_begins_where_it_may_not(tmp_path):
    oracle = sweep.oracle("random", square(), "val_loss", trials=2, epochs=1, seed=3, may_start=lambda: False)
    tuner = sweep.Tuner(oracle, tmp_path / "oracle", lambda name, hp: 1.0)
    tuner.search()
    assert not tuner.oracle.trials


def test_hyperband_names_the_trial_whose_next_round_it_is(tmp_path):
    ran, _ = searched(tmp_path, "hyperband", epochs=9, trials=13, space=line)
    later = [values for _, values in ran if values.get("tuner/round", 0)]
    names = [name for name, _ in ran]
    assert later
    assert all(values["tuner/trial_id"] in names for values in later)
    assert {values["tuner/epochs"] for values in later} <= {3, 9}


def line():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    return hp


def courses(*values, name="val_loss"):
    return [[{name: value} for value in course] for course in values]


OTHERS = courses([3, 2, 1], [4, 3, 2], [5, 4, 3], [6, 5, 4])


@pytest.mark.parametrize(
    ("course", "hopeless"),
    # The others' best after two epochs: 2, 3, 4, 5, of which 3.5 is the median.
    [([9, 3.4], False), ([9, 3.6], True), ([3.4, 9], False), ([3.5, 3.5], False)],
)
def test_what_is_worse_than_the_median_at_equal_epochs_is_hopeless(course, hopeless):
    assert is_hopeless(courses(course)[0], OTHERS, "val_loss", 10) == hopeless


def test_an_accuracy_is_hopeless_where_it_is_lower():
    others = courses([0.1, 0.5], [0.1, 0.6], [0.1, 0.7], [0.1, 0.8], name="val_accuracy")
    course = lambda best: courses([0.1, best], name="val_accuracy")[0]  # noqa: E731
    assert is_hopeless(course(0.64), others, "val_accuracy", None)
    assert not is_hopeless(course(0.66), others, "val_accuracy", None)


def test_nothing_is_hopeless_in_the_first_fifth_or_against_few():
    assert is_hopeless(courses([9, 9])[0], OTHERS, "val_loss", 10)
    assert not is_hopeless(courses([9, 9])[0], OTHERS, "val_loss", 11)
    assert not is_hopeless(courses([9])[0], OTHERS, "val_loss", 3)
    assert not is_hopeless(courses([9, 9])[0], OTHERS[:3], "val_loss", 10)
    assert not is_hopeless(courses([9, 9])[0], [*OTHERS[:3], *courses([1])], "val_loss", 10)
