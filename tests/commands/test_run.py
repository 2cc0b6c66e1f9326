import json
import statistics

import keras
import numpy as np
import pytest
from PIL import Image

from kerasuite import whole_files
from kerasuite.commands import run
from kerasuite.errors import InputError, InUse
from kerasuite.pipelines import mnist_cnn


def read(path):
    return json.loads(path.read_text())


# Data that cannot be used: a function that makes them, and what the message names.


def absent(path):
    return path / "nowhere"


def without_keys(path):
    np.savez(path / "odd.npz", pictures=np.zeros((4, 8, 8), np.uint8))
    return path / "odd.npz"


def no_archive(path):
    (path / "text.npz").write_text("not an archive")
    return path / "text.npz"


def one_class(path):
    np.savez(path / "one.npz", x_train=np.zeros((9, 8, 8), np.uint8), y_train=np.zeros(9, int))
    return path / "one.npz"


def empty_folder(path):
    (path / "empty").mkdir()
    return path / "empty"


def tiny_images(path):
    rng = np.random.default_rng(0)
    np.savez(path / "tiny.npz", x_train=rng.integers(0, 255, (40, 3, 3), np.uint8), y_train=np.arange(40) % 2)
    return path / "tiny.npz"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (absent, "nowhere is neither the name of a data set nor there as a file"),
        (without_keys, "odd.npz has no x_train and y_train"),
        (no_archive, "text.npz is not a .npz file"),
        (one_class, "one.npz has one class only"),
        (empty_folder, "empty has no folders in it"),
        (tiny_images, "4x4"),
    ],
)
def test_data_that_cannot_be_used_are_named_and_no_directory_is_left(refused, tmp_path, make, message):
    output = tmp_path / "run"
    assert message in refused("run", "mnist_cnn", "--data", make(tmp_path), "--output", output)
    assert not output.exists()


def test_a_refused_run_without_an_output_leaves_nothing_but_the_runs_before_it(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused("run", "mnist_cnn", "--data", "nowhere")
    assert not list(tmp_path.iterdir())
    (tmp_path / "runs" / "mnist_cnn" / "earlier").mkdir(parents=True)
    refused("run", "mnist_cnn", "--data", "nowhere")
    assert [path.name for path in (tmp_path / "runs" / "mnist_cnn").iterdir()] == ["earlier"]


@pytest.mark.parametrize(
    ("flags", "messages"),
    [
        (["--devices", "gpu:7"], ["gpu:7", "there is"]),
        (["--devices", "nonsense"], ["'nonsense'", "cpu:2"]),
        (["--batch-norm", "--model", "mlp"], ["--batch-norm", "mlp"]),
        (["--epochs", "0"], ["--epochs"]),
        (["--dropout", "1"], ["--dropout"]),
        (["--epoch", "3"], ["--epochs"]),
        (["--model", "vgg"], ["--model", "residual_cnn"]),
        (["--config", "nowhere.json"], ["nowhere.json"]),
    ],
)
def test_flags_that_cannot_be_used_are_named_and_no_directory_is_left(refused, tmp_path, flags, messages):
    output = tmp_path / "run"
    said = refused("run", "mnist_cnn", "--data", "digits", "--output", output, *flags)
    assert all(message in said for message in messages)
    assert not output.exists()


def test_a_data_set_that_cannot_be_downloaded_is_named_with_what_to_pass_instead(refused, tmp_path, monkeypatch):
    def offline():
        raise Exception("URL fetch failure")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(keras.datasets.mnist, "load_data", offline)
    output = tmp_path / "run"
    said = refused("run", "mnist_cnn", "--output", output)
    assert "mnist is not on this machine" in said
    assert "--data digits" in said
    assert not output.exists()


def test_an_output_that_is_not_empty_is_left_as_it_was(refused, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert "not empty" in refused("run", "mnist_cnn", "--data", "digits", "--output", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_hidden_folder_is_something_too(refused, tmp_path):
    (tmp_path / ".git").mkdir()
    assert "it is not empty" in refused("run", "mnist_cnn", "--data", absent(tmp_path), "--output", tmp_path)
    assert (tmp_path / ".git").is_dir()


def test_a_link_to_a_folder_is_emptied_again_and_stays(refused, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    assert "nowhere" in refused("run", "mnist_cnn", "--data", absent(tmp_path), "--output", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert not [*(tmp_path / "disk").iterdir()]


def test_the_run_of_another_process_is_left_as_it_is(tmp_path, monkeypatch):
    def begun_elsewhere(run_dir, *_):
        raise InUse(f"{run_dir} is under way")

    monkeypatch.setattr(run, "go_on", begun_elsewhere)
    with pytest.raises(InputError, match="under way"):
        run.start("mnist_cnn", mnist_cnn.Config(output=str(tmp_path / "run")))
    assert (tmp_path / "run" / "config.json").is_file()


def test_an_output_below_a_file_is_refused(refused, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused("run", "mnist_cnn", "--data", "digits", "--output", tmp_path / "file" / "run")


def test_a_file_that_is_cut_short_is_counted_and_named_in_the_report(finished):
    assert read(finished / "metrics.json")["examples"]["skipped"] == 1
    assert "train/a/003.png: truncated or damaged" in (finished / "report.html").read_text()
    names, row = (finished / "skipped.csv").read_text().splitlines()
    assert (names, row[:38]) == ("input,reason", 'train/a/003.png,"truncated or damaged,')


def test_a_picture_that_is_in_train_and_test_is_named_and_the_score_without_it_given(finished):
    metrics = read(finished / "metrics.json")
    assert metrics["test"]["accuracy"]["n"] == 18
    assert metrics["without_seen"]["test"]["accuracy"]["n"] == 17
    report = (finished / "report.html").read_text()
    assert "test/b/001.png = train/b/004.png" in report
    assert "Rows seen in training" in report


def test_photos_of_many_sizes_without_a_split_are_split_and_brought_to_one_size(call, quick, tmp_path, capsys):
    rng, data, output = np.random.default_rng(0), tmp_path / "photos", tmp_path / "run"
    for k in range(40):
        folder = data / "xy"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20 + k, 50 - k, 3), np.uint8)).save(folder / f"{k}.jpg")
    (data / "y" / "1.jpg").write_bytes(b"")
    (data / "notes.txt").write_text("")
    assert call("run", "mnist_cnn", "--data", data, "--image-size", 16, 24, "--output", output, *quick) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == str(output)
    assert "y/1.jpg: the file is empty" in shown.err
    assert "notes.txt: lies outside the class folders" in shown.err
    # Of the 20 and 19 that are left, 3 each are the test, then of 17 and 16 2 each validation.
    examples = {"train": 29, "validation": 4, "test": 6, "skipped": 2}
    assert read(output / "metrics.json")["examples"] == examples
    assert read(output / "environment.json")["preparation"] == {"image_size": [16, 24], "channels": 3}


def test_one_file_in_train_and_in_test_is_refused(refused, write_folder, tmp_path):
    data = write_folder(tmp_path / "data" / "train").parent
    write_folder(data / "test", seed=1)
    (data / "test" / "a" / "again.png").hardlink_to(data / "train" / "a" / "000.png")
    said = refused("run", "mnist_cnn", "--data", data, "--output", tmp_path / "run")
    assert "train/a/000.png" in said
    assert "test/a/again.png" in said
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory, call, quick, write_npz):
    folder = tmp_path_factory.mktemp("seeds")
    data = write_npz(folder / "data.npz")
    assert call("run", "mnist_cnn", "--data", data, "--output", folder / "run", "--seeds", 2, "--seed", 5, *quick) == 0
    return folder / "run"


def test_several_seeds_are_summed_up_by_mean_and_standard_deviation(two_seeds):
    summary = read(two_seeds / "seeds.json")
    assert summary["runs"] == ["seed_5", "seed_6"]
    values = [read(two_seeds / name / "metrics.json")["test"]["log_loss"]["value"] for name in summary["runs"]]
    assert values[0] != values[1]
    found = summary["test"]["log_loss"]
    assert found["values"] == values
    assert found["mean"] == pytest.approx(sum(values) / 2)
    assert found["sd"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)


def test_the_summary_of_seeds_by_hand(tmp_path):
    for k, value in enumerate((0.5, 0.75, 1.0)):
        child = tmp_path / f"seed_{k}"
        child.mkdir()
        metrics = {"pipeline": "p", "headline": "accuracy", "test": {"accuracy": {"value": value}}}
        whole_files.write_json(child / "metrics.json", metrics)
    found = run.summarise(sorted(tmp_path.iterdir()))["test"]["accuracy"]
    assert found == {
        "mean": 0.75,
        "median": 0.75,
        "sd": 0.25,
        "min": 0.5,
        "max": 1.0,
        "values": [0.5, 0.75, 1.0],
    }
    assert found["sd"] == statistics.stdev(found["values"])


def test_a_seed_that_fails_leaves_those_that_are_finished(call, tmp_path, monkeypatch, capsys):
    def second_fails(config, run_dir):
        if config.seed == 1:
            raise InputError("The loss is no longer a finite number.")
        whole_files.write_json(run_dir / "metrics.json", {})

    monkeypatch.setattr(mnist_cnn, "run", second_fails)
    assert call("run", "mnist_cnn", "--data", "digits", "--output", tmp_path / "run", "--seeds", 2) == 2
    assert (tmp_path / "run" / "seed_0" / "metrics.json").is_file()


def test_the_settings_are_the_first_file_and_hold_the_command(finished, image_folder):
    record = read(finished / "config.json")
    assert record["pipeline"] == "mnist_cnn"
    assert record["settings"]["epochs"] == 8
    assert record["command"].startswith(f"kerasuite run mnist_cnn --data '{image_folder}'")


def test_run_without_a_name_lists_the_pipelines(call, capsys):
    assert call("run") == 0
    assert "mnist_cnn  Images to a convolutional classifier" in capsys.readouterr().out
