import numpy as np
import pytest

from kerasuite.contracts import Examples
from kerasuite.data import pixels
from kerasuite.data.images import ImagePreparation

RNG = np.random.default_rng(0)


def examples(number, height, width, channels):
    return Examples({"image": RNG.integers(0, 256, (number, height, width, channels), np.uint8)})


def test_small_images_are_features_as_they_are():
    some = examples(130, 4, 5, 3)
    found = pixels.features(some, ImagePreparation((4, 5), 3))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, some.inputs["image"].reshape(130, 60))


def test_large_images_are_averaged_down():
    some = examples(3, 64, 64, 1)
    found = pixels.features(some, ImagePreparation((64, 64), 1))
    means = some.inputs["image"].reshape(3, 32, 2, 32, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(found, means.reshape(3, 1024), rtol=1e-5)


def test_a_long_thin_image_keeps_its_one_row():
    assert pixels.features(examples(2, 1, 4000, 1), ImagePreparation((1, 4000), 1)).shape[0] == 2


def test_a_histogram_counts_pixels_by_red_green_and_blue_together():
    some = examples(70, 9, 7, 3)
    found = pixels.colour_histograms(some, ImagePreparation((9, 7), 3))
    assert (found.dtype, found.shape) == (np.float32, (70, 64))
    for image, histogram in zip(some.inputs["image"], found):
        expected, _ = np.histogramdd(image.reshape(-1, 3), bins=[[0, 64, 128, 192, 256]] * 3)
        np.testing.assert_allclose(histogram, expected.ravel() / 63, rtol=1e-6)


def test_a_histogram_of_a_gray_image_has_64_grays():
    some = examples(2, 8, 8, 1)
    expected = [np.histogram(image, 64, (0, 256))[0] / 64 for image in some.inputs["image"]]
    np.testing.assert_allclose(pixels.colour_histograms(some, ImagePreparation((8, 8), 1)), expected)


@pytest.mark.parametrize("describe", [pixels.features, pixels.colour_histograms])
def test_no_images_give_no_rows(describe):
    assert len(describe(examples(0, 8, 8, 3), ImagePreparation((8, 8), 3))) == 0
