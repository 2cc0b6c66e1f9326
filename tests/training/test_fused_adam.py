import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite.training.fused_adam import FusedAdamW

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
