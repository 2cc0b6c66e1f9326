import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from kerasuite.data.photo_augmentation import OPERATIONS, PhotoAugmentation
from kerasuite.errors import InputError

SIZE = (96, 128)
# Paler than it is, so that there is contrast to be gained.
PHOTO = (30 + 0.75 * sklearn.datasets.load_sample_image("china.jpg")[150:246, 200:328]).astype(np.uint8)
PICTURE = Image.fromarray(PHOTO)


def photos(number=1, height=96, width=128):
    x = np.stack([np.roll(PHOTO, 7 * k, axis=1)[:height, :width] for k in range(number)])
    return tf.constant(x, tf.float32)


def numbers(number=1, changes=(), **crop):
    """Neutral numbers, but for those of the crop that are named; changes are (operation, sign)."""
    row = [crop.get(name, 0.5) for name in ("area", "aspect", "down", "right", "mirror")]
    for operation, sign in changes:
        row += [(OPERATIONS.index(operation) + 0.5) / len(OPERATIONS), 0.5 + sign / 4]
    return tf.constant([row] * number, tf.float32)


def changed(augment, x, draws):
    """The photos alone; the labels must be what they were."""
    labels = tf.range(len(x))
    found, after = augment(x, labels, draws)
    assert after is labels
    return found.numpy()


def operated(*changes, magnitude=20.0, x=None, **options):
    """What RandAugment makes of the photo, or of others."""
    augment = PhotoAugmentation(SIZE, crop=1.0, rand_augment=len(changes), magnitude=magnitude, **options)
    x = photos() if x is None else x
    return changed(augment, x, numbers(len(x), changes))


@pytest.mark.parametrize("rand_augment", [0, 2])
@pytest.mark.parametrize("size", [(84, 112), (40, 30), (96, 128)])
def test_neutral_numbers_give_the_plain_resize(size, rand_augment):
    x = photos(2)
    augment = PhotoAugmentation(size, crop=1.0, rand_augment=rand_augment)
    found = changed(augment, x, numbers(2, [("identity", 0)] * rand_augment))
    np.testing.assert_allclose(found, tf.image.resize(x, size), atol=0.05)
    np.testing.assert_array_equal(found, changed(augment, x, tf.fill((2, augment.draws_per_image), 0.5)))


@pytest.mark.parametrize("rand_augment", [0, 1])
@pytest.mark.parametrize(("down", "right"), [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.5, 0.5)])
def test_a_crop_is_the_resize_of_a_part(down, right, rand_augment):
    augment = PhotoAugmentation((24, 32), crop=0.25, rand_augment=rand_augment)
    draws = numbers(1, [("identity", 0)] * rand_augment, area=0.0, down=down, right=right)
    top, left = int(down * 48), int(right * 64)
    expected = tf.image.resize(photos()[:, top : top + 48, left : left + 64], (24, 32))
    np.testing.assert_allclose(changed(augment, photos(), draws), expected, atol=0.05)


def test_a_crop_that_is_enlarged_shows_nothing_but_the_photo():
    white = tf.fill((64, *SIZE, 3), 255.0)
    for rand_augment in (0, 1):
        augment = PhotoAugmentation((224, 224), crop=0.1, rand_augment=rand_augment)
        draws = np.random.default_rng(0).integers(0, 2, (64, 5)) * 0.9999999
        draws = np.concatenate([draws, np.full((64, 2 * rand_augment), 0.5)], axis=1)
        np.testing.assert_allclose(changed(augment, white, tf.constant(draws, tf.float32)), 255, atol=1e-3)


@pytest.mark.parametrize("rand_augment", [0, 1])
def test_flip_mirrors_left_to_right(rand_augment):
    x, changes = photos(2), [("identity", 0)] * rand_augment
    found, plain = (
        changed(PhotoAugmentation(SIZE, flip=flip, rand_augment=rand_augment), x, numbers(2, changes, mirror=0.2))
        for flip in (True, False)
    )
    np.testing.assert_allclose(found, plain[:, :, ::-1], atol=0.05)


def test_crops_have_areas_and_aspects_in_their_ranges_and_lie_within_the_photo():
    rows, columns = np.mgrid[:100, :100].astype(np.float32)
    x = tf.tile(tf.constant(np.stack([rows, columns, rows], -1))[None], (2000, 1, 1, 1))
    draws = tf.random.stateless_uniform((2000, 5), (1, 2))
    found = changed(PhotoAugmentation((50, 50), crop=0.2, aspect=1.5, flip=False), x, draws)
    # The corner pixels of the result stand half a pixel of the result within the crop.
    height, width = ((found[:, -1, -1, k] - found[:, 0, 0, k]) * 50 / 49 for k in (0, 1))
    area, aspect = height * width / 100**2, width / height
    assert area.min() > 0.19
    assert area.max() < 1.01
    np.testing.assert_allclose(np.quantile(area, [0.25, 0.5, 0.75]), [0.4, 0.6, 0.8], atol=0.03)
    np.testing.assert_allclose(np.quantile(area, 0.95), 0.96, atol=0.01)
    assert aspect.min() > 1 / 1.52
    assert aspect.max() < 1.52
    small = np.log(aspect[area < 0.6])
    np.testing.assert_allclose(np.quantile(small, [0.25, 0.75]), np.log(1.5) * np.array([-0.5, 0.5]), atol=0.05)


def test_aspect_1_keeps_the_aspect_of_the_photo():
    x = tf.tile(tf.reshape(tf.range(100.0), (1, 1, 100, 1)), (1, 100, 1, 3))
    augment = PhotoAugmentation((50, 50), crop=0.25, aspect=1.0, flip=False)
    found = changed(augment, x, numbers(area=0.0, aspect=0.9))
    np.testing.assert_allclose(found[0, 0, [0, -1], 0], [25, 74], atol=1e-3)


def of_pillow(name, sign, magnitude):
    """The same change by Pillow, which the paper's code calls too."""
    share = sign * magnitude / 30
    affine = lambda *rows: PICTURE.transform(  # noqa: E731
        PICTURE.size, Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR, fillcolor=(128,) * 3
    )
    return {
        "identity": lambda: PICTURE,
        "auto_contrast": lambda: ImageOps.autocontrast(PICTURE),
        "equalize": lambda: ImageOps.equalize(PICTURE),
        "solarize": lambda: ImageOps.solarize(PICTURE, round(256 - 256 * abs(share))),
        "posterize": lambda: ImageOps.posterize(PICTURE, 8 - round(4 * abs(share))),
        "colour": lambda: ImageEnhance.Color(PICTURE).enhance(1 + 0.9 * share),
        "contrast": lambda: ImageEnhance.Contrast(PICTURE).enhance(1 + 0.9 * share),
        "brightness": lambda: ImageEnhance.Brightness(PICTURE).enhance(1 + 0.9 * share),
        "sharpness": lambda: ImageEnhance.Sharpness(PICTURE).enhance(1 + 0.9 * share),
        "rotate": lambda: PICTURE.rotate(30 * share, Image.Resampling.BILINEAR, fillcolor=(128,) * 3),
        "shear_x": lambda: affine(1, 0.3 * share, 0, 0, 1, 0),
        "shear_y": lambda: affine(1, 0, 0, 0.3 * share, 1, 0),
        "translate_x": lambda: affine(1, 0, 100 / 331 * 128 * share, 0, 1, 0),
        "translate_y": lambda: affine(1, 0, 0, 0, 1, 100 / 331 * 96 * share),
    }[name]()


@pytest.mark.parametrize("magnitude", [9.0, 30.0])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_does_what_pillow_does(name, sign, magnitude):
    # Pillow works in whole levels, and turns by whole parts of a pixel.
    off = np.abs(operated((name, sign), magnitude=magnitude)[0] - np.asarray(of_pillow(name, sign, magnitude), float))
    assert off.mean() < 0.8
    assert np.quantile(off, 0.97) < 2.1


def test_every_operation_but_identity_changes_the_photo():
    unchanged = [name for name in OPERATIONS if np.abs(operated((name, 1)) - photos()).mean() < 0.5]
    assert unchanged == ["identity"]


def test_at_magnitude_0_only_what_has_no_strength_changes_the_photo():
    still = [name for name in OPERATIONS if np.abs(operated((name, 1), magnitude=0.0) - photos()).mean() < 0.5]
    assert set(OPERATIONS) - set(still) == {"auto_contrast", "equalize"}


def test_every_operation_is_as_likely_as_the_others():
    x = tf.tile(photos(), (14, 1, 1, 1))[:, :20, :20]
    draws = np.full((14, 7), 0.5, np.float32)
    draws[:, 5], draws[:, 6] = np.arange(14) / 14 + 1e-6, 0.9
    augment = PhotoAugmentation((20, 20), crop=1.0, rand_augment=1, magnitude=20.0)
    found = changed(augment, x, tf.constant(draws))
    for k, name in enumerate(OPERATIONS):
        alone = changed(augment, x[:1], numbers(1, [(name, 1)]))
        np.testing.assert_array_equal(found[k], alone[0])
    draws[:, 5] = np.nextafter(np.float32(1), np.float32(0))
    np.testing.assert_array_equal(changed(augment, x, tf.constant(draws))[0], found[-1])


def test_changes_of_shape_are_made_in_the_order_in_which_they_were_drawn():
    # Smooth, so that a second resampling loses nothing.
    x = tf.image.resize(tf.image.resize(photos(), (12, 16)), SIZE)
    in_turn = operated(("rotate", 1), x=tf.constant(operated(("shear_x", 1), x=x)))
    at_once = operated(("shear_x", 1), ("rotate", 1), x=x)
    other_way = operated(("rotate", 1), ("shear_x", 1), x=x)
    middle = (slice(None), slice(36, 60), slice(48, 80))
    assert np.abs(at_once - in_turn)[middle].mean() < 0.5
    assert np.abs(other_way - in_turn)[middle].mean() > 3


def test_a_turn_back_leaves_the_photo_as_it_was():
    np.testing.assert_allclose(operated(("rotate", 1), ("rotate", -1)), photos(), atol=0.3)


def test_changes_of_colour_follow_one_another():
    twice = operated(("brightness", -1), ("solarize", 1))
    np.testing.assert_allclose(twice, operated(("solarize", 1), x=tf.constant(operated(("brightness", -1)))), atol=0.5)


def test_a_photo_that_is_moved_shows_what_lies_beyond_the_crop():
    x = tf.tile(tf.reshape(tf.range(128.0), (1, 1, 128, 1)), (1, 96, 1, 3))
    augment = PhotoAugmentation((48, 64), crop=0.25, flip=False, rand_augment=1, magnitude=30.0)
    found = changed(augment, x, numbers(1, [("translate_x", 1)], area=0.0))
    np.testing.assert_allclose(found[0, 0, :, 0], 32 + np.arange(64) + 64 * 100 / 331, atol=0.01)


def test_beyond_the_photo_lies_gray_or_the_edge():
    for fill, expected in (("gray", np.full((96, 20, 3), 128)), ("nearest", np.tile(PHOTO[:, -1:], (1, 20, 1)))):
        found = operated(("translate_x", 1), magnitude=30.0, fill=fill)
        np.testing.assert_allclose(found[0, :, -20:], expected, atol=0.05)


def test_flat_photos_stay_flat_and_finite():
    flat = tf.fill((2, *SIZE, 3), 77.0)
    for name in ("auto_contrast", "equalize", "contrast", "colour", "sharpness"):
        np.testing.assert_allclose(operated((name, 1), x=flat), 77, atol=0.01)


def test_same_numbers_give_same_photos_within_the_range_whoever_is_in_the_batch():
    augment = PhotoAugmentation((64, 80), rand_augment=2, magnitude=30.0)
    x, draws = photos(64), tf.random.stateless_uniform((64, augment.draws_per_image), (1, 2))
    traced = tf.function(augment)
    first, _ = traced(x, tf.range(64), draws)
    assert first.shape == (64, 64, 80, 3)
    assert first.dtype == tf.float32
    assert np.min(first) > -1e-3
    assert np.max(first) < 255 + 1e-3
    np.testing.assert_array_equal(first, traced(x, tf.range(64), draws)[0])
    # In another place of a batch the processor may round an exponential another way.
    off = np.abs(changed(augment, x, draws)[5:9] - changed(augment, x[5:9], draws[5:9]))
    assert off.mean() < 0.01


def test_batches_of_any_size_are_changed_by_one_trace():
    augment = PhotoAugmentation((64, 80), rand_augment=1)
    signature = [tf.TensorSpec((None, *SIZE, 3)), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 7))]
    traced = tf.function(augment, input_signature=signature)
    for number in (0, 1, 3):
        draws = tf.random.stateless_uniform((number, 7), (1, 2))
        assert traced(photos(3)[:number], tf.range(number), draws)[0].shape == (number, 64, 80, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": 0.0}, "The crop is 0.0"),
        ({"crop": 1.5}, "at most 1"),
        ({"aspect": 0.7}, "at least 1"),
        ({"magnitude": 31}, "of magnitude 31"),
        ({"rand_augment": -1}, "asked for -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        PhotoAugmentation(SIZE, **settings)
