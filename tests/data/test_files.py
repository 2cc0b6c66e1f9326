import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from kerasuite.data.files import MAXIMAL_PIXELS, check, oddity_notes, read
from kerasuite.data.near import perceptual_hash

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def encoded(image, format, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **options)
    return buffer.getvalue()


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_that_claims(width, height):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0" * 100)) + png_chunk(b"IEND", b"")


def turned(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PIXELS, format, exif=exif.tobytes())


def checked(tmp_path, data, name="a.jpg"):
    (tmp_path / name).write_bytes(data)
    return check([tmp_path / name])[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"It was a bright cold day in April.", "not an image"),
        (encoded(PIXELS, "JPEG")[:700], "truncated"),
        (encoded(PIXELS, "PNG")[:-800], "truncated"),
        (encoded(PIXELS, "PNG")[:20], "header"),
        (png_that_claims(20_000, 20_000), "400,000,000 pixels"),
        (png_that_claims(10_001, 10_000), "100,010,000 pixels"),
        (turned("PNG", 6), "orientation 6"),
        (turned("WEBP", 3), "orientation 3"),
        (encoded(PIXELS, "TIFF"), "TIFF files are not read"),
    ],
)
def test_each_unusable_file_has_its_reason(tmp_path, data, reason):
    picture = checked(tmp_path, data)
    assert reason in picture.reason
    assert "\n" not in picture.reason


def test_missing_files_and_folders_have_a_reason(tmp_path):
    missing, folder = check([tmp_path / "none.png", tmp_path])
    assert "No such file" in missing.reason
    assert "directory" in folder.reason


def test_a_png_turned_behind_its_pixels_is_found(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    plain = encoded(PIXELS, "PNG")
    late = plain[:-12] + png_chunk(b"eXIf", exif.tobytes()[6:]) + plain[-12:]
    assert "orientation 8" in checked(tmp_path, late).reason


def test_a_turned_photo_has_its_upright_size(tmp_path):
    picture = checked(tmp_path, turned("JPEG", 6))
    assert (picture.height, picture.width, picture.orientation, picture.reason) == (30, 20, 6, "")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_sound_files_of_each_format_pass_whatever_they_are_called(tmp_path, format):
    picture = checked(tmp_path, encoded(PIXELS, format), "wrong.jpg")
    assert (picture.height, picture.width, picture.is_gray, picture.reason) == (20, 30, False, "")


def test_a_bmp_with_a_palette_of_colours_is_named_and_one_of_grays_is_read(tmp_path):
    palette = encoded(Image.fromarray(PIXELS).convert("P", palette=Image.Palette.ADAPTIVE), "BMP")
    assert "a BMP with a palette of colours" in checked(tmp_path, palette).reason
    gray = checked(tmp_path, encoded(Image.fromarray(PIXELS).convert("L"), "BMP"))
    assert (gray.reason, gray.is_gray) == ("", True)


def test_oddities_are_counted_in_a_sentence(tmp_path):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    pictures = [
        checked(tmp_path, encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])),
        checked(tmp_path, encoded(Image.fromarray(PIXELS).convert("CMYK"), "JPEG")),
        checked(tmp_path, encoded((np.arange(81).reshape(9, 9) * 800).astype(np.uint16), "PNG")),
        checked(tmp_path, encoded(Image.fromarray(PIXELS).convert("RGBA"), "PNG")),
        checked(tmp_path, encoded(PIXELS, "PNG")),
    ]
    assert [picture.oddities for picture in pictures] == [("animated",), ("CMYK",), ("16-bit",), ("alpha",), ()]
    assert [note[:16] for note in oddity_notes(pictures)] == [
        "1 file(s) are an",
        "1 file(s) are CM",
        "1 file(s) are 16",
        "1 file(s) are wi",
    ]


def test_gray_is_seen_in_the_pixels(tmp_path):
    gray = np.repeat(PIXELS[..., :1], 3, -1)
    assert checked(tmp_path, encoded(gray, "PNG")).is_gray
    gray[0, 0, 0] ^= 1
    assert not checked(tmp_path, encoded(gray, "PNG")).is_gray


def test_the_same_picture_saved_twice_has_one_digest(tmp_path):
    saved = [encoded(PIXELS, "PNG", compress_level=0), encoded(PIXELS, "PNG", compress_level=9), encoded(PIXELS, "BMP")]
    digests = {checked(tmp_path, data).digest for data in saved}
    other = checked(tmp_path, encoded(PIXELS[:, ::-1], "PNG")).digest
    assert len(digests) == 1
    assert other not in digests


def test_results_keep_the_order_and_progress_is_told(tmp_path):
    paths = []
    for height in range(1, 9):
        paths.append(tmp_path / f"{height}.png")
        paths[-1].write_bytes(encoded(np.zeros((height, 4, 3), np.uint8), "PNG"))
    told = []
    pictures = check(paths, lambda done, total: told.append((done, total)))
    assert [picture.height for picture in pictures] == [*range(1, 9)]
    assert told == [(done, 8) for done in range(1, 9)]
    assert MAXIMAL_PIXELS == 100_000_000


def test_a_gray_file_has_the_digest_of_the_gray_array_that_it_holds(tmp_path):
    from kerasuite.data.duplicates import digest

    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    Image.fromarray(pixels).save(tmp_path / "gray.png")
    assert check([tmp_path / "gray.png"])[0].digest == digest(pixels[..., None])


def test_a_photo_turned_by_metadata_that_the_graph_does_not_read_is_named(tmp_path):
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    Image.new("RGB", (8, 4)).save(tmp_path / "xmp.jpg", xmp=xmp)
    assert "orientation 6" in check([tmp_path / "xmp.jpg"])[0].reason


def test_a_photo_has_the_perceptual_hash_of_its_upright_pixels(tmp_path):
    photo = load_sample_image("china.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    turned_photo = checked(tmp_path, encoded(photo, "JPEG", exif=exif.tobytes(), quality=95)).perceptual_hash
    upright = perceptual_hash(np.rot90(photo, -1))
    assert np.bitwise_count(turned_photo[0] ^ upright[0]).sum() < 10
    assert np.bitwise_count(turned_photo[0] ^ perceptual_hash(photo)[0]).sum() > 80
    assert checked(tmp_path, b"").perceptual_hash is None


def test_files_are_read_once_and_what_cannot_be_used_has_its_reason(tmp_path, monkeypatch):
    sound, broken, missing = (str(tmp_path / name) for name in ("a.png", "b.png", "c.png"))
    (tmp_path / "a.png").write_bytes(encoded(PIXELS, "PNG"))
    (tmp_path / "b.png").write_bytes(b"no picture")
    opened, plainly = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(str(path)) or plainly(path))
    usable, skipped = read([sound, broken, missing])
    assert usable == {sound: encoded(PIXELS, "PNG")}
    assert [(id, reason[:12]) for id, reason in skipped] == [(broken, "not an image"), (missing, "cannot be re")]
    assert sorted(opened) == [sound, broken, missing]
