import io

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.fft import dctn
from sklearn.datasets import load_sample_image

from kerasuite.data.near import MOST, across, perceptual_hash

CHINA, FLOWER = (load_sample_image(name) for name in ("china.jpg", "flower.jpg"))


def distance(one, other):
    """The distance of two photos; None where they lie further apart than MOST."""
    _, _, found = across(np.stack([perceptual_hash(one)]), np.stack([perceptual_hash(other)]))
    return found[0] if len(found) else None


def saved(pixels, quality):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def scaled(pixels, factor):
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((round(width * factor), round(height * factor))))


def trimmed(pixels, share):
    height, width = (round(side * share) for side in pixels.shape[:2])
    return pixels[height:-height, width:-width]


COPIES = {
    "saved": lambda photo: saved(photo, 50),
    "half": lambda photo: scaled(photo, 0.5),
    "larger": lambda photo: scaled(photo, 2.3),
    "brighter": lambda photo: (photo * 1.1).clip(max=255).astype(np.uint8),
    "darker": lambda photo: (photo * 0.9).astype(np.uint8),
    "trimmed": lambda photo: trimmed(photo, 0.03),
    "blurred": lambda photo: np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(2))),
    "mirrored": lambda photo: photo[:, ::-1],
    "gray": lambda photo: np.asarray(Image.fromarray(photo).convert("L"))[..., None],
    "all of it": lambda photo: saved(scaled(trimmed(photo, 0.02), 0.5)[:, ::-1], 60),
}


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("photo", [CHINA, FLOWER], ids=["china", "flower"])
def test_a_copy_is_near_to_its_photo_and_not_to_another(photo, copy):
    other = FLOWER if photo is CHINA else CHINA
    assert distance(photo, COPIES[copy](photo)) <= MOST
    assert distance(COPIES[copy](photo), photo) <= MOST
    assert distance(other, COPIES[copy](photo)) is None


def test_the_bits_are_the_signs_of_the_cosine_transform():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 1), np.uint8)
    expected = dctn(pixels[..., 0].astype(float))[:16, :16] > 0
    expected[0, 0] = False
    found = np.unpackbits(perceptual_hash(pixels)[0]).reshape(16, 16).astype(bool)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 2000, 1), (3, 700, 3), (2100, 2, 3)])
def test_pictures_of_any_shape_have_a_hash(shape):
    found = perceptual_hash(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    assert (found.shape, found.dtype) == ((2, 32), np.uint8)


def test_blank_pictures_are_near_to_nothing():
    black, white = (np.full((40, 30, 3), value, np.uint8) for value in (0, 255))
    assert not perceptual_hash(white).any()
    assert distance(black, white) is None
    assert distance(black, black) is None


def test_the_nearest_row_and_its_distance_are_those_of_a_plain_count():
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (4500, 2, 32), np.uint8)
    train[:, :, 0] &= 0x7F  # brightness has no sign
    test = rng.integers(0, 256, (1100, 2, 32), np.uint8)
    test[:, :, 0] &= 0x7F
    test[3], test[700] = train[4400], train[2047]
    test[3, 0, 5] ^= 0b10110000  # 3 signs
    test[3, 1] ^= 0xFF
    test[1099, 1] = train[2048, 0]
    test[1099, 1, 9] ^= 1
    test[600, 0] = train[5, 1] ^ np.uint8(0b01010101)  # every second column: mirrored, and trimmed
    rows, places, distances = across(train, test)
    assert rows.tolist() == [3, 600, 700, 1099]
    assert places.tolist() == [4400, 5, 2047, 2048]
    assert distances.tolist() == [3, 0, 0, 1]


def test_most_is_the_largest_distance_found():
    train = np.zeros((1, 2, 32), np.uint8)
    train[0, :, 1::2] = 0x3C
    test = train.copy()
    test[0, 0, :4] ^= 0x42  # 8 signs, of columns 1 and 6
    test[0, 1] ^= 0xFF
    assert across(train, test, most=8)[2].tolist() == [8]
    assert len(across(train, test, most=7)[0]) == 0


def test_nothing_is_near_where_there_are_no_rows():
    rows = np.stack([perceptual_hash(CHINA)])
    for train, test in ((rows[:0], rows), (rows, rows[:0])):
        assert [len(found) for found in across(train, test)] == [0, 0, 0]
