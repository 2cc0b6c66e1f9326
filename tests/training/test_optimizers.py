import keras
import numpy as np
import pytest

from kerasuite.training import losses, optimizers


def rates(name, peak, steps):
    schedule = optimizers.schedule(name, peak, steps)
    return [float(schedule(step)) if callable(schedule) else schedule for step in range(steps + 1)]


def test_a_constant_rate_is_constant():
    assert set(rates("constant", 0.1, 5)) == {0.1}


def test_cosine_falls_from_the_peak_to_nothing_by_way_of_half():
    values = rates("cosine", 0.2, 10)
    assert values[0] == pytest.approx(0.2)
    assert values[5] == pytest.approx(0.1)
    assert values[10] == pytest.approx(0, abs=1e-9)


def test_one_cycle_rises_for_three_tenths_and_falls_to_a_ten_thousandth():
    values = rates("one_cycle", 1.0, 100)
    assert values[0] == pytest.approx(1 / 25)
    assert int(np.argmax(values)) == 30
    assert values[30] == pytest.approx(1.0)
    assert values[100] == pytest.approx(1e-4)


def test_warm_up_rises_from_nothing_for_a_tenth_and_a_cosine_falls_from_there():
    values = rates("warmup_cosine", 0.2, 100)
    assert values[:11] == pytest.approx([0.02 * step for step in range(11)])
    assert values[55] == pytest.approx(0.1)
    assert values[100] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimizer_goes_downhill(name):
    x = keras.Variable(1.0, name="kernel")
    optimizer = optimizers.optimizer(name, 0.1, weight_decay=0.1)
    optimizer.apply([np.float32(2.0)], [x])
    assert float(x) < 1


@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_weight_decay_leaves_biases_and_normalisation_alone(name):
    kernel, bias = keras.Variable(1.0, name="kernel"), keras.Variable(1.0, name="bias")
    optimizers.optimizer(name, 0.1, weight_decay=0.5).apply([np.float32(0), np.float32(0)], [kernel, bias])
    assert (float(kernel), float(bias)) == (pytest.approx(0.95), 1.0)


@pytest.mark.parametrize("make", [lambda: optimizers.optimizer("adm", 1), lambda: optimizers.schedule("cos", 1, 1)])
def test_an_unknown_name_is_refused_with_those_there_are(make):
    with pytest.raises(ValueError, match="there are"):
        make()


def test_label_smoothing_is_the_cross_entropy_with_the_smoothed_target():
    logits, target = np.array([[1.0, 2.0, 0.5]]), np.array([[0.9 * 0 + 1 / 30, 0.9 + 1 / 30, 1 / 30]])
    log_probabilities = logits - np.log(np.exp(logits).sum())
    expected = -(target * log_probabilities).sum()
    assert float(losses.cross_entropy(0.1)(np.array([1]), logits)[0]) == pytest.approx(expected)
    assert float(losses.cross_entropy()(np.array([1]), logits)[0]) == pytest.approx(-log_probabilities[0, 1])
