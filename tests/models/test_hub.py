"""SavedModels as layers."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite.errors import InputError
from kerasuite.models import backbones, hub, transfer


class Reusable(tf.Module):
    """Means of pixels times a kernel; in training a moving mean is kept."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable([[1.0, -2.0], [0.5, 3.0], [2.0, 1.0]], name="kernel")
        self.mean = tf.Variable([0.0, 0.0, 0.0], trainable=False, name="mean")

    @tf.function
    def __call__(self, x, training=False):
        if training:
            self.mean.assign(0.5 * self.mean + 0.5 * tf.reduce_mean(x, (0, 1, 2)))
        return (tf.reduce_mean(x, (1, 2)) - self.mean) @ self.kernel


class Signed(tf.Module):
    """A map by a signature alone, of images of one size."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(np.arange(81, dtype=np.float32).reshape(3, 3, 3, 3))

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32, name="images")])
    def features(self, images):
        return {"default": tf.nn.conv2d(images, self.kernel, 2, "SAME")}


def reusable(folder):
    module = Reusable()
    for training in (True, False):
        module.__call__.get_concrete_function(tf.TensorSpec((None, None, None, 3)), training=training)
    tf.saved_model.save(module, str(folder))
    return str(folder)


def signed(folder):
    module = Signed()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.features})
    return str(folder)


each_kind = pytest.mark.parametrize("saved", [reusable, signed])


def pixels(n=2):
    return np.random.default_rng(0).uniform(0, 255, (n, 8, 8, 3)).astype(np.float32)


def test_a_reusable_module_gives_its_features_of_pixels_from_0_to_1(tmp_path):
    model = backbones.load(reusable(tmp_path), (8, 8)).model
    means = pixels().mean((1, 2)) / 255
    np.testing.assert_allclose(model(pixels()), means @ [[1, -2], [0.5, 3], [2, 1]], rtol=1e-5)
    as_they_are = backbones.load(str(tmp_path), (8, 8), preprocessing="none").model
    np.testing.assert_allclose(as_they_are(pixels()), 255 * model(pixels()).numpy(), rtol=1e-5)


def test_a_module_with_a_signature_alone_gives_its_map(tmp_path):
    model = backbones.load(signed(tmp_path), None).model
    assert (model.input_shape, model.output_shape) == ((None, 8, 8, 3), (None, 4, 4, 3))
    module = Signed()
    expected = module.features(pixels() / 255)["default"]
    np.testing.assert_allclose(model(pixels()), expected, rtol=1e-4)


def test_the_variables_are_weights_some_of_them_trainable(tmp_path):
    layer = hub.HubLayer(reusable(tmp_path))
    assert [w.shape for w in layer.trainable_weights] == [(3, 2)]
    assert [w.shape for w in layer.non_trainable_weights] == [(3,)]
    layer.trainable = False
    assert layer.trainable_weights == []


def test_the_modules_statistics_stay_as_they_are_while_it_is_trained(tmp_path):
    model = transfer.copied(backbones.load(reusable(tmp_path), (8, 8)).model)
    model(pixels(), training=True)
    np.testing.assert_array_equal(model.non_trainable_variables[0], np.zeros(3))


def test_the_digest_is_of_what_the_module_computes_too(tmp_path):
    class Doubled(Reusable):
        @tf.function
        def __call__(self, x, training=False):
            return 2 * (tf.reduce_mean(x, (1, 2)) - self.mean) @ self.kernel

    module = Doubled()
    module.__call__.get_concrete_function(tf.TensorSpec((None, None, None, 3)), training=False)
    first = backbones.load(reusable(tmp_path), (8, 8)).weights_digest
    assert first == backbones.load(str(tmp_path), (8, 8)).weights_digest
    tf.saved_model.save(module, str(tmp_path))
    assert first != backbones.load(str(tmp_path), (8, 8)).weights_digest


@each_kind
def test_a_gradient_reaches_every_trainable_weight(saved, tmp_path):
    model = backbones.load(saved(tmp_path), (8, 8)).model
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(pixels(), training=False))
    (gradient,) = tape.gradient(total, [v.value for v in model.trainable_variables])
    assert float(tf.reduce_min(tf.abs(gradient))) > 0


@each_kind
def test_trained_weights_are_saved_and_loaded_with_the_model(saved, tmp_path):
    base = transfer.pooled(backbones.load(saved(tmp_path / "module"), (8, 8)).model)
    head = transfer.head(base.output_shape[-1], 2)
    head.get_layer("logits").kernel.assign(np.random.default_rng(0).normal(size=(base.output_shape[-1], 2)))
    model = transfer.joined([base], head)
    before = model(pixels(), training=False).numpy()
    base.weights[0].assign(base.weights[0] + 0.5)
    after = model(pixels(), training=False).numpy()
    assert np.abs(after - before).max() > 1e-3
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again(pixels(), training=False), after)
    np.testing.assert_array_equal(transfer.copied(model)(pixels(), training=False), after)


@each_kind
def test_an_export_gives_the_same(saved, tmp_path):
    model = backbones.load(saved(tmp_path / "module"), (8, 8)).model
    served = tf.Module()
    served.model = model
    served.serve = tf.function(lambda x: model(x, training=False), input_signature=[tf.TensorSpec((None, 8, 8, 3))])
    tf.saved_model.save(served, str(tmp_path / "out"))
    again = tf.saved_model.load(str(tmp_path / "out"))
    np.testing.assert_allclose(again.serve(pixels()), model(pixels(), training=False), rtol=1e-5)


def test_a_step_on_two_devices_changes_each_devices_copy_alike(two_devices, tmp_path):
    base = backbones.load(reusable(tmp_path), (8, 8)).model
    with two_devices.scope():
        model = transfer.copied(base)
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        variables = model.trainable_variables
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model(pixels(), training=False))
        optimizer.apply(tape.gradient(total, [v.value for v in variables]), variables)

    two_devices.run(step)
    # The gradient of each device: of a kernel's row, the sum of that channel's means over the rows.
    change = 2 * 0.1 * pixels().mean((1, 2)).sum(0)[:, None] / 255
    for copy in model.trainable_variables[0].value.values:
        np.testing.assert_allclose(copy, base.trainable_variables[0].numpy() - change, rtol=1e-4)


def test_it_is_one_layer_that_cannot_be_cut(tmp_path):
    model = backbones.load(signed(tmp_path), None).model
    assert backbones.cuts(model) == ["pixels_unit"]
    with pytest.raises(InputError, match="--unfreeze none, --unfreeze all"):
        backbones.last_stage_cut(model)


def test_another_size_than_the_modules_is_refused(tmp_path):
    assert backbones.load(signed(tmp_path), None).model.input_shape == (None, 8, 8, 3)
    with pytest.raises(InputError, match="8x8 only"):
        backbones.load(str(tmp_path), (16, 16))


def test_a_handle_that_is_gone_is_named_when_the_model_is_loaded(tmp_path):
    backbones.load(signed(tmp_path / "module"), None).model.save(tmp_path / "model.keras")
    shutil.rmtree(tmp_path / "module")
    with pytest.raises(InputError, match=rf"{tmp_path / 'module'} cannot be loaded"):
        keras.saving.load_model(tmp_path / "model.keras")


def test_a_handle_that_cannot_be_downloaded_is_named_with_what_to_pass(monkeypatch):
    def fail(url):
        raise OSError("no route")

    monkeypatch.setattr(hub, "_resolved", fail)
    with pytest.raises(InputError, match=r"https://tfhub.dev/a/b/1 cannot be loaded: no route.*folder"):
        backbones.load("https://tfhub.dev/a/b/1", None)


def test_a_module_that_takes_no_images_is_refused(tmp_path):
    module = tf.Module()
    module.features = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec((None, 4))])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.features})
    with pytest.raises(InputError, match="expected images"):
        backbones.load(str(tmp_path), None)


def test_a_module_without_any_call_is_refused(tmp_path):
    module = tf.Module()
    module.kernel = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(InputError, match="not callable and has no signature"):
        backbones.load(str(tmp_path), None)


def test_random_weights_and_other_weights_are_refused(tmp_path):
    path = reusable(tmp_path)
    with pytest.raises(InputError, match="from scratch"):
        backbones.load(path, None, pretrained=False)
    with pytest.raises(InputError, match="weights of its own"):
        backbones.load(path, None, weights="w.h5")
