from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from kerasuite.data.augmentation import DEFAULTS, LIGHT, Augmentation, Mixing, together
from kerasuite.errors import InputError

RNG = np.random.default_rng(0)
ALL = Augmentation(rotation=20, scale=0.2, shift=0.2, flip=True, erase=0.5)


def pictures(number=4, height=7, width=9, channels=3):
    return tf.constant(RNG.integers(0, 256, (number, height, width, channels)), tf.float32)


def draws(number, **others):
    """Neutral numbers, but for those that are named."""
    names = ("rotation", "scale", "right", "down", "flip", "erase", "erase_right", "erase_down")
    return tf.constant([[others.get(name, 0.5) for name in names]] * number, tf.float32)


def changed(augment, x, numbers):
    """The pictures alone; the labels must be what they were."""
    labels = tf.range(len(x))
    found, after = augment(x, labels, numbers)
    assert after is labels
    return found


@pytest.mark.parametrize("augment", [ALL, LIGHT, *DEFAULTS.values()])
def test_neutral_numbers_change_nothing(augment):
    x = pictures()
    np.testing.assert_array_equal(changed(augment, x, draws(4)), x)


def test_without_settings_nothing_changes_whatever_the_numbers():
    x = pictures()
    np.testing.assert_array_equal(changed(Augmentation(), x, tf.constant(RNG.random((4, 8)), tf.float32)), x)


@pytest.mark.parametrize("augment", [ALL, LIGHT, *DEFAULTS.values()])
def test_same_numbers_give_same_pictures_of_the_same_shape_and_range(augment):
    x, numbers = pictures(64), tf.random.stateless_uniform((64, augment.draws_per_image), (1, 2))
    first, (second, _) = changed(augment, x, numbers), tf.function(augment)(x, tf.range(64), numbers)
    np.testing.assert_allclose(first, second, atol=1e-3)
    assert first.shape == x.shape
    assert first.dtype == tf.float32
    assert 0 <= np.min(first) <= np.max(first) <= 255
    assert not np.array_equal(first, x)


def test_an_image_depends_on_its_own_numbers_only():
    x, numbers = pictures(6), tf.random.stateless_uniform((6, 8), (1, 2))
    np.testing.assert_array_equal(changed(ALL, x, numbers)[2:4], changed(ALL, x[2:4], numbers[2:4]))


def test_flip_mirrors_left_to_right():
    x = pictures()
    np.testing.assert_array_equal(changed(Augmentation(flip=True), x, draws(4, flip=0.2)), x[:, :, ::-1])


def test_shift_moves_by_whole_pixels_and_fills_the_rest():
    x = tf.reshape(tf.range(1.0, 11), (1, 1, 10, 1))
    moved = lambda fill: changed(Augmentation(shift=0.2, fill=fill), x, draws(1, right=0.9999))  # noqa: E731
    assert moved("zero").numpy().ravel().tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert moved("nearest").numpy().ravel().tolist() == [1, 1, 1, 2, 3, 4, 5, 6, 7, 8]
    down = changed(Augmentation(shift=0.2, fill="zero"), tf.reshape(x, (1, 10, 1, 1)), draws(1, down=0.0))
    assert down.numpy().ravel().tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 0, 0]


def test_a_quarter_turn_is_that_of_numpy():
    x = pictures(height=7, width=7)
    for draw, turns in ((0.0, -1), (1.0, 1)):
        found = changed(Augmentation(rotation=90), x, draws(4, rotation=draw))
        np.testing.assert_allclose(found, np.rot90(x, turns, axes=(1, 2)), atol=0.01)


def test_scale_enlarges_about_the_middle():
    x = np.zeros((1, 9, 9, 1), np.float32)
    x[0, 3:6, 3:6] = 255
    scaled = lambda draw: float(np.sum(changed(Augmentation(scale=1.0), x, draws(1, scale=draw))) / x.sum())  # noqa: E731
    assert 3 < scaled(1.0) < 5
    assert 0.1 < scaled(0.0) < 0.5


def test_erase_covers_a_square_with_the_mean_colour():
    x = pictures(1, 10, 10).numpy()
    found = changed(Augmentation(erase=0.4), x, draws(1, erase=0.9999)).numpy()
    erased = np.argwhere((found != x).any(-1)[0])
    assert erased.min(0).tolist() == [3, 3]
    assert erased.max(0).tolist() == [6, 6]
    np.testing.assert_allclose(found[0, 4, 4], np.mean(x, axis=(0, 1, 2)), rtol=1e-5)


def test_what_is_usual_suits_the_data_and_can_be_changed():
    assert Augmentation.usual("cifar10").flip
    assert not Augmentation.usual("mnist").flip
    assert Augmentation.usual("my/photos") == LIGHT
    assert Augmentation.usual("my/photos", flip=True, scale=None) == replace(LIGHT, flip=True)


def mixing_draws(amount, way=0.5, right=0.5, down=0.5):
    return tf.constant(np.stack(np.broadcast_arrays(way, amount, right, down), -1), tf.float32)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 5.0])
def test_a_share_of_mixup_is_the_beta_distributions_quantile(alpha):
    numbers = RNG.random(500).astype(np.float32)
    _, y = Mixing(500, mixup=alpha)(tf.zeros((500, 1)), tf.range(500), mixing_draws(numbers))
    np.testing.assert_allclose(
        np.diag(y), scipy.stats.beta.ppf(numbers, alpha, alpha), atol=2e-3 if alpha < 5 else 0.02
    )


@pytest.mark.parametrize("shape", [(3, 5), (3, 4, 4, 2)])
def test_mixup_averages_rows_and_labels_with_the_row_before(shape):
    x = RNG.random(shape).astype(np.float32)
    found, y = Mixing(4, mixup=1.0)(tf.constant(x), tf.constant([0, 2, 2]), mixing_draws([0.25, 0.5, 0.75]))
    share = np.reshape([0.25, 0.5, 0.75], (3, *[1] * (len(shape) - 1)))  # Beta(1, 1) is uniform
    np.testing.assert_allclose(found, share * x + (1 - share) * x[[2, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(y, [[0.25, 0, 0.75, 0], [0.5, 0, 0.5, 0], [0, 0, 1, 0]], atol=1e-6)


def test_cutmix_shows_the_row_before_in_a_rectangle_and_counts_its_pixels():
    x = tf.reshape(tf.constant([1.0, 2.0]), (2, 1, 1, 1)) * tf.ones((2, 8, 12, 1))
    # A share of 1/4 leaves a rectangle of half the height and width; the second lies half beyond the left edge.
    found, y = Mixing(2, cutmix=1.0)(x, tf.constant([0, 1]), mixing_draws(0.75, right=[0.5, 0.0]))
    expected = np.broadcast_to(x, (2, 8, 12, 1)).copy()
    expected[0, 2:6, 3:9], expected[1, 2:6, 0:3] = 2, 1
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(y, [[0.75, 0.25], [0.125, 0.875]])


def test_labels_of_cutmix_tell_what_is_seen_wherever_the_rectangle_is():
    x = tf.reshape(tf.range(64.0), (64, 1, 1, 1)) * tf.ones((64, 9, 7, 3))
    found, y = Mixing(64, cutmix=0.7)(x, tf.range(64), tf.random.stateless_uniform((64, 4), (1, 2)))
    seen = [np.bincount(row.astype(int).ravel(), minlength=64) / (9 * 7 * 3) for row in found.numpy()]
    np.testing.assert_allclose(y, seen, atol=1e-6)
    assert np.mean(np.diag(y) < 1) > 0.5


def test_of_two_ways_to_mix_each_row_takes_one():
    x, y = tf.random.stateless_uniform((64, 6, 6, 1), (3, 4)), tf.range(64)
    numbers = tf.random.stateless_uniform((64, 4), (1, 2))
    by_mixup = numbers[:, 0].numpy() < 0.5
    assert 20 < by_mixup.sum() < 44
    both = Mixing(64, mixup=0.5, cutmix=1.0)(x, y, numbers)
    for found, mixup, cutmix in zip(both, Mixing(64, 0.5)(x, y, numbers), Mixing(64, 0, 1.0)(x, y, numbers)):
        np.testing.assert_array_equal(found[by_mixup], mixup[by_mixup])
        np.testing.assert_array_equal(found[~by_mixup], cutmix[~by_mixup])


def test_nothing_is_mixed_where_both_alphas_are_0():
    x, y = pictures(), tf.range(4)
    found = Mixing(4)(x, y, tf.zeros((4, 4)))
    assert found[0] is x
    assert found[1] is y


def test_vectors_cannot_be_cut_and_the_reader_is_told():
    with pytest.raises(InputError, match=r"not \(2, 5\). Pass --cutmix 0"):
        Mixing(2, cutmix=1.0)(tf.zeros((2, 5)), tf.range(2), tf.zeros((2, 4)))


def test_changes_in_sequence_take_their_own_numbers_in_order():
    x, y, numbers = pictures(), tf.range(4), tf.random.stateless_uniform((4, 12), (1, 2))
    mixing = Mixing(4, mixup=0.4)
    found = together(ALL, None, mixing)(x, y, numbers)
    for a, b in zip(found, mixing(*ALL(x, y, numbers[:, :8]), numbers[:, 8:])):
        np.testing.assert_array_equal(a, b)
    assert together(None, ALL) is ALL
    assert together(None, None) is None
