"""Every builder through the same invariants."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite.errors import InputError
from kerasuite.models import cnn, mlp, residual_cnn, resnet

BUILDERS = {
    "mlp": mlp.build,
    "mlp with options": lambda *sizes: mlp.build(*sizes, hidden=(32, 16), dropout=0.2, l2=1e-3),
    "cnn": cnn.build,
    "cnn with options": lambda *sizes: cnn.build(*sizes, filters=(4, 6), batch_norm=True, l2=1e-3),
    "residual_cnn": lambda *sizes: residual_cnn.build(*sizes, filters=(4, 6, 8)),
    "resnet": lambda *sizes: resnet.build(*sizes, blocks=(1, 2), filters=(4, 8)),
    "resnet with pooling": lambda *sizes: resnet.build(*sizes, blocks=(1, 1), filters=(4, 8), down="pool"),
    "resnet of bottlenecks": lambda *sizes: resnet.build(*sizes, blocks=(1, 1), filters=(2, 4), kind="bottleneck"),
}
SIZES = [((28, 28), 1, 10), ((8, 8), 3, 2), ((33, 20), 3, 100)]

each_model = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())
each_size = pytest.mark.parametrize("sizes", SIZES, ids=str)


def pixels(sizes, n=4):
    return np.random.default_rng(0).uniform(0, 255, (n, *sizes[0], sizes[1])).astype(np.float32)


@each_model
@each_size
def test_logits_have_a_row_each_image_and_a_column_each_class(build, sizes):
    assert build(*sizes)(pixels(sizes)).shape == (4, sizes[2])


@each_model
def test_a_gradient_reaches_every_trainable_weight(build):
    model, labels = build(*SIZES[0]), np.array([1, 2, 3, 4])
    # A residual block's last scale starts at 0, behind which nothing would move.
    for weight in model.trainable_weights:
        if "gamma" in weight.path:
            weight.assign(weight + 0.5)
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(pixels(SIZES[0]), training=True))
    gradients = tape.gradient(losses, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None and float(tf.reduce_max(tf.abs(gradient))) > 0, variable.path  # noqa: PT018


@each_model
def test_a_saved_model_gives_the_same_logits(build, tmp_path):
    model = build(*SIZES[0])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again(pixels(SIZES[0])), model(pixels(SIZES[0])))


@each_model
def test_predict_equals_call(build):
    model = build(*SIZES[0])
    np.testing.assert_allclose(
        model.predict(pixels(SIZES[0]), verbose=0), model(pixels(SIZES[0]), training=False), atol=1e-5
    )


@each_model
def test_every_layer_has_a_name_of_its_own_choosing(build):
    assert not [layer.name for layer in build(*SIZES[0]).layers if layer.name.startswith(("conv2d", "dense_"))]


def test_the_mlp_is_the_classic_784_128_10():
    assert [layer.units for layer in mlp.build((28, 28), 1, 10).layers if hasattr(layer, "units")] == [128, 10]


def test_the_cnn_is_the_classic_two_block_network():
    shapes = [layer.output.shape[1:] for layer in cnn.build((28, 28), 1, 10).layers if "pool" in layer.name]
    assert shapes == [(13, 13, 32), (5, 5, 64)]
    # 9 * 32 + 32, 9 * 32 * 64 + 64, 1600 * 10 + 10
    assert cnn.build((28, 28), 1, 10).count_params() == 320 + 18_496 + 16_010


def test_the_cnn_takes_photos():
    assert cnn.build((224, 224), 3, 5)(np.zeros((1, 224, 224, 3), np.float32)).shape == (1, 5)


def test_an_image_too_small_for_its_blocks_is_refused():
    with pytest.raises(InputError, match="too small"):
        cnn.build((7, 9), 1, 2, filters=(4, 8, 8))


def test_l2_is_its_factor_times_the_sum_of_the_squared_kernel():
    model = mlp.build((2, 2), 1, 2, hidden=(), l2=0.1)
    kernel = model.get_layer("logits").kernel.numpy()
    assert float(tf.add_n(model.losses)) == pytest.approx(0.1 * (kernel**2).sum(), rel=1e-5)
