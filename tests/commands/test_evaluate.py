import shutil

import pytest
from run_files import metrics_of

RESULTS = {
    "confusion_matrix.csv",
    "confusion_matrix.png",
    "confusion_matrix_normalized.png",
    "metrics.json",
    "mistakes.png",
    "precision_recall.png",
    "predictions.csv",
    "reliability.png",
    "report.html",
    "roc.png",
}


@pytest.fixture
def results(call, finished, tmp_path):
    """The directory of an evaluation of the finished run."""

    def results(data):
        assert call("evaluate", finished, "--data", data, "--output", tmp_path / "results") == 0
        return tmp_path / "results"

    return results


def test_new_data_get_the_same_numbers_pictures_and_report(results, finished, write_folder, tmp_path):
    folder = results(write_folder(tmp_path / "new", n=9, seed=7))
    assert {path.name for path in folder.iterdir()} == RESULTS
    made, of_run = (metrics_of(path) for path in (folder, finished))
    assert made["examples"] == {"test": 9, "skipped": 0}
    assert made["test"].keys() == of_run["test"].keys()
    assert made["baselines"].keys() == of_run["baselines"].keys()
    assert made["test"]["accuracy"]["n"] == 9
    assert "without_seen" not in made


def test_a_column_of_texts_is_not_for_a_run_of_images(refused, finished, image_folder, tmp_path):
    words = ["--data", image_folder, "--text-column", "said", "--output", tmp_path / "results"]
    assert "--text-column is of texts; this is a run of mnist_cnn" in refused("evaluate", finished, *words)
    assert not (tmp_path / "results").exists()


def test_the_runs_own_data_give_the_runs_own_numbers(results, finished, image_folder):
    folder = results(image_folder)
    made, of_run = (metrics_of(path) for path in (folder, finished))
    assert made["test"] == of_run["test"]
    assert made["baselines"] == of_run["baselines"]
    assert (folder / "predictions.csv").read_text() == (finished / "predictions.csv").read_text()


def test_images_that_were_trained_on_are_warned_of(results, image_folder, capsys):
    folder = results(image_folder / "train")
    said = capsys.readouterr().err
    assert "29 of these 29 images are among those that the model was trained on" in said
    assert "a/003.png" in said
    assert "trained on" in (folder / "report.html").read_text()


def test_images_of_one_class_only_can_be_evaluated_and_the_report_lies_in_the_run_directory(
    call, finished, write_folder, refused, tmp_path, capsys
):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    data = write_folder(tmp_path / "new", n=9, seed=7)
    for name in "bc":
        shutil.rmtree(data / name)
    assert call("evaluate", copy, "--data", data) == 0
    (made,) = (copy / "evaluations").iterdir()
    assert capsys.readouterr().out.splitlines()[-1] == str(made)
    assert metrics_of(made)["examples"]["test"] == 3

    assert "zebra" in refused("evaluate", copy, "--data", write_folder(tmp_path / "others", n=4, names=["a", "zebra"]))
    assert [*(copy / "evaluations").iterdir()] == [made]


def test_data_that_are_not_there_are_refused_and_no_directory_is_left(refused, finished, tmp_path):
    said = refused("evaluate", finished, "--data", tmp_path / "nowhere", "--output", tmp_path / "results")
    assert "nowhere" in said
    assert not (tmp_path / "results").exists()


def test_a_folder_that_is_no_run_is_refused(refused, tmp_path, image_folder):
    assert "is not a run directory" in refused("evaluate", tmp_path, "--data", image_folder)
