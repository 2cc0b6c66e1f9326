import concurrent.futures
import csv
import os
import shutil

import numpy as np
import pytest

import kerasuite
from kerasuite.pipelines import _images
from kerasuite.serving.predictor import Predictor


@pytest.fixture
def table(call, capsys):
    """The rows of what `predict` prints, and what it says beside them."""

    def table(*words):
        assert call("predict", *words) == 0
        shown = capsys.readouterr()
        return list(csv.DictReader(shown.out.splitlines())), shown.err

    return table


def test_files_and_folders_are_predicted_in_the_order_given(finished, image_folder, table):
    first, folder = image_folder / "test" / "c" / "005.png", image_folder / "test" / "a"
    rows, said = table(finished, first, folder)
    assert [row["id"] for row in rows] == [str(first), *sorted(map(str, folder.iterdir()))]
    assert "7 predicted, 0 skipped." in said


def test_predictions_are_those_of_the_run_for_the_same_files(finished, image_folder, table):
    rows, _ = table(finished, image_folder / "test")
    known = {row["id"]: row for row in kerasuite.load(finished).predictions.iter_rows(named=True)}
    assert len(rows) == len(known) == 18
    for row in rows:
        of_run = known[row["id"].removeprefix(f"{image_folder}/")]
        assert row["prediction"] == of_run["prediction"]
        given = [float(row[f"p({name})"]) for name in "abc"]
        np.testing.assert_allclose(given, [of_run[f"p({name})"] for name in "abc"], atol=1e-6)
        assert float(row["probability"]) == max(given)


def test_the_output_file_has_the_same_table(finished, image_folder, table, call, tmp_path):
    rows, _ = table(finished, image_folder / "test")
    assert call("predict", finished, image_folder / "test", "--output", tmp_path / "out.csv") == 0
    with open(tmp_path / "out.csv") as file:
        assert list(csv.DictReader(file)) == rows


def test_an_output_that_is_a_link_is_written_where_it_leads(finished, image_folder, table, call, tmp_path):
    rows, _ = table(finished, image_folder / "test")
    (tmp_path / "link.csv").symlink_to(tmp_path / "target.csv")
    assert call("predict", finished, image_folder / "test", "--output", tmp_path / "link.csv") == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert list(csv.DictReader((tmp_path / "target.csv").read_text().splitlines())) == rows


def test_an_output_that_is_a_pipe_is_written_to_and_stays(finished, image_folder, table, call, tmp_path):
    rows, _ = table(finished, image_folder / "test")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_text)
        assert call("predict", finished, image_folder / "test", "--output", pipe) == 0
        assert list(csv.DictReader(read.result(timeout=30).splitlines())) == rows
    assert pipe.is_fifo()


def test_an_output_that_is_open_already_is_written_to(finished, image_folder, table, call):
    rows, _ = table(finished, image_folder / "test")
    reader, writer = os.pipe()
    assert call("predict", finished, image_folder / "test", "--output", f"/dev/fd/{writer}") == 0
    os.close(writer)
    with open(reader) as pipe:
        assert list(csv.DictReader(pipe)) == rows


def test_files_that_cannot_be_read_are_named_and_have_no_line(finished, image_folder, table):
    short, sound = image_folder / "train" / "a" / "003.png", image_folder / "train" / "a" / "000.png"
    rows, said = table(finished, short, sound)
    assert [row["id"] for row in rows] == [str(sound)]
    assert f"Skipped {short}: truncated or damaged" in said
    assert "1 predicted, 1 skipped." in said


def test_files_of_a_folder_that_are_not_read_are_named(finished, image_folder, table, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(image_folder / "test" / "a", photos)
    (photos / "phone.HEIC").write_bytes(b"...")
    (photos / "LICENSE").write_text("free")
    (photos / "000.png").rename(photos / "photo")
    (photos / "003.png").rename(photos / "saved.jfif")
    rows, said = table(finished, photos)
    assert len(rows) == 5
    assert f"Skipped {photos / 'phone.HEIC'}: .heic files are not read" in said
    assert f"Skipped {photos / 'photo'}: not named as images are" in said
    assert "5 predicted, 2 skipped." in said


def test_a_file_that_is_named_twice_has_two_lines(finished, image_folder, table):
    file = image_folder / "test" / "a" / "000.png"
    rows, _ = table(finished, file, file)
    assert [row["id"] for row in rows] == [str(file)] * 2


def test_nothing_that_can_be_read_is_refused(finished, image_folder, refused):
    said = refused("predict", finished, image_folder / "train" / "a" / "003.png")
    assert "None of the inputs could be read" in said


@pytest.mark.parametrize("name", ["nowhere.png", "empty"])
def test_an_input_that_is_not_there_is_named(finished, tmp_path, refused, name):
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / name) in refused("predict", finished, tmp_path / name)


@pytest.mark.parametrize("output", ["nowhere/out.csv", "."])
def test_an_output_that_is_no_file_to_write_is_refused(finished, image_folder, tmp_path, refused, output):
    assert "--output" in refused("predict", finished, image_folder / "test" / "a", "--output", tmp_path / output)


def test_only_the_exported_model_is_used(finished, image_folder, table, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / "model.keras").unlink()
    assert table(copy, image_folder / "test") == table(finished, image_folder / "test")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_large_images_are_predicted_as_few_at_a_time_as_they_are_scored(
    finished, image_folder, table, monkeypatch, precision
):
    words = (finished, image_folder / "test", "--precision", precision)
    expected, numbers, exact = table(*words), [], Predictor._exact
    monkeypatch.setattr(Predictor, "_exact", lambda *given: numbers.append(len(given[-1])) or exact(*given))
    # As if they were large.
    height, width = _images._image_size(finished)
    monkeypatch.setattr(_images, "MOST_PIXELS", 4 * height * width)
    assert table(*words) == expected
    assert numbers == [4, 4, 4, 4, 2]


def test_a_run_that_is_not_finished_is_refused(finished, image_folder, tmp_path, refused):
    (tmp_path / "config.json").write_text((finished / "config.json").read_text())
    said = refused("predict", tmp_path, image_folder / "test")
    assert f"kerasuite resume {tmp_path}" in said


def test_faster_arithmetic_says_how_far_its_answers_lie_from_exact_ones(finished, image_folder, table):
    exact, _ = table(finished, image_folder / "test")
    rough, said = table(finished, image_folder / "test", "--precision", "bfloat16")
    distance = max(abs(float(a[f"p({name})"]) - float(b[f"p({name})"])) for a, b in zip(exact, rough) for name in "abc")
    assert distance < 0.05  # 0 on a processor that has no bfloat16
    assert f"at most {distance:.4f} from those in float32 on the first 18 inputs" in said
