from pathlib import Path

import keras_tuner
import pytest

from kerasuite.commands.sweep import Search
from kerasuite.commands.sweeps import attempt, children
from kerasuite.commands.sweeps.searched import Searched
from kerasuite.commands.sweeps.trials import Trials
from kerasuite.errors import EnvironmentFault
from kerasuite.pipelines import mnist_cnn


@pytest.mark.parametrize(
    ("search", "may_be_stopped"),
    [
        ({"set": ("learning_rate=1e-3..1e-2",)}, True),
        ({"set": ("learning_rate=1e-3..1e-2",), "stop_early": False}, False),
        ({"set": ("learning_rate=1e-3..1e-2",), "tuner": "hyperband"}, False),
        ({"set": ("epochs=2..9",)}, False),
        ({"space": "passes.py"}, False),
    ],
)
def test_trials_are_stopped_by_what_others_had_where_that_compares(monkeypatch, tmp_path, search, may_be_stopped):
    jobs = []
    monkeypatch.chdir(tmp_path)
    Path("passes.py").write_text(
        "import dataclasses\ndef space(hp, config):\n"
        "    return dataclasses.replace(config, epochs=hp.Int('passes', 2, 9))\n"
    )
    monkeypatch.setattr(children, "call", lambda what, job, **_: jobs.append(job) or ("finished", 0.5, 3, 3))
    searched = Searched("mnist_cnn", mnist_cnn.Config(data="digits"), Search(**search))
    trials = Trials(tmp_path, searched, lambda: None)
    hp = keras_tuner.HyperParameters()
    searched.space(hp, searched.settings)
    assert trials.attempt("0", hp) == 0.5
    assert [job.stop_early for job in jobs] == [may_be_stopped]
    # What is trained again goes to its end.
    trials.again(attempt.Result.read(tmp_path / "trials" / "0" / attempt.RESULT), 1)
    assert not jobs[1].stop_early


def test_what_ended_early_by_itself_does_not_win_against_those_that_hyperband_had_go_on(tmp_path):
    searched = Searched("mnist_cnn", mnist_cnn.Config(data="digits", epochs=30), Search(tuner="hyperband"))
    trials = Trials(tmp_path, searched, lambda: None)

    def add(name, status, value, epochs):
        folder = tmp_path / "trials" / name
        folder.mkdir(parents=True)
        values = {"rate": value}
        attempt.Result(name, values, status, value, epochs, epochs, 9.0, f"trials/{name}/run", 0).write(folder)

    add("0", "finished", 0.7, 7)
    add("1", "paused", 0.9, 10)
    add("2", "paused", 0.95, 3)
    assert [result.name for result in trials.ranked()] == ["1", "0"]
    add("3", "finished", 0.8, 30)
    assert [result.name for result in trials.ranked()] == ["3", "0"]


def test_a_result_of_other_settings_is_not_taken_for_a_trials(tmp_path):
    searched = Searched("mnist_cnn", mnist_cnn.Config(data="digits"), Search(set=("learning_rate=1e-3..1e-2",)))
    folder = tmp_path / "trials" / "0"
    folder.mkdir(parents=True)
    attempt.Result("0", {"learning_rate": 0.5}, "finished", 0.9, 3, 3, 9.0, "trials/0/run", 0).write(folder)
    hp = keras_tuner.HyperParameters()
    searched.space(hp, searched.settings)
    with pytest.raises(EnvironmentFault, match="of other settings than trial 0 has"):
        Trials(tmp_path, searched, lambda: None).attempt("0", hp)
