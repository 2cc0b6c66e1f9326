import pytest

from kerasuite.commands.sweep import Search
from kerasuite.commands.sweeps.attempt import Result
from kerasuite.commands.sweeps.course import Course
from kerasuite.commands.sweeps.searched import Searched
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
