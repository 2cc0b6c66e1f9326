"""Backbones and heads, joined and copied."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite.models import resnet, transfer

SIZE = (16, 16)


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(3)
    return resnet.build(SIZE, 3, None, blocks=(1, 1), filters=(4, 8))


def pixels(n=4):
    return np.random.default_rng(0).uniform(0, 255, (n, *SIZE, 3)).astype(np.float32)


def test_a_map_is_averaged_and_a_vector_stays(backbone):
    pooled = transfer.pooled(backbone)
    np.testing.assert_allclose(pooled(pixels()), np.mean(backbone(pixels()), (1, 2)), rtol=1e-5, atol=1e-6)
    assert transfer.pooled(pooled) is pooled


def test_a_copy_normalises_by_what_was_learnt_of_the_pixels():
    scaling = keras.layers.Normalization(axis=-1)
    scaling.adapt(pixels())
    inputs = keras.Input((*SIZE, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(scaling(inputs)))
    np.testing.assert_allclose(transfer.copied(model)(pixels()), model(pixels()), atol=1e-5)


def test_the_head_alone_takes_features(backbone):
    head = transfer.head(8, 5)
    assert transfer.joined([], head)(np.zeros((2, 8), np.float32)).shape == (2, 5)


def test_the_head_brings_features_of_any_size_to_one_scale():
    rng = np.random.default_rng(0)
    features = (rng.normal(0, 1, (500, 8)) * np.arange(1, 9) * 1e-3 + 5).astype(np.float32)
    head = transfer.head(8, 3, dropout=0)
    transfer.standardise(head, features)
    inside = keras.Model(head.input, head.get_layer("standardised").output)(features).numpy()
    np.testing.assert_allclose(inside.mean(0), 0, atol=1e-3)
    assert inside.std() == pytest.approx(1, abs=1e-3)
    assert inside[:, 7].std() / inside[:, 0].std() == pytest.approx(features[:, 7].std() / features[:, 0].std(), 1e-3)


def test_the_heads_scale_is_not_changed_by_training():
    head = transfer.copied(transfer.head(8, 3))
    head(np.full((4, 8), 9.0, np.float32), training=True)
    np.testing.assert_array_equal(head.get_layer("standardised").get_weights(), [np.zeros(8), np.ones(8)])


def test_joined_is_one_after_the_other(backbone):
    pooled, head = transfer.pooled(backbone), transfer.head(8, 5)
    np.testing.assert_allclose(transfer.joined([pooled], head)(pixels()), head(pooled(pixels())), atol=1e-6)


def test_statistics_stay_as_they_were_in_training_unless_they_are_to_be_learnt(backbone):
    pooled, head = transfer.pooled(backbone), transfer.head(8, 5, dropout=0)
    frozen = transfer.joined([transfer.copied(pooled)], transfer.copied(head))
    learning = transfer.joined([transfer.copied(pooled, frozen_statistics=False)], transfer.copied(head))
    before = [weight.numpy() for weight in learning.layers[1].non_trainable_weights]
    np.testing.assert_array_equal(frozen(pixels(), training=True), frozen(pixels(), training=False))
    learning(pixels(), training=True)
    moved = [
        np.abs(weight.numpy() - old).max() for weight, old in zip(learning.layers[1].non_trainable_weights, before)
    ]
    assert min(moved) > 0
    for weight, old in zip(frozen.layers[1].non_trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)


def test_a_copy_says_the_same_and_shares_nothing(backbone):
    copy = transfer.copied(backbone)
    np.testing.assert_array_equal(copy(pixels()), backbone(pixels()))
    copy.set_weights([weight + 1 for weight in copy.get_weights()])
    assert all((a != b).all() for a, b in zip(copy.get_weights(), backbone.get_weights()))


def test_a_model_within_a_model_is_copied_too(backbone):
    pooled = transfer.pooled(backbone)
    outer = transfer.joined([transfer.joined([pooled], transfer.head(8, 8, dropout=0))], transfer.head(8, 2, dropout=0))
    copy = transfer.copied(outer)
    np.testing.assert_array_equal(copy(pixels(), training=True), outer(pixels(), training=False))
    assert not {id(weight) for weight in copy.weights} & {id(weight) for weight in outer.weights}


def test_a_frozen_copy_has_nothing_to_train(backbone):
    assert transfer.copied(backbone, trainable=False).trainable_variables == []
    assert backbone.trainable_variables


def test_a_frozen_copy_leaves_out_what_is_random_also_where_the_model_around_it_trains():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.GaussianNoise(1.0), keras.layers.Dropout(0.5)])
    x = keras.Input((4,))
    network = keras.Model(x, keras.layers.Dropout(0.5)(inner(x)))
    outer = transfer.joined([transfer.copied(network, trainable=False)], keras.Sequential([keras.Input((4,))]))
    rows = np.arange(40, dtype=np.float32).reshape(10, 4)
    np.testing.assert_array_equal(outer(rows, training=True), rows)
    assert (np.asarray(transfer.copied(network)(rows, training=True)) != rows).any()


def test_a_copy_on_several_devices_normalises_over_all_of_them(backbone, two_devices):
    with two_devices.scope():
        copy = transfer.copied(backbone, frozen_statistics=False)
    norms = [layer for layer in copy.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert all(layer.synchronized for layer in norms)


def test_a_gradient_reaches_every_weight_of_the_backbone_and_the_head(backbone):
    model = transfer.joined([transfer.copied(transfer.pooled(backbone))], transfer.head(8, 5))
    # A block's last scale starts at 0, behind which nothing would move.
    for weight in model.trainable_weights:
        weight.assign(weight + 0.1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(pixels(), training=True) ** 2)
    for weight, gradient in zip(
        model.trainable_variables, tape.gradient(loss, [v.value for v in model.trainable_variables])
    ):
        assert float(tf.reduce_max(tf.abs(gradient))) > 0, weight.path


def test_a_joined_model_is_saved_and_loaded_whole(backbone, tmp_path):
    model = transfer.joined([transfer.pooled(backbone)], transfer.head(8, 5))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again(pixels()), model(pixels()))


def test_a_backbone_may_have_a_layer_of_any_name():
    pixels = keras.Input((8, 8, 3))
    model = transfer.pooled(keras.Model(pixels, keras.layers.Conv2D(4, 3, name="features")(pixels)))
    assert model.output_shape == (None, 4)


def test_a_copy_computes_in_the_policy_of_the_moment_and_a_head_in_its_own(backbone):
    pooled, head = transfer.pooled(backbone), transfer.head(8, 3)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        body, own = transfer.copied(pooled), transfer.copied(head, in_policy=False)
    finally:
        keras.config.set_dtype_policy(policy)
    assert {layer.compute_dtype for layer in body.layers[1:]} == {"bfloat16"}
    assert {str(weight.dtype) for weight in body.weights} == {"float32"}
    assert own.get_layer("logits").compute_dtype == "float32"
