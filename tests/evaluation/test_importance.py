import numpy as np
import pytest

from kerasuite.evaluation.importance import as_numbers, importance, is_logarithmic

RNG = np.random.default_rng(0)
RATES, WIDTHS = 10 ** RNG.uniform(-4, -1, 40), RNG.integers(8, 128, 40)


def settings(number=40):
    return [{"rate": float(rate), "width": int(width)} for rate, width in zip(RATES[:number], WIDTHS[:number])]


def test_the_setting_that_decides_comes_first_and_the_number_of_trials_is_said():
    found = importance(settings(), -((np.log10(RATES) + 2.5) ** 2))
    assert list(found.lost) == ["rate", "width"]
    assert found.lost["rate"][0] > 10 * found.lost["width"][0]
    assert found.explained > 0.8
    assert found.sentence.startswith("rate mattered most, by 40 finished trials")


def test_where_nothing_decides_nothing_is_named():
    found = importance(settings(), RNG.normal(size=40))
    assert found.explained < 0.1
    assert "cannot be told by 40 finished trials" in found.sentence


def test_few_trials_or_equal_values_tell_nothing():
    assert importance(settings(9), RATES[:9]) is None
    assert importance(settings(), np.ones(40)) is None


def test_words_may_decide_too():
    words = ["cnn" if k % 3 else "mlp" for k in range(30)]
    found = importance([{"model": word, "rate": rate} for word, rate in zip(words, RATES)], [w == "cnn" for w in words])
    assert next(iter(found.lost)) == "model"


@pytest.mark.parametrize(
    ("values", "expected"), [([1e-4, 1e-2], True), ([1, 10], False), ([0.0, 1.0], False), (["a", "b"], False)]
)
def test_wide_ranges_are_seen_by_their_logarithms(values, expected):
    assert is_logarithmic(values) == expected


def test_what_a_trial_does_not_have_is_a_value_of_its_own():
    assert as_numbers(["b", None, "a"]).tolist() == [2, 0, 1]
