import errno
import gzip
import os
import sys

import numpy as np
import pytest
from PIL import Image

from kerasuite.data import folders
from kerasuite.data.files import check
from kerasuite.data.sources import image_splits, labelled_images
from kerasuite.errors import InputError

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (6, 4, 5), np.uint8), np.array([0, 1, 0, 1, 0, 1])


def npz(tmp_path, name="data.npz", **changed):
    arrays = {"x_train": X, "y_train": Y, "x_test": X[:2], "y_test": Y[:2]} | changed
    np.savez(tmp_path / name, **{key: value for key, value in arrays.items() if value is not None})
    return tmp_path / name


def save(path, seed=None, size=(6, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(str(path).encode(), "big") if seed is None else seed
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path)
    return path


def class_folders(folder, classes=("cat", "dog"), number=4):
    for name in classes:
        for row in range(number):
            save(folder / name / f"{row}.png")
    return folder


def refused(data, *words):
    with pytest.raises(InputError) as error:
        image_splits(data)
    for word in words:
        assert word in str(error.value)


# What it takes


def test_what_data_takes_is_listed_where_it_names_nothing():
    refused("minst", "minst", "mnist, fashion_mnist, cifar10, digits, flowers, trashnet_sample", ".npz", "IDX")


# .npz files


def test_npz_arrays_become_examples(tmp_path):
    source = image_splits(npz(tmp_path, y_train=Y[:, None], x_val=X, y_val=Y))
    assert source.train.inputs["image"].shape == (6, 4, 5, 1)
    assert source.train.ids[4] == "x_train[4]"
    assert source.test.labels.tolist() == [0, 1]
    assert len(source.validation) == 6
    assert (source.train.class_names, source.notes) == (("0", "1"), ())


@pytest.mark.parametrize("labels", [np.array(["b", "a"] * 3), np.array([b"b", b"a"] * 3)])
def test_string_labels_are_class_names(tmp_path, labels):
    source = image_splits(npz(tmp_path, y_train=labels, y_test=labels[:2]))
    assert source.train.class_names == ("a", "b")
    assert source.train.labels.tolist() == [1, 0] * 3


def test_numbers_with_gaps_are_packed_and_keep_their_names(tmp_path):
    source = image_splits(npz(tmp_path, y_train=np.array([3, 7] * 3), y_test=np.array([7, 7])))
    assert source.train.class_names == ("3", "7")
    assert source.test.labels.tolist() == [1, 1]


def test_class_names_of_the_file_are_kept(tmp_path):
    source = image_splits(npz(tmp_path, class_names=np.array(["cat", "dog"])))
    assert source.train.class_names == ("cat", "dog")
    assert source.train.labels.tolist() == Y.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint16])
def test_whole_pixels_are_taken_as_they_are(tmp_path, dtype):
    source = image_splits(npz(tmp_path, x_train=X.astype(dtype)))
    np.testing.assert_array_equal(source.train.inputs["image"][..., 0], X)
    assert source.train.inputs["image"].dtype == np.uint8


def test_pixels_of_0_to_1_are_brought_to_255_and_a_coarse_rounding_is_noted(tmp_path):
    exact = image_splits(npz(tmp_path, x_train=(X / 255).astype("f"), x_test=(X[:2] / 255).astype("f")))
    np.testing.assert_array_equal(exact.train.inputs["image"][..., 0], X)
    assert exact.notes == ()
    coarse = image_splits(npz(tmp_path, x_train=np.full(X.shape, 0.5 / 255), x_test=X[:2] / 255))
    assert "0.0020" in coarse.notes[0]


def test_whole_numbers_of_0_and_1_are_noted_and_booleans_are_black_and_white(tmp_path):
    source = image_splits(npz(tmp_path, x_train=X % 2, x_test=X[:2] % 2))
    assert source.train.inputs["image"].max() == 1
    assert "nearly black" in source.notes[0]
    source = image_splits(npz(tmp_path, x_train=X > 99, x_test=X[:2] > 99))
    assert np.unique(source.train.inputs["image"]).tolist() == [0, 255]


ROW_2_NAN = np.where(np.arange(6)[:, None, None] == 2, np.nan, X / 255)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x_train": None, "y_train": None}, ["test", "none for training"]),
        ({"y_train": None}, ["x_train without", "x_train, x_test, y_test"]),
        ({"x_train": None, "y_train": None, "x_test": None, "y_test": None, "images": X}, ["it has images"]),
        ({"y_train": Y[:5]}, ["(6, 4, 5)", "(5,)"]),
        ({"x_train": X[0, 0]}, ["(5,)"]),
        ({"x_train": X[:, 0]}, ["(6, 5)", "(n, height, width"]),
        ({"x_train": np.zeros((6, 3, 4, 5))}, ["np.moveaxis"]),
        ({"x_train": np.zeros((6, 4, 5, 4))}, ["x[..., :3]"]),
        ({"x_train": np.zeros((6, 8, 8))}, ["(8, 8, 1)", "(4, 5, 1)"]),
        ({"x_train": X[:0], "y_train": Y[:0]}, ["(0, 4, 5"]),
        ({"x_train": ROW_2_NAN}, ["1 row(s)", "row 2"]),
        ({"x_train": np.where(ROW_2_NAN != ROW_2_NAN, np.inf, 0.5)}, ["1 row(s)", "row 2"]),
        ({"x_train": X.astype(float) - 100.5}, ["-100.5", "fractions"]),
        ({"x_train": X.astype(int) - 300}, ["-300", "0 to 255"]),
        ({"x_train": X.astype(np.uint16) * 257}, ["expected 0 to 255", "For 16-bit pixels: np.round(x / 65535 * 255)"]),
        ({"x_train": X.astype(np.uint16) * 16}, ["expected 0 to 255", "For 12-bit pixels: np.round(x / 4095 * 255)"]),
        ({"x_train": X * 0.99}, ["fractions", "Round them: np.round(x)"]),
        ({"x_train": X.astype(str)}, ["pixels are numbers"]),
        ({"y_train": np.eye(2)[Y]}, ["(6, 2)", "argmax"]),
        ({"y_train": Y[:, None, None]}, ["(6, 1, 1)"]),
        ({"y_train": Y + 0.5}, ["float64", "astype(int)"]),
        ({"y_train": Y - 1}, ["3 label(s) are negative", "-1 in row 0"]),
        ({"y_train": Y.astype(str)}, ["strings in one part"]),
        ({"y_test": np.array([0, 5])}, ["5", "x_test[1]"]),
        ({"y_train": Y * 0, "y_test": Y[:2] * 0}, ["one class only"]),
        ({"class_names": np.array(["cat"])}, ["label(s) 1"]),
        ({"class_names": np.array(["cat", "cat"])}, ["twice", "cat"]),
        ({"y_train": np.array([0, 1, 1, 1, 1, 1])}, ["'0' has 1 row(s)", "x_train[0]", "validation"]),
    ],
)
def test_unusable_arrays_are_refused_with_the_mend(tmp_path, changed, words):
    refused(npz(tmp_path, **changed), *words)


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    refused(npz(tmp_path, y_train=np.array([0, "a", None, 1, 1, 1], object)), "Python objects")


def test_files_that_are_no_npz_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("image,label\n")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(npz(tmp_path).read_bytes()[:300])
    np.save(tmp_path / "one.npy", X)
    for name in ("text.npz", "empty.npz", "cut.npz", "one.npy"):
        refused(tmp_path / name, name)


def test_a_damaged_npz_is_refused(tmp_path):
    path = npz(tmp_path)
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(data)
    refused(path, "damaged")


# IDX files


LABEL_BYTES = Y.astype(np.uint8)


def idx_folder(folder, dot="-", pack=gzip.compress, x=X, y=LABEL_BYTES):
    for part in ("train", "t10k"):
        for what, array in (("images", x), ("labels", y)):
            head = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            name = f"{part}-{what}{dot}idx{array.ndim}-ubyte" + (".gz" if pack is gzip.compress else "")
            (folder / name).write_bytes(pack(head + array.tobytes()))
    return folder


@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_idx_files_are_read_packed_or_not(tmp_path, dot, pack):
    source = image_splits(idx_folder(tmp_path, dot, pack))
    np.testing.assert_array_equal(source.test.inputs["image"][..., 0], X)
    assert source.train.labels.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda data: data[:-10], "cannot be unpacked"),
        (lambda data: b"text", "cannot be unpacked"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-1]), "promises 120 values and has 119"),
        (lambda data: gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(data)[4:]), "begins 00000d03"),
        (lambda data: gzip.compress(b""), "begins nowhere"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, spoil, word):
    path = idx_folder(tmp_path) / "train-images-idx3-ubyte.gz"
    path.write_bytes(spoil(path.read_bytes()))
    refused(tmp_path, "train-images-idx3-ubyte.gz", word)


def test_images_without_labels_are_refused(tmp_path):
    (idx_folder(tmp_path) / "train-labels-idx1-ubyte.gz").unlink()
    refused(tmp_path, "train-images", "without the train labels")


# Folders of classes


def test_class_folders_become_examples_of_paths(tmp_path):
    source = image_splits(class_folders(tmp_path))
    assert source.train.class_names == ("cat", "dog")
    assert source.train.ids.tolist()[3:5] == ["cat/3.png", "dog/0.png"]
    assert source.train.inputs["path"][0] == str(tmp_path / "cat" / "0.png")
    assert source.train.labels.tolist() == [0] * 4 + [1] * 4
    assert (source.test, source.skipped) == (None, ())
    assert {
        name: column[3] for name, column in source.train.facts.items() if name in ("height", "width", "is_gray")
    } == {
        "height": 6,
        "width": 5,
        "is_gray": False,
    }
    pictures = check(source.train.inputs["path"])
    assert source.train.facts["digest"].tolist() == [picture.digest for picture in pictures]
    assert source.train.facts["perceptual_hash"].tolist() == [picture.perceptual_hash.tolist() for picture in pictures]


@pytest.mark.parametrize("validation", ["validation", "val", "valid", "Val"])
def test_given_parts_are_kept(tmp_path, validation):
    for part in ("train", validation, "test"):
        class_folders(tmp_path / part, number=1)
    source = image_splits(tmp_path)
    assert [part.ids.tolist() for part in source.parts.values()] == [
        [f"{part}/cat/0.png", f"{part}/dog/0.png"] for part in ("train", validation, "test")
    ]


def test_parts_go_by_the_names_that_people_give_them(tmp_path):
    for part in ("Training", "dev", "Testing"):
        class_folders(tmp_path / part, number=1)
    assert [len(part) for part in image_splits(tmp_path).parts.values()] == [2, 2, 2]


def test_classes_may_be_called_train_and_test(tmp_path):
    assert image_splits(class_folders(tmp_path, ("train", "test"))).train.class_names == ("test", "train")


def test_hidden_files_are_passed_over_and_others_are_named(tmp_path):
    class_folders(tmp_path)
    save(tmp_path / "cat" / "deeper" / "5.PNG")
    for name in (".DS_Store", "cat/._0.png", ".git/x.png", "__MACOSX/cat/0.png", "cat/Thumbs.db", "dog/a.txt", "b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "dog" / "scan.TIFF").write_text("x")
    (tmp_path / "dog" / "text.jpg").write_text("no picture")
    (tmp_path / "dog" / "link.png").symlink_to(tmp_path / "nowhere.png")
    source = image_splits(tmp_path)
    assert len(source.train) == 9
    assert "cat/deeper/5.PNG" in source.train.ids
    assert {id: reason[:14] for id, reason in source.skipped} == {
        "b.jpg": "lies outside t",
        "cat/Thumbs.db": "not named as i",
        "dog/a.txt": "not named as i",
        "dog/scan.TIFF": ".tiff files ar",
        "dog/text.jpg": "not an image, ",
        "dog/link.png": "cannot be read",
    }


def test_a_link_to_a_folder_above_ends(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "cat" / "up").symlink_to(tmp_path / "cat")
    assert len(image_splits(tmp_path).train) == 8


def test_a_folder_that_cannot_be_read_is_refused_by_name(tmp_path, monkeypatch):
    class_folders(tmp_path)
    locked = save(tmp_path / "cat" / "locked" / "1.png").parent
    scandir = os.scandir

    def scanned(path):
        if os.fspath(path) == str(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scanned)
    with pytest.raises(InputError, match=f"The folder {locked} cannot be read: Permission denied"):
        image_splits(tmp_path)


def test_files_that_are_not_read_are_why_a_folder_or_a_class_has_no_images(tmp_path):
    class_folders(tmp_path / "one")
    for name in ("one/eel", "all/cat", "all/dog"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.tif").write_bytes(b"II*")
    why = ".tif files are not read; save it as PNG or JPEG"
    refused(tmp_path / "one", "no images of the class(es) eel", f"The first that is there is eel/a.tif: {why}")
    refused(tmp_path / "all", "(2 other file(s))", f"The first that is there is cat/a.tif: {why}")
    with pytest.raises(InputError, match=f"has no image files in it .*cat/a.tif: {why}"):
        folders.find([str(tmp_path / "all")])


def test_a_folder_beside_the_parts_is_named(tmp_path):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "extra")
    assert [skipped.id for skipped in image_splits(tmp_path).skipped] == ["extra/"]


def test_folders_without_what_training_needs_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no folders in it", "--data takes")
    (tmp_path / "hollow" / "cat").mkdir(parents=True)
    refused(tmp_path / "hollow", "no images in class folders")
    refused(class_folders(tmp_path / "single", ("cat",)), "one class only (cat)")
    class_folders(tmp_path / "gap")
    (tmp_path / "gap" / "bird").mkdir()
    refused(tmp_path / "gap", "class(es) bird")
    save(class_folders(tmp_path / "one") / "eel" / "0.png")
    refused(tmp_path / "one", "'eel' has 1 row(s): eel/0.png.", "validation and test")
    save(tmp_path / "one" / "gnu" / "0.png")
    refused(tmp_path / "one", "'eel' has 1 row(s): eel/0.png; too few as well: 'gnu' (1).")
    (tmp_path / "one" / "gnu" / "0.png").unlink()
    (tmp_path / "one" / "gnu").rmdir()
    save(tmp_path / "one" / "eel" / "1.png")
    refused(tmp_path / "one", "'eel' has 2 row(s): eel/0.png, eel/1.png. Train, validation and test need one each.")
    class_folders(tmp_path / "tested" / "test")
    refused(tmp_path / "tested", "a part test, and none for training")
    class_folders(tmp_path / "untrained" / "test")
    (tmp_path / "untrained" / "train").mkdir()
    refused(tmp_path / "untrained", "train has no images")
    class_folders(tmp_path / "two" / "val")
    class_folders(tmp_path / "two" / "valid")
    refused(tmp_path / "two", "two folders for validation")


def test_a_class_that_train_has_not_is_named(tmp_path):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "test", ("cat", "emu"))
    refused(tmp_path, "test part", "emu", "test/emu/0.png")


def test_a_class_that_loses_all_its_files_is_named(tmp_path):
    class_folders(tmp_path)
    for row in range(4):
        (tmp_path / "cat" / f"{row}.png").write_bytes(b"")
    refused(tmp_path, "None of the 4 file(s) of class 'cat'", "cat/0.png", "0 bytes")


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_one_file_in_two_parts_is_refused(tmp_path, link):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "test")
    link(tmp_path / "train" / "cat" / "2.png", tmp_path / "test" / "cat" / "9.png")
    refused(tmp_path, "train/cat/2.png", "test/cat/9.png", "one file")


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_one_file_twice_in_a_class_counts_once_and_in_two_classes_is_refused(tmp_path, link):
    class_folders(tmp_path)
    link(tmp_path / "cat" / "2.png", tmp_path / "cat" / "9.png")
    source = image_splits(tmp_path)
    assert len(source.train) == 8
    assert source.skipped == (("cat/9.png", "the same file as cat/2.png"),)
    link(tmp_path / "cat" / "2.png", tmp_path / "dog" / "9.png")
    refused(tmp_path, "cat/2.png", "dog/9.png", "two classes")


def test_progress_is_told_for_every_file(tmp_path):
    told = []
    image_splits(class_folders(tmp_path), lambda done, total: told.append((done, total)))
    assert told[-1] == (8, 8)


# Evaluating on other data


def test_labels_follow_the_class_names_that_are_given(tmp_path):
    class_folders(tmp_path)
    examples, skipped, _ = labelled_images(tmp_path, ("dog", "bird", "cat"))
    assert examples.labels.tolist() == [2] * 4 + [0] * 4
    assert examples.class_names == ("dog", "bird", "cat")
    assert skipped == ()


def test_the_test_part_is_preferred_and_said_so(tmp_path):
    class_folders(tmp_path / "train")
    save(tmp_path / "test" / "dog" / "0.png")
    examples, _, notes = labelled_images(tmp_path, ("cat", "dog"))
    assert (examples.ids.tolist(), examples.labels.tolist()) == (["test/dog/0.png"], [1])
    assert "test part" in notes[0]
    assert len(labelled_images(npz(tmp_path), ("0", "1"))[0]) == 2


def test_all_rows_are_taken_without_a_test_part(tmp_path):
    path = npz(tmp_path, x_test=None, y_test=None, x_val=X, y_val=Y)
    examples, _, _ = labelled_images(path, ("0", "1"))
    assert (len(examples), examples.ids[6]) == (12, "x_validation[0]")


def test_numbers_are_positions_where_the_model_has_names(tmp_path):
    examples, _, notes = labelled_images(npz(tmp_path, y_test=np.array([2, 1])), ("cat", "dog", "emu"))
    assert examples.labels.tolist() == [2, 1]
    assert "positions" in notes[-1]


@pytest.mark.parametrize("names", [("3", "5", "8"), ("cat", "5", "emu"), ("1.0", "2.0", "3.0")])
def test_numbers_are_no_positions_where_a_class_of_the_model_is_a_number(tmp_path, names):
    with pytest.raises(InputError, match=rf"the class\(es\) 1, 2; the model knows {', '.join(names)}"):
        labelled_images(npz(tmp_path, y_test=np.array([2, 1])), names)


def test_classes_that_the_model_does_not_know_are_named(tmp_path):
    with pytest.raises(InputError, match="dog; the model knows cat, cow"):
        labelled_images(class_folders(tmp_path), ("cat", "cow"))


def test_names_and_labels_stored_as_bytes_are_the_strings_that_they_spell(tmp_path):
    pixels, labels = np.zeros((6, 4, 4), np.uint8), np.array([b"cat", b"dog"] * 3)
    np.savez(tmp_path / "a.npz", x_train=pixels, y_train=labels, class_names=np.array([b"cat", b"dog"]))
    assert image_splits(tmp_path / "a.npz").train.class_names == ("cat", "dog")


def test_labels_of_bytes_that_are_no_text_are_refused(tmp_path):
    pixels, labels = np.zeros((6, 4, 4), np.uint8), np.array([b"\xff", b"dog"] * 3)
    np.savez(tmp_path / "a.npz", x_train=pixels, y_train=labels)
    refused(tmp_path / "a.npz", "y_train", "not UTF-8")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS takes no such names")
def test_a_file_whose_name_is_not_utf_8_is_skipped_and_named(tmp_path):
    photo = save(class_folders(tmp_path) / "cat" / "plain.png")
    os.rename(photo, os.fsencode(tmp_path / "cat") + b"/caf\xe9.png")
    source = image_splits(tmp_path)
    assert source.skipped == ((r"cat/caf\udce9.png", "its path is not UTF-8: rename it"),)
    assert len(source.train) == 8
