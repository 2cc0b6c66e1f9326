"""Inference with weights as constants."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite import frozen
from kerasuite.errors import InputError
from kerasuite.models import resnet

X = np.random.default_rng(0).uniform(0, 255, (6, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return resnet.build((16, 16), 3, 4, blocks=(1, 1), filters=(8, 16))


def test_a_frozen_model_says_the_same(model):
    np.testing.assert_allclose(frozen.forward(model)(tf.constant(X)), model(X, training=False), rtol=1e-4, atol=1e-5)


def test_bfloat16_is_near_and_not_the_same(model):
    exact = model(X, training=False).numpy()
    rough = frozen.forward(model, "bfloat16")(tf.constant(X)).numpy()
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, exact, atol=0.05 * np.abs(exact).max())


def test_any_number_of_rows_is_taken(model):
    call = frozen.forward(model)
    for n in (1, 5):
        assert call(tf.constant(X[:n])).shape == (n, 4)


def test_later_changes_of_the_weights_do_not_reach_it(model):
    copy = keras.models.clone_model(model)
    call = frozen.forward(copy)
    before = call(tf.constant(X)).numpy()
    copy.set_weights([weight + 1 for weight in copy.get_weights()])
    np.testing.assert_array_equal(call(tf.constant(X)), before)


def test_the_faster_arithmetic_is_chosen_by_measuring_and_a_setting_is_kept(model, monkeypatch):
    seconds = iter([0.2, 0.1])
    monkeypatch.setattr(frozen, "_seconds", lambda call, batch: next(seconds))
    chosen = frozen.choose("auto", model, tf.constant(X))
    assert chosen == {"used": "bfloat16", "seconds": {"float32": 0.2, "bfloat16": 0.1}}
    assert frozen.choose("float32", model, tf.constant(X)) == {"used": "float32"}


def test_what_is_hardly_faster_is_not_taken(model, monkeypatch):
    seconds = iter([0.2, 0.19])
    monkeypatch.setattr(frozen, "_seconds", lambda call, batch: next(seconds))
    assert frozen.choose("auto", model, tf.constant(X))["used"] == "float32"


def test_a_table_that_was_made_before_brings_no_warning(caplog):
    initializer = tf.lookup.KeyValueTensorInitializer(["a"], [1])
    table = tf.lookup.StaticHashTable(initializer, 0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        frozen.forward(model)(tf.zeros((1, 2)))
    finally:
        logger.removeHandler(caplog.handler)
    assert not caplog.records
    assert int(table.lookup(tf.constant("a"))) == 1


def test_on_a_gpu_a_frozen_model_stays_as_it_was_built_and_what_is_asked_otherwise_is_refused(model, monkeypatch):
    monkeypatch.setattr(frozen.devices, "on_gpu", lambda: True)
    assert frozen.choose("bfloat16", model, tf.constant(X)) == {"used": "float32"}
    assert frozen.choose("auto", model, tf.constant(X)) == {"used": "float32"}
    with pytest.raises(InputError, match="--precision bfloat16 of an exported model is for CPUs"):
        frozen.forward(model, "bfloat16")
