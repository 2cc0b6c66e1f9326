import pytest

from kerasuite.commands.sweep import Search
from kerasuite.commands.sweeps.searched import Searched
from kerasuite.errors import InputError
from kerasuite.pipelines import lstm_recommender, mnist_cnn


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


@pytest.mark.parametrize("objective", [None, "val_loss"])
@pytest.mark.parametrize(("model", "words"), [("lstm", "pointwise,gru"), ("pointwise", "pointwise,lstm,gru")])
def test_models_that_answer_different_questions_are_not_searched_together(model, words, objective):
    settings = lstm_recommender.Config(model=model)
    searched = Searched("lstm_recommender", settings, Search(set=(f"model={words}",), objective=objective))
    with pytest.raises(InputError, match="model cannot be searched over pointwise and gru, lstm: they answer"):
        searched.declared()


def test_models_that_answer_one_question_are_searched_together():
    settings = lstm_recommender.Config()
    searched = Searched("lstm_recommender", settings, Search(set=("model=lstm,gru",), objective="val_loss"))
    assert searched.own_values(searched.declared()) == {"model": "lstm"}


def test_a_space_of_ones_own_that_goes_over_to_another_question_is_refused(tmp_path):
    path = tmp_path / "space.py"
    path.write_text(
        "from dataclasses import replace\n"
        "def space(hp, config):\n"
        "    return replace(config, model=hp.Choice('kind', ['gru', 'pointwise']))\n"
    )
    searched = Searched("lstm_recommender", lstm_recommender.Config(), Search(space=str(path), objective="val_loss"))
    hp = searched.declared()
    hp.values["kind"] = "pointwise"
    with pytest.raises(InputError, match="measured by val_accuracy, val_loss, and those of the sweep by val_ndcg@10"):
        searched.space(hp, searched.settings)
