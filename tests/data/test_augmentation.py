from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from kerasuite.data.augmentation import DEFAULTS, LIGHT, Augmentation

RNG = np.random.default_rng(0)
ALL = Augmentation(rotation=20, scale=0.2, shift=0.2, flip=True, erase=0.5)


def pictures(number=4, height=7, width=9, channels=3):
    return tf.constant(RNG.integers(0, 256, (number, height, width, channels)), tf.float32)


def draws(number, **changed):
    """Neutral numbers, but for those that are named."""
    names = ("rotation", "scale", "right", "down", "flip", "erase", "erase_right", "erase_down")
    return tf.constant([[changed.get(name, 0.5) for name in names]] * number, tf.float32)


@pytest.mark.parametrize("augment", [ALL, LIGHT, *DEFAULTS.values()])
def test_neutral_numbers_change_nothing(augment):
    x = pictures()
    np.testing.assert_array_equal(augment(x, draws(4)), x)


def test_without_settings_nothing_changes_whatever_the_numbers():
    x = pictures()
    np.testing.assert_array_equal(Augmentation()(x, tf.constant(RNG.random((4, 8)), tf.float32)), x)


@pytest.mark.parametrize("augment", [ALL, LIGHT, *DEFAULTS.values()])
def test_same_numbers_give_same_pictures_of_the_same_shape_and_range(augment):
    x, numbers = pictures(64), tf.random.stateless_uniform((64, augment.draws_per_image), (1, 2))
    first, second = augment(x, numbers), tf.function(augment)(x, numbers)
    np.testing.assert_allclose(first, second, atol=1e-3)
    assert first.shape == x.shape
    assert first.dtype == tf.float32
    assert 0 <= np.min(first) <= np.max(first) <= 255
    assert not np.array_equal(first, x)


def test_an_image_depends_on_its_own_numbers_only():
    x, numbers = pictures(6), tf.random.stateless_uniform((6, 8), (1, 2))
    np.testing.assert_array_equal(ALL(x, numbers)[2:4], ALL(x[2:4], numbers[2:4]))


def test_flip_mirrors_left_to_right():
    x = pictures()
    np.testing.assert_array_equal(Augmentation(flip=True)(x, draws(4, flip=0.2)), x[:, :, ::-1])


def test_shift_moves_by_whole_pixels_and_fills_the_rest():
    x = tf.reshape(tf.range(1.0, 11), (1, 1, 10, 1))
    moved = lambda fill: Augmentation(shift=0.2, fill=fill)(x, draws(1, right=0.9999))  # noqa: E731
    assert moved("zero").numpy().ravel().tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert moved("nearest").numpy().ravel().tolist() == [1, 1, 1, 2, 3, 4, 5, 6, 7, 8]
    down = Augmentation(shift=0.2, fill="zero")(tf.reshape(x, (1, 10, 1, 1)), draws(1, down=0.0))
    assert down.numpy().ravel().tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 0, 0]


def test_a_quarter_turn_is_that_of_numpy():
    x = pictures(height=7, width=7)
    for draw, turns in ((0.0, -1), (1.0, 1)):
        found = Augmentation(rotation=90)(x, draws(4, rotation=draw))
        np.testing.assert_allclose(found, np.rot90(x, turns, axes=(1, 2)), atol=0.01)


def test_scale_enlarges_about_the_middle():
    x = np.zeros((1, 9, 9, 1), np.float32)
    x[0, 3:6, 3:6] = 255
    scaled = lambda draw: float(np.sum(Augmentation(scale=1.0)(x, draws(1, scale=draw))) / x.sum())  # noqa: E731
    assert 3 < scaled(1.0) < 5
    assert 0.1 < scaled(0.0) < 0.5


def test_erase_covers_a_square_with_the_mean_colour():
    x = pictures(1, 10, 10).numpy()
    found = Augmentation(erase=0.4)(x, draws(1, erase=0.9999)).numpy()
    changed = np.argwhere((found != x).any(-1)[0])
    assert changed.min(0).tolist() == [3, 3]
    assert changed.max(0).tolist() == [6, 6]
    np.testing.assert_allclose(found[0, 4, 4], np.mean(x, axis=(0, 1, 2)), rtol=1e-5)


def test_what_is_usual_suits_the_data_and_can_be_changed():
    assert Augmentation.usual("cifar10").flip
    assert not Augmentation.usual("mnist").flip
    assert Augmentation.usual("my/photos") == LIGHT
    assert Augmentation.usual("my/photos", flip=True, scale=None) == replace(LIGHT, flip=True)
