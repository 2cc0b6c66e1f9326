import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from kerasuite.contracts import Examples
from kerasuite.data.images import ImagePreparation, choose_size, exif_orientation
from kerasuite.errors import InputError


def smooth(height=24, width=40, channels=3):
    """A picture that JPEG hardly changes, and that no turn maps on itself."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([200 * y / height + 20, 200 * x / width + 20, 100 + 0 * x], -1).astype(np.uint8)
    return pixels if channels == 3 else pixels[..., 1]


def encoded(image, format, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **options)
    return buffer.getvalue()


def with_exif(orientation, big_endian=False, **options):
    order, endian = (b"MM\0*", "big") if big_endian else (b"II*\0", "little")
    number = lambda value, size: value.to_bytes(size, endian)  # noqa: E731
    other = number(0x010F, 2) + number(2, 2) + number(4, 4) + b"abc\0"
    entry = number(0x0112, 2) + number(3, 2) + number(1, 4) + number(orientation, 2) + b"\0\0"
    tiff = order + number(8, 4) + number(2, 2) + other + entry + number(0, 4)
    return encoded(smooth(), "JPEG", quality=95, exif=b"Exif\0\0" + tiff, **options)


def decode(data, size=(24, 40), channels=3):
    return ImagePreparation(size, channels).decode(tf.constant(data)).numpy()


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_as_pillow_turns_them(orientation, big_endian):
    data = with_exif(orientation, big_endian)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), int)
    found = decode(data).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 4


def test_orientation_is_found_behind_other_segments():
    data = with_exif(6)
    comment = b"\xff\xfe\x00\x0chas Exif\0\0"
    assert exif_orientation(tf.constant(data[:2] + comment + data[2:])) == 6
    assert exif_orientation(tf.constant(data[:2] + b"\xff\xff\xff" + comment + data[2:])) == 6


def test_exif_cut_or_spoilt_anywhere_counts_as_upright_and_never_fails():
    data = with_exif(6)
    start = data.index(b"Exif")
    orientation = tf.function(exif_orientation, input_signature=[tf.TensorSpec([], tf.string)])
    for length in range(start + 60):
        assert int(orientation(data[:length])) in (1, 6)
    for place in range(2, start + 44):
        for value in (0, 255):
            spoilt = data[:place] + bytes([value]) + data[place + 1 :]
            assert 1 <= int(orientation(spoilt)) <= 8
    assert int(orientation(with_exif(9))) == int(orientation(with_exif(0))) == 1


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "WEBP"])
def test_lossless_formats_decode_as_in_pillow(format):
    image = Image.fromarray(smooth())
    data = encoded(
        image.quantize(64) if format == "GIF" else image, format, **({"lossless": True} if format == "WEBP" else {})
    )
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("mode", ["P", "L", "LA", "RGBA", "1"])
def test_png_of_every_mode_decodes_as_in_pillow(mode):
    image = Image.fromarray(smooth()).convert(mode)
    np.testing.assert_array_equal(decode(encoded(image, "PNG")), np.asarray(image.convert("RGB")))


def test_16_bit_png_gives_the_high_byte():
    values = (np.arange(24 * 40).reshape(24, 40) * 60).astype(np.uint16)
    np.testing.assert_array_equal(decode(encoded(values, "PNG"), channels=1)[..., 0], values >> 8)


def test_cmyk_jpeg_has_the_colours_that_pillow_sees():
    data = encoded(Image.fromarray(smooth()).convert("CMYK"), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)
    assert np.abs(decode(data) - expected).max() <= 6
    assert (
        np.abs(
            decode(data, channels=1)[..., 0] - np.asarray(Image.fromarray(expected.astype("u1")).convert("L"), int)
        ).max()
        <= 6
    )


def test_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (40, 24), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data)[5, 5].tolist() == [255, 0, 0]


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_gray_pictures_are_the_same_in_one_channel_and_in_three(format):
    data = encoded(smooth(channels=1), format)
    one, three = decode(data, channels=1), decode(data)
    np.testing.assert_array_equal(three, np.repeat(one, 3, -1))
    if format == "PNG":
        np.testing.assert_array_equal(one[..., 0], smooth(channels=1))


def test_luma_is_exact_for_every_gray_and_near_pillow_for_colours():
    prepare = ImagePreparation((16, 16), 1)
    grays = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, -1)
    np.testing.assert_array_equal(prepare.encode({"image": grays}).numpy(), grays[..., :1])
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    expected = np.asarray(Image.fromarray(colours).convert("L"), int)
    assert np.abs(prepare.encode({"image": colours}).numpy()[..., 0] - expected).max() <= 1


@pytest.mark.parametrize(("height", "width", "ratio"), [(400, 640, 8), (200, 320, 4), (99, 161, 2), (94, 161, 1)])
def test_large_photos_are_decoded_smaller_but_never_under_the_target(height, width, ratio):
    pixels = decode(encoded(smooth(height, width), "JPEG"), size=(48, 80) if ratio < 4 else (50, 80))
    assert pixels.shape == (-(-height // ratio), -(-width // ratio), 3)


def test_a_turned_photo_is_decoded_for_the_turned_target():
    prepare = ImagePreparation((40, 12), 3)
    assert prepare.decode(tf.constant(with_exif(6))).shape == (40, 24, 3)
    assert prepare.encode({"bytes": tf.constant(with_exif(6))}).shape == (40, 12, 3)


@pytest.mark.parametrize("size", [(16, 30), (5, 7), (60, 90)])
def test_resizing_agrees_with_pillow(size):
    source = smooth(120, 160)
    found = ImagePreparation(size, 3).encode({"image": source}).numpy().astype(int)
    expected = np.asarray(Image.fromarray(source).resize(size[::-1], Image.Resampling.BILINEAR), int)
    assert np.abs(found - expected).max() <= 3


def test_white_and_black_stay_so_when_resized():
    for value in (0, 255):
        for size in ((3, 5), (31, 17), (200, 90)):
            pixels = np.full((64, 48, 3), value, np.uint8)
            assert np.all(ImagePreparation(size, 3).encode({"image": pixels}) == value)


def test_pictures_of_the_right_size_pass_bit_for_bit():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
    prepare = ImagePreparation((8, 8), 1)
    served = prepare.serve_batch(tf.constant([encoded(image[..., 0], "PNG") for image in pixels]))
    np.testing.assert_array_equal(served, prepare.collate(tf.constant(pixels)))
    np.testing.assert_array_equal(prepare.encode({"image": pixels[0]}), pixels[0])
    assert prepare.is_encoded(Examples({"image": pixels}))
    assert not ImagePreparation((8, 8), 3).is_encoded(Examples({"image": pixels}))
    assert not prepare.is_encoded(Examples({"path": np.array(["a", "b"])}))


def test_paths_bytes_and_arrays_give_the_same_row_in_a_dataset(tmp_path):
    data = encoded(smooth(), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    prepare = ImagePreparation((10, 10), 1)
    columns = {"path": [str(tmp_path / "a.png")], "bytes": [data], "image": smooth()[None]}
    rows = [
        next(tf.data.Dataset.from_tensor_slices({name: column}).map(prepare.encode).as_numpy_iterator())
        for name, column in columns.items()
    ]
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])


def test_an_empty_batch_is_served_by_a_saved_model(tmp_path):
    class Served(tf.Module):
        def __init__(self):
            super().__init__()
            self.prepare = ImagePreparation((24, 40), 3)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def serve(self, data):
            return self.prepare.serve_batch(data)

    tf.saved_model.save(Served(), str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    assert loaded.serve(tf.constant([], tf.string)).shape == (0, 24, 40, 3)
    assert loaded.serve(tf.constant([with_exif(1), encoded(smooth(), "PNG")])).shape == (2, 24, 40, 3)


def of_sizes(heights, gray):
    facts = {"height": np.array(heights), "width": np.full(len(heights), 20), "is_gray": np.array(gray)}
    return Examples({"path": np.array(["p"] * len(heights))}, facts=facts)


def test_size_is_the_shared_one_if_it_is_small_and_64_otherwise():
    assert choose_size(of_sizes([30, 30], [True, True]))[:2] == ((30, 20), 1)
    mixed = choose_size(of_sizes([30, 31], [True, False]))
    assert mixed[:2] == ((64, 64), 3)
    assert "2 different sizes" in mixed.note
    assert choose_size(Examples({"image": np.zeros((1, 225, 10, 3), np.uint8)})).image_size == (64, 64)


def test_a_wanted_size_is_taken_and_said():
    chosen = choose_size(of_sizes([30, 30], [True, True]), (40, 50))
    assert (chosen.image_size, chosen.channels) == ((40, 50), 1)
    assert "--image-size" in chosen.note
    assert choose_size(Examples({"image": np.zeros((1, 256, 256, 3), np.uint8)}), (256, 256)).image_size == (256, 256)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8, 1)), np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 4), np.uint8)]
)
def test_images_of_another_type_or_shape_are_refused(images):
    with pytest.raises(InputError, match="expected uint8"):
        choose_size(Examples({"image": images}))
