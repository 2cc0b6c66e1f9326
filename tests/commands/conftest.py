"""The command line in this process, a small folder of images, and a finished run on it."""

import numpy as np
import pytest
from PIL import Image

from kerasuite import cli

QUICK = ["--precision", "float32", "--model", "mlp", "--epochs", "2"]


@pytest.fixture(scope="session")
def call():
    """The exit status of a command line, in this process."""

    def call(*words):
        try:
            return cli.main([str(word) for word in words])
        except SystemExit as end:
            return end.code

    return call


@pytest.fixture(scope="session")
def quick():
    """Flags of a run of two seconds."""
    return QUICK


@pytest.fixture(scope="session")
def striped():
    """Images whose class is the row that is lit, gray uint8 (n, size, size), and their labels."""

    def striped(n, *, size=12, classes=3, seed=0):
        labels = np.arange(n) % classes
        images = np.random.default_rng(seed).integers(0, 60, (n, size, size), np.uint8)
        images[np.arange(n), 2 * labels + 1] += 120
        return images, labels

    return striped


@pytest.fixture(scope="session")
def write_npz(striped):
    def write_npz(path, *, n=40, n_test=20, **options):
        (x, y), (x_test, y_test) = striped(n, **options), striped(n_test, **options | {"seed": 9})
        np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
        return path

    return write_npz


@pytest.fixture(scope="session")
def write_folder(striped):
    """PNG files in a folder for each class: a/000.png, b/001.png, c/002.png, a/003.png ..."""

    def write_folder(path, *, n=24, names="abc", **options):
        for k, (image, label) in enumerate(zip(*striped(n, classes=len(names), **options))):
            folder = path / names[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{k:03}.png")
        return path

    return write_folder


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory, write_folder):
    """Train 30 and test 18; one file is cut short, and one test picture is in train too."""
    # A space in the path, as people have.
    folder = tmp_path_factory.mktemp("some data")
    write_folder(folder / "train", n=30)
    write_folder(folder / "test", n=18, seed=1)
    short = folder / "train" / "a" / "003.png"
    short.write_bytes(short.read_bytes()[:60])
    (folder / "test" / "b" / "001.png").write_bytes((folder / "train" / "b" / "004.png").read_bytes())
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory, image_folder, call, quick):
    """A finished run on the image folder; tests do not change it."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    assert call("run", "mnist_cnn", "--data", image_folder, "--output", run_dir, *quick, "--epochs", 8) == 0
    return run_dir


@pytest.fixture
def refused(call, capsys):
    """A command line that is refused with exit status 2 and one message, which is returned."""

    def refused(*words):
        assert call(*words) == 2
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return shown.err

    return refused
