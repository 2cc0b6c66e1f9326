import errno
import hashlib
import io
import socket
import tarfile

import keras
import numpy as np
import pytest
from PIL import Image

from kerasuite import downloads
from kerasuite.data import named
from kerasuite.data.sources import image_splits
from kerasuite.errors import EnvironmentFault, InputError

X, Y = np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8), np.array([0, 1, 0, 1, 0, 1])


@pytest.fixture(autouse=True)
def datasets(monkeypatch, tmp_path):
    """An empty place of Keras's for data sets."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


def refused(data, *words):
    with pytest.raises(InputError) as error:
        image_splits(data)
    for word in words:
        assert word in str(error.value)


def test_digits_are_scaled_to_255():
    source = image_splits("digits")
    assert source.train.inputs["image"].shape == (1797, 8, 8, 1)
    assert source.train.inputs["image"].max() == 255
    assert source.train.ids[3] == "digits[3]"
    assert source.train.class_names == tuple("0123456789")
    assert (source.validation, source.test) == (None, None)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_failed_download_says_what_to_pass_instead(name, monkeypatch, datasets):
    def fail():
        raise Exception("URL fetch failure on somewhere")

    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", fail)
    refused(name, "URL fetch failure", "https://", str(datasets), "--data digits", "x_train")


def test_a_downloaded_set_gets_its_class_names(monkeypatch):
    x, y = np.zeros((20, 32, 32, 3), np.uint8), np.arange(20)[:, None] % 10
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: ((x, y), (x[:10], y[:10])))
    source = image_splits("cifar10")
    assert source.test.class_names[:2] == ("airplane", "automobile")
    assert source.train.labels.tolist() == [*range(10)] * 2


def test_mnist_put_in_place_by_hand_is_read_without_a_download(datasets):
    np.savez(datasets / "mnist.npz", x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2])
    assert len(image_splits("mnist").test) == 2


def test_fashion_mnist_put_in_place_by_hand_has_the_names_of_clothes(datasets):
    (datasets / "fashion-mnist").mkdir()
    for part in ("train", "t10k"):
        for what, array in (("images-idx3", X), ("labels-idx1", Y.astype(np.uint8))):
            head = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            (datasets / "fashion-mnist" / f"{part}-{what}-ubyte").write_bytes(head + array.tobytes())
    assert image_splits("fashion_mnist").train.class_names == ("T-shirt/top", "Trouser")


# Photos


FLOWERS = [f"flower_photos/{name}/{row}.jpg" for name in ("daisy", "roses") for row in range(4)]


def flower_photos(folder):
    """Files as they lie in flower_photos.tgz, fewer."""
    rng = np.random.default_rng(0)
    for name in FLOWERS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8)).save(folder / name)
    (folder / "flower_photos" / "LICENSE.txt").write_text("All photos are licensed under CC-BY.")
    return folder


@pytest.fixture
def archive(monkeypatch, tmp_path):
    """A flower_photos.tgz to fetch in place of the real one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as file:
        file.add(flower_photos(tmp_path / "made") / "flower_photos", "flower_photos")
    path = tmp_path / "elsewhere.tgz"
    path.write_bytes(packed.getvalue())
    monkeypatch.setitem(named._DOWNLOADS, "flowers", ("flower_photos", path.as_uri()))
    known = {"checksum": hashlib.sha256(packed.getvalue()).hexdigest(), "number": len(FLOWERS)}
    monkeypatch.setitem(named._ARCHIVES, "flowers", named._ARCHIVES["flowers"]._replace(**known))
    return path


def test_flowers_are_fetched_once_and_read_as_class_folders(archive, datasets):
    told = []
    source = image_splits("flowers", lambda done, total: told.append((done, total)))
    assert source.train.class_names == ("daisy", "roses")
    assert source.train.ids.tolist() == [name.removeprefix("flower_photos/") for name in FLOWERS]
    assert (source.skipped, told[-1]) == ((), (8, 8))
    archive.unlink()
    (datasets / "flower_photos_archive").write_bytes(b"not looked at again")
    assert len(image_splits("flowers").train) == 8


def test_flowers_whose_unpacking_was_cut_short_are_unpacked_again(archive, datasets):
    image_splits("flowers")
    archive.unlink()
    (datasets / "flower_photos" / FLOWERS[3]).unlink()
    assert len(image_splits("flowers").train) == 8


def test_an_archive_of_flowers_with_other_content_is_refused(archive, monkeypatch):
    other = named._ARCHIVES["flowers"]._replace(checksum="0" * 64)
    monkeypatch.setitem(named._ARCHIVES, "flowers", other)
    refused("flowers", "file hash does not match", "--data trashnet_sample")


@pytest.mark.parametrize("below", ["", "flower_photos"])
def test_flowers_put_in_place_by_hand_are_read_as_they_are(datasets, below):
    flower_photos(datasets / below)
    assert len(image_splits("flowers").train) == 8


def test_flowers_that_cannot_be_had_say_what_to_pass_instead(archive, datasets):
    archive.unlink()
    refused("flowers", str(datasets / "flower_photos"), archive.as_uri(), "Put it there by hand", "trashnet_sample")


def test_a_download_that_falls_silent_ends(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/flower_photos.tgz"
        monkeypatch.setitem(named._DOWNLOADS, "flowers", ("flower_photos", url))
        monkeypatch.setattr(downloads, "_SILENCE_SECONDS", 0.2)
        refused("flowers", "timed out", url)
    assert socket.getdefaulttimeout() is None


def test_the_sample_of_trashnet_has_the_classes_of_the_whole():
    source = image_splits("trashnet_sample")
    assert source.train.class_names == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert (len(source.train), source.skipped) == (480, ())
    assert source.train.ids[0].startswith("cardboard/")


def test_a_sample_that_was_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(named.resources, "files", lambda package: tmp_path)
    refused("trashnet_sample", str(tmp_path), "Install it anew")


def test_a_full_disk_during_a_download_is_the_machine_s_fault(archive, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("keras.utils.get_file", full)
    with pytest.raises(EnvironmentFault, match="flowers finds no room on the disk of .*flower_photos"):
        image_splits("flowers")
