import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite.training import losses, optimizers
from kerasuite.training.steps import Steps

ROWS, RATE = 12, 0.5


def batches(size):
    """Twelve rows with unlike weights, in batches of this size, again and again."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(ROWS, 3)).astype(np.float32), rng.integers(0, 2, ROWS).astype(np.int32)
    weight = np.arange(ROWS, dtype=np.float32) % 4
    return tf.data.Dataset.from_tensor_slices((x, y, weight)).batch(size).repeat()


def trained(number, size, strategy=None, optimizer="sgd", **options):
    """The model's weights and the batches' sums, after so many batches."""
    strategy = strategy or tf.distribute.get_strategy()
    keras.utils.set_random_seed(2)
    with strategy.scope():
        inputs = keras.Input((3,))
        hidden = keras.layers.Dense(4, "tanh", kernel_regularizer=keras.regularizers.L2(0.1))(inputs)
        model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
        made = optimizers.optimizer(optimizer, RATE)
        made.build(model.trainable_variables)
        steps = Steps(model, [(made, model.trainable_variables)], losses.cross_entropy(), {}, strategy, **options)
        sums = steps.train(iter(steps.distribute(batches(size))), number)
    return np.concatenate([weight.ravel() for weight in model.get_weights()]), sums


@pytest.mark.parametrize("devices", ["one", "two"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_gradients_of_several_batches_make_one_step_as_if_they_were_one(two_devices, devices, optimizer):
    strategy = two_devices if devices == "two" else None
    together, sums = trained(6, 4, strategy, optimizer, accumulate=3)
    alone, whole = trained(2, ROWS, optimizer=optimizer)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(sums.reshape(2, 3, -1).sum(1), whole, atol=1e-5)


def test_what_is_left_of_the_batches_makes_a_step_of_its_own():
    # Two batches are no more to be had: their eight rows are a step.
    left, _ = trained(2, 4, accumulate=3)
    one, _ = trained(1, 8)
    np.testing.assert_allclose(left, one, atol=1e-6)


@pytest.mark.parametrize("devices", ["one", "two"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_gradient_that_is_too_long_is_shortened_over_all_weights_together(two_devices, devices, accumulate):
    strategy = two_devices if devices == "two" else None
    start, _ = trained(0, ROWS)
    free, _ = trained(1, ROWS)
    length = np.linalg.norm(free - start) / RATE
    size = ROWS // accumulate
    clipped, _ = trained(accumulate, size, strategy, accumulate=accumulate, clip_norm=length / 4)
    np.testing.assert_allclose(clipped - start, (free - start) / 4, atol=1e-6)
    same, _ = trained(accumulate, size, strategy, accumulate=accumulate, clip_norm=length * 1.01)
    np.testing.assert_allclose(same, free, atol=1e-6)


def test_what_is_trained_draws_its_dropout_by_bytes():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dropout(0.1)(inputs))
    Steps(model, [], losses.cross_entropy(), {}, tf.distribute.get_strategy())
    kept = model(tf.ones((1000, 3)), training=True).numpy().max()
    assert kept == pytest.approx(256 / 230)  # Keras's own is 1 / 0.9
