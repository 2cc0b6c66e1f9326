import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite.training import dropout

X = np.ones((501, 7, 31), np.float32)  # not a multiple of four


def dropping(rate, seed=3, **options):
    inputs = keras.Input((None, 31))
    return dropout.quicken(keras.Model(inputs, keras.layers.Dropout(rate, seed=seed, **options)(inputs)))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_is_the_rate_and_the_mean_stays(rate):
    y = dropping(rate)(X, training=True).numpy()
    share, expected = np.mean(y == 0), round(256 * rate) / 256
    deviation = np.sqrt(expected * (1 - expected) / y.size)
    assert abs(expected - rate) <= 1 / 512
    assert abs(share - expected) < 4 * deviation
    assert np.unique(y) == pytest.approx([0, 1 / (1 - expected)])


@pytest.mark.parametrize(("rate", "byte"), [(1e-4, 1), (0.9999, 255)])
def test_a_rate_next_to_none_or_all_is_neither(rate, byte):
    y = dropping(rate)(X, training=True).numpy()
    assert np.mean(y == 0) == pytest.approx(byte / 256, abs=2e-3)


def test_neighbours_rows_and_calls_are_dropped_independently():
    model = dropping(0.5)
    one, two = (model(X, training=True).numpy() == 0 for _ in range(2))
    for left, right in ((one, two), (one[1:], one[:-1]), (one[..., 1:], one[..., :-1]), (one[:, 1:], one[:, :-1])):
        assert np.mean(left == right) == pytest.approx(0.5, abs=0.01)


def test_the_same_seeds_drop_the_same():
    one, two, other = dropping(0.5), dropping(0.5), dropping(0.5, seed=4)
    first, second = (one(X, training=True).numpy() for _ in range(2))
    np.testing.assert_array_equal(two(X, training=True), first)
    np.testing.assert_array_equal(two(X, training=True), second)
    assert np.any(other(X, training=True) != first)


def test_the_gradient_is_that_of_what_is_kept():
    model, x = dropping(0.25), tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), y)  # of ones


def test_nothing_is_dropped_in_inference():
    np.testing.assert_array_equal(dropping(0.5)(X, training=False), X)


def test_a_rate_of_none_and_a_shape_of_noise_are_kerass_own():
    np.testing.assert_array_equal(dropping(0.0)(X, training=True), X)
    y = dropping(0.5, noise_shape=(None, 1, 31))(X, training=True).numpy()
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 7, 1))


def test_nested_dropout_is_drawn_by_bytes_too():
    inputs = keras.Input((4, 8))
    nested = keras.Model(inputs, keras.layers.MultiHeadAttention(2, 4, dropout=0.5)(inputs, inputs))
    model = dropout.quicken(keras.Model(inputs, keras.layers.Dropout(0.1)(nested(inputs))))
    graph = tf.function(lambda x: model(x, training=True)).get_concrete_function(tf.TensorSpec((None, 4, 8))).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert "StatelessRandomUniformV2" not in kinds
    assert kinds.count("StatelessRandomUniformFullIntV2") == 2
