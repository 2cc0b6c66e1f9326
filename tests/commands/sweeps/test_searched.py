import pytest

from kerasuite.commands.sweep import Search
from kerasuite.commands.sweeps.searched import Searched
from kerasuite.pipelines import mnist_cnn


@pytest.mark.parametrize(
    ("words", "own"),
    [
        (("learning_rate=1e-3..1e-2:log", "model=cnn,mlp"), {"learning_rate": 4e-3, "model": "cnn"}),
        (("batch_norm=false,true", "epochs=3..50"), {"batch_norm": "False", "epochs": 20}),
        # None leaves the choice to the model: the search begins at the least.
        (("dropout=0.1..0.5",), {"dropout": 0.1}),
        (("learning_rate=1e-3..1e-2", "model=mlp,residual_cnn"), {}),
        (("learning_rate=1e-2..1e-1",), {}),
    ],
)
def test_what_the_settings_have_of_what_is_searched_is_begun_with_if_all_of_it_is_in_the_space(words, own):
    searched = Searched("mnist_cnn", mnist_cnn.Config(data="digits", epochs=20), Search(set=words))
    assert searched.own_values(searched.declared()) == own


def test_the_pipelines_own_space_has_its_own_settings_in_it():
    searched = Searched("mnist_cnn", mnist_cnn.Config(data="digits"), Search())
    assert searched.own_values(searched.declared()) == {"learning_rate": 4e-3, "batch_size": 128, "dropout": 0.0}
