import pytest

from kerasuite.commands.sweep import Search
from kerasuite.commands.sweeps.attempt import Result
from kerasuite.commands.sweeps.course import Course, seconds_of_training
from kerasuite.commands.sweeps.searched import Searched
from kerasuite.commands.sweeps.table import Table
from kerasuite.pipelines import mnist_cnn


@pytest.mark.parametrize(
    ("minutes", "number"),
    [(None, 3), (60, 3), (6, 2), (3, 1), (1, 1)],  # trained again twice, at 30 s each, within a third of the time
)
def test_what_is_trained_again_leaves_time_for_the_search(tmp_path, minutes, number):
    searched = Searched("mnist_cnn", mnist_cnn.Config(data="digits", epochs=3), Search(minutes=minutes))
    course = Course(tmp_path, searched)
    assert course._num_again() == 3
    folder = tmp_path / "trials" / "0"
    folder.mkdir(parents=True)
    Result("0", {}, "finished", 0.9, 3, 3, 30.0, "", 0).write(folder)
    assert course._num_again() == number


def test_a_training_is_as_long_as_those_that_came_to_their_end():
    result = lambda name, status, seconds: Result(name, {}, status, 0.9, 3, 3, seconds, "", 0)  # noqa: E731
    trials = [result("0", "stopped", 5.0), result("1", "stopped", 6.0), result("2", "finished", 30.0)]
    assert seconds_of_training(trials, None) == 30.0
    assert seconds_of_training(trials[:2], None) == 5.5


def test_no_trial_begins_and_none_is_trained_again_without_time_for_it(tmp_path, monkeypatch):
    searched = Searched("mnist_cnn", mnist_cnn.Config(data="digits", epochs=3), Search(minutes=4))
    course = Course(tmp_path, searched)
    quick, slow = (
        Result(name, {}, "finished", 0.9, 3, 3, seconds, "", 0) for name, seconds in (("0", 30.0), ("1", 90.0))
    )
    folder = tmp_path / "trials" / "0"
    folder.mkdir(parents=True)
    quick.write(folder)
    # Of 240 s: twice again, the last run with its finish, and one trial more take five times 30 s.
    for spent, left in ((80.0, True), (100.0, False)):
        monkeypatch.setattr(Table, "seconds", spent)
        assert course._may_start() is left
    monkeypatch.setattr(Table, "seconds", 100.0)
    assert course._has_time_for(quick)
    assert not course._has_time_for(slow)
