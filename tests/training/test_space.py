from dataclasses import dataclass
from typing import Annotated, Literal

import keras_tuner
import pytest

from kerasuite.errors import InputError
from kerasuite.ranges import Positive, at_least
from kerasuite.training import space

KINDS = {
    "rate": Positive,
    "dim": Annotated[int, at_least(2)],
    "model": Literal["cnn", "mlp"],
    "augment": bool,
    "dropout": float | None,
    "hidden": tuple[int, ...],
}


@dataclass(frozen=True)
class Config:
    rate: float = 1.0
    dim: int = 8
    model: str = "cnn"
    augment: bool = True
    dropout: float | None = None


def declared(*words):
    hp = keras_tuner.HyperParameters()
    made = space.of_words(words, KINDS)(hp, Config())
    return {each.name: each for each in hp.space}, made


def test_a_range_of_a_number_is_searched_on_the_scale_that_is_said():
    found, made = declared("rate=1e-4..1e-2:log", "dropout=0..0.5")
    assert (found["rate"].min_value, found["rate"].max_value, found["rate"].sampling) == (1e-4, 1e-2, "log")
    assert (found["dropout"].max_value, found["dropout"].sampling) == (0.5, "linear")
    assert (made.rate, made.dropout, made.dim) == (1e-4, 0.0, 8)


def test_whole_numbers_stay_whole_and_go_by_steps():
    found, made = declared("dim=32..128:32")
    assert list(found["dim"].values) == [32, 64, 96, 128]
    assert made.dim == 32
    assert isinstance(made.dim, int)


def test_words_and_truths_are_chosen_from():
    found, made = declared("model=mlp,cnn", "augment=false,true")
    assert found["model"].values == ["mlp", "cnn"]
    assert (made.model, made.augment) == ("mlp", False)


def test_each_choice_reaches_the_settings():
    make = space.of_words(("augment=false,true",), KINDS)
    hp = keras_tuner.HyperParameters()
    make(hp, Config())
    hp.values["augment"] = "True"
    assert make(hp, Config()).augment is True


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("rate", "expected NAME=LOW..HIGH"),
        ("rate=", "expected NAME=LOW..HIGH"),
        ("size=1,2", "there is no setting size"),
        ("rate=1..0.1", "the least value, then the greatest"),
        ("rate=0..1:log", "over 0"),
        ("rate=0.1..x", "'x' does not fit; expected a number"),
        ("dim=1.5..3", "'1.5' does not fit; expected a whole number"),
        ("dim=2..4:8", "step is larger"),
        ("model=cnn,resnet", "'resnet' does not fit; expected one of cnn, mlp"),
        ("model=cnn..mlp", "is no number"),
        ("augment=yes,no", "expected true or false"),
        ("rate=0.1", "nothing to choose"),
        ("hidden=1,2", "--space"),
    ],
)
def test_what_cannot_be_searched_is_told_with_its_words(words, says):
    with pytest.raises(InputError, match=says) as caught:
        declared(words)
    assert words in str(caught.value)


def test_a_setting_that_is_named_twice_is_refused():
    with pytest.raises(InputError, match="twice"):
        declared("dim=2..4", "dim=4..8")
