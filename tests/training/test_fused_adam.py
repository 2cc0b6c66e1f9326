import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite.training.fused_adam import FusedAdamW, RowwiseAdamW

RNG = np.random.default_rng(0)
STARTS = {"kernel": RNG.normal(size=(5, 3)), "bias": RNG.normal(size=3)}
GRADIENTS = [[RNG.normal(size=(5, 3)), RNG.normal(size=3)] for _ in range(6)]


def after_steps(kind, strategy=None, **options):
    """Both variables after six steps, each replica having half of each gradient."""
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        variables = [keras.Variable(start, name=name) for name, start in STARTS.items()]
        optimizer = kind(keras.optimizers.schedules.CosineDecay(0.1, 8), **options)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        optimizer.build(variables)

    @tf.function
    def step(*gradients):
        def apply():
            share = [tf.cast(each, tf.float32) / strategy.num_replicas_in_sync for each in gradients]
            optimizer.apply(share, variables)

        strategy.run(apply)

    for gradients in GRADIENTS:
        step(*gradients)
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("options", [{"weight_decay": 0.1}, {"weight_decay": 0.0}, {"epsilon": 1e-3, "beta_2": 0.9}])
def test_its_steps_are_those_of_keras(options):
    for mine, theirs in zip(after_steps(FusedAdamW, **options), after_steps(keras.optimizers.AdamW, **options)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_two_devices_take_the_steps_of_one(two_devices):
    for two, one in zip(
        after_steps(FusedAdamW, two_devices, weight_decay=0.1), after_steps(FusedAdamW, weight_decay=0.1)
    ):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)


def test_amsgrad_is_refused_rather_than_left_out():
    with pytest.raises(ValueError, match="no amsgrad"):
        FusedAdamW(0.1, amsgrad=True)


# By rows


def by_hand(table, gradients, rate=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Adam of each row by itself, in the steps in which it has a gradient."""
    table, mean, square = table.astype(float), np.zeros(table.shape), np.zeros(table.shape)
    for number, gradient in enumerate(gradients, 1):
        for row in np.flatnonzero(gradient.any(1)):
            mean[row] = beta_1 * mean[row] + (1 - beta_1) * gradient[row]
            square[row] = beta_2 * square[row] + (1 - beta_2) * gradient[row] ** 2
            step = rate * np.sqrt(1 - beta_2**number) / (1 - beta_1**number)
            table[row] -= step * mean[row] / (np.sqrt(square[row]) + epsilon)
    return table


@pytest.mark.parametrize("how", ["by rows", "whole", "two devices"])
def test_rows_without_a_gradient_stay_as_they_are(how, two_devices):
    strategy = two_devices if how == "two devices" else tf.distribute.get_strategy()
    start = RNG.normal(size=(6, 2)).astype(np.float32)
    looked_up = [[0, 3, 3], [1, 3, 0], [0, 0, 0], [5, 1, 3]]
    values = RNG.normal(size=(4, 3, 2))
    with strategy.scope():
        table = keras.Variable(start)
        optimizer = RowwiseAdamW(0.1)
        optimizer.build([table])

    @tf.function
    def step(rows, values):
        def apply():
            share = tf.cast(values, tf.float32) / strategy.num_replicas_in_sync
            gradient = tf.IndexedSlices(share, rows, tf.constant([6, 2]))
            optimizer.apply([gradient if how == "by rows" else tf.convert_to_tensor(gradient)], [table])

        strategy.run(apply)

    whole = []
    for rows, each in zip(looked_up, values):
        step(tf.constant(rows), tf.constant(each))
        gradient = np.zeros((6, 2))
        np.add.at(gradient, rows, each)
        whole.append(gradient)
    np.testing.assert_allclose(table.numpy(), by_hand(start, whole), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(table.numpy()[[2, 4]], start[[2, 4]])


def test_a_decay_of_rows_that_are_away_is_refused():
    with pytest.raises(ValueError, match="no weight decay"):
        RowwiseAdamW(0.1, weight_decay=0.1)
