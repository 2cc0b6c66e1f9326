import keras_tuner
import pytest

from kerasuite.commands.sweep import Search
from kerasuite.commands.sweeps import attempt, children
from kerasuite.commands.sweeps.searched import Searched
from kerasuite.commands.sweeps.trials import Trials
from kerasuite.pipelines import mnist_cnn


@pytest.mark.parametrize(
    ("search", "may_be_stopped"),
    [
        ({"set": ("learning_rate=1e-3..1e-2",)}, True),
        ({"set": ("learning_rate=1e-3..1e-2",), "stop_early": False}, False),
        ({"set": ("learning_rate=1e-3..1e-2",), "tuner": "hyperband"}, False),
        ({"set": ("epochs=2..9",)}, False),
    ],
)
def test_trials_are_stopped_by_what_others_had_where_that_compares(monkeypatch, tmp_path, search, may_be_stopped):
    jobs = []
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
