"""Runs that end too soon: killed, stopped by Ctrl-C, on a full disk; and how they go on."""

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import tensorflow as tf

import kerasuite
from kerasuite import run_directory, whole_files
from kerasuite.config import from_dict
from kerasuite.pipelines import mnist_cnn

Stopped = namedtuple("Stopped", ["run_dir", "status", "errors", "steps"])

# Random in every way that a run can be: dropout and augmentation.
SETTINGS = ["--dropout", "0.3", "--rotation", "10", "--shift", "0.1", "--epochs", "24", "--patience", "24"]
SETTINGS += ["--batch-size", "16", "--precision", "float32"]
# Rows for training are 37: 3 steps an epoch.
FIRST_STEPS, ALL_STEPS = 4, 72


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_npz):
    return write_npz(tmp_path_factory.mktemp("data") / "data.npz")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, data):
    """Of devices and a signal the run, in a process of its own, that got it once it was well into training."""
    folder = tmp_path_factory.mktemp("stopped")

    @cache
    def stop(devices, number):
        run_dir = folder / f"{devices}_{number.name}"
        command = ["run", "mnist_cnn", "--data", data, *SETTINGS, "--checkpoint-seconds", "0"]
        command = [sys.executable, "-m", "kerasuite", *map(str, command), "--output", run_dir, "--devices", devices]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while process.poll() is None and last_step(run_dir) < FIRST_STEPS:
            assert time.monotonic() < deadline, "it never came so far"
            time.sleep(0.002)
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
        return Stopped(run_dir, process.returncode, errors, last_step(run_dir))

    return stop


def last_step(run_dir):
    steps = [int(path.stem.removeprefix("step-")) for path in (run_dir / "checkpoints").glob("step-*.ckpt")]
    return max(steps, default=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data, call):
    """Of devices the uninterrupted run; without checkpoints within an epoch, since those leave no trace."""
    folder = tmp_path_factory.mktemp("whole")

    @cache
    def run(devices):
        flags = ["--devices", devices, "--output", folder / devices]
        assert call("run", "mnist_cnn", "--data", data, *SETTINGS, *flags) == 0
        return folder / devices

    return run


@pytest.mark.parametrize(
    ("devices", "number", "status"),
    [
        ("cpu", signal.SIGKILL, -signal.SIGKILL),
        pytest.param("cpu", signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param("cpu:2", signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(stopped, whole, call, capsys, devices, number, status):
    cut_off = stopped(devices, number)
    run_dir = cut_off.run_dir
    assert cut_off.status == status
    assert FIRST_STEPS <= cut_off.steps < ALL_STEPS
    assert not run_directory.is_finished(run_dir)

    assert call("resume", run_dir) == 0
    assert f"Going on from step {cut_off.steps}." in capsys.readouterr().out
    resumed, reference = kerasuite.load(run_dir), kerasuite.load(whole(devices))
    for a, b in zip(resumed.model.get_weights(), reference.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.metrics["test"] == reference.metrics["test"]
    for file in ("history.csv", "predictions.csv"):
        assert (run_dir / file).read_bytes() == (whole(devices) / file).read_bytes()
    assert not (run_dir / "checkpoints").exists()


def test_ctrl_c_says_how_to_go_on(stopped):
    run_dir, _, errors, _ = stopped("cpu", signal.SIGINT)
    assert f"kerasuite resume {run_dir}" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(("devices", "replicas"), [("cpu", 1), pytest.param("cpu:2", 2, marks=pytest.mark.slow)])
def test_the_devices_that_were_asked_for_are_used_and_recorded(whole, devices, replicas):
    environment = json.loads((whole(devices) / "environment.json").read_text())
    assert environment["machine"]["replicas"] == replicas


def test_a_finished_run_has_nothing_to_go_on_with(finished, call, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert call("resume", finished) == 0
    assert "finished; nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


@pytest.mark.parametrize("content", [None, "[]", '{"pipeline": "mnist_cnn"}', "{"])
def test_a_folder_that_is_no_run_is_refused(tmp_path, refused, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert str(tmp_path / "config.json") in refused("resume", tmp_path)


# What a run is resumed with


def test_settings_that_are_those_of_the_run_are_taken(finished, call, capsys):
    assert call("resume", finished, "--epochs", 8, "--model", "mlp") == 0
    assert "finished; nothing to do" in capsys.readouterr().out


def test_other_settings_than_those_of_the_run_are_refused_with_what_differs(full_disk, refused):
    said = refused("resume", full_disk[0], "--epochs", 5, "--model", "cnn", "--patience", 5)
    assert "--epochs is 2, not 5; --model is mlp, not cnn" in said
    assert "patience" not in said


def test_settings_that_were_changed_in_the_run_directory_are_refused_with_what_differs(full_disk, refused, tmp_path):
    shutil.copytree(full_disk[0], tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["settings"] |= {"epochs": 9, "devices": "cpu:2"}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    said = refused("resume", tmp_path / "run")
    assert "--epochs was 2, is 9" in said
    assert "--devices was 'auto', is 'cpu:2'" in said
    assert "number of devices was 1, is 2" in said


def test_a_run_of_another_version_is_refused_with_the_versions(full_disk, refused, tmp_path):
    shutil.copytree(full_disk[0], tmp_path / "run")
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    environment["started with"] |= {"kerasuite": "0.0.1", "tensorflow": "2.20.0"}
    (tmp_path / "run" / "environment.json").write_text(json.dumps(environment))
    said = refused("resume", tmp_path / "run")
    assert "kerasuite was '0.0.1', is '0.1.0'" in said
    assert "tensorflow was '2.20.0'" in said


def test_several_workers_that_begin_the_same_run_again_go_on_with_it(full_disk, data, quick, monkeypatch, tmp_path):
    from kerasuite.commands import run

    shutil.copytree(full_disk[0], tmp_path / "run")
    settings = from_dict(mnist_cnn.Config, json.loads((tmp_path / "run" / "config.json").read_text())["settings"], "")
    settings = replace(settings, output=str(tmp_path / "run"))
    run.write_settings(tmp_path / "run", "mnist_cnn", settings)
    assert run._begun_by_workers("mnist_cnn", settings) is None
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert run._begun_by_workers("mnist_cnn", settings) == tmp_path / "run"
    assert run._begun_by_workers("mnist_cnn", replace(settings, epochs=3)) is None
    (tmp_path / "run" / "metrics.json").write_text("{}")
    assert run._begun_by_workers("mnist_cnn", settings) is None


def test_a_run_that_another_process_has_is_refused(full_disk, refused):
    with run_directory.locked(full_disk[0]):
        assert "is under way in another process" in refused("resume", full_disk[0])


# A full disk


def no_space(path):
    return OSError(errno.ENOSPC, "No space left on device", str(path))


def full_at(name):
    """An `open` that finds the disk full when a file of this name is written."""

    def full(path, mode="r", *args, **options):
        if name in str(path) and "w" in mode:
            raise no_space(path)
        return open(path, mode, *args, **options)

    return full


@pytest.fixture(scope="module")
def full_disk(tmp_path_factory, data, call, quick):
    """A run that met a full disk with its last file, and its own copy of the data."""
    folder = tmp_path_factory.mktemp("full")
    own = shutil.copy(data, folder / "own.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_files, "open", full_at("metrics.json"), raising=False)
        assert call("run", "mnist_cnn", "--data", own, "--output", folder / "run", *quick) == 1
    return folder / "run", own


def test_a_full_disk_ends_the_run_unfinished_with_its_checkpoints(full_disk):
    run_dir, _ = full_disk
    assert not run_directory.is_finished(run_dir)
    assert (run_dir / "report.html").is_file()
    assert [*(run_dir / "checkpoints").iterdir()]


def test_the_full_disk_is_named_and_how_to_go_on(full_disk, call, tmp_path, monkeypatch, capsys):
    shutil.copytree(full_disk[0], tmp_path / "run")
    monkeypatch.setattr(whole_files, "open", full_at("baselines.npz"), raising=False)
    monkeypatch.setattr(np, "savez_compressed", lambda file, **arrays: (_ for _ in ()).throw(no_space(file)))
    monkeypatch.setattr(np, "savez", lambda file, **arrays: (_ for _ in ()).throw(no_space(file)))
    assert call("resume", tmp_path / "run") == 1
    said = capsys.readouterr().err
    assert "The disk is full" in said
    assert "kerasuite resume" in said
    assert "Traceback" not in said


def test_a_disk_that_is_full_during_training_does_not_end_it(tmp_path, data, call, quick, monkeypatch, capsys):
    # The history finds no room until the last epoch is done.
    from kerasuite.training import loop

    end, trained = loop.Loop.train, []

    def train(self, *arguments):
        end(self, *arguments)
        monkeypatch.undo()
        trained.append(self.step)

    monkeypatch.setattr(whole_files, "open", full_at("history.csv"), raising=False)
    monkeypatch.setattr(loop.Loop, "train", train)
    assert call("run", "mnist_cnn", "--data", data, "--output", tmp_path / "run", *quick) == 0
    assert "history.csv is not up to date" in capsys.readouterr().err
    assert len(kerasuite.load(tmp_path / "run").history) == 2
    assert trained


def test_a_history_that_finds_no_room_in_the_end_ends_the_run_with_its_checkpoints(
    tmp_path, data, call, quick, monkeypatch, capsys
):
    monkeypatch.setattr(whole_files, "open", full_at("history.csv"), raising=False)
    assert call("run", "mnist_cnn", "--data", data, "--output", tmp_path / "run", *quick) == 1
    assert "The disk is full" in capsys.readouterr().err
    monkeypatch.undo()
    assert call("resume", tmp_path / "run") == 0
    assert len(kerasuite.load(tmp_path / "run").history) == 2


def test_a_disk_that_fills_up_while_tensorflow_writes_is_named_too(full_disk, call, tmp_path, monkeypatch, capsys):
    def save(*args, **options):
        raise tf.errors.ResourceExhaustedError(None, None, f"{args[1]}/variables; No space left on device")

    shutil.copytree(full_disk[0], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "servable")
    monkeypatch.setattr(tf.saved_model, "save", save)
    assert call("resume", tmp_path / "run") == 1
    assert "The disk is full" in capsys.readouterr().err
    assert not (tmp_path / "run" / "servable").exists()
    assert not run_directory.is_finished(tmp_path / "run")


def test_a_run_goes_on_once_there_is_room(full_disk, call, tmp_path, capsys):
    shutil.copytree(full_disk[0], tmp_path / "run")
    assert call("resume", tmp_path / "run") == 0
    assert kerasuite.load(tmp_path / "run").metrics["test"]["accuracy"]["n"] == 20
    assert not (tmp_path / "run" / "checkpoints").exists()
    # What was trained is not trained again.
    assert "Epoch" not in capsys.readouterr().out


def test_other_data_than_those_of_the_start_are_refused_and_the_run_is_kept(full_disk, refused, write_npz, tmp_path):
    run_dir, own = full_disk
    kept = shutil.copy(own, tmp_path / "kept.npz")
    write_npz(own, seed=3)
    said = refused("resume", run_dir)
    shutil.copy(kept, own)
    assert f"The data is not that with which the run in {run_dir} started" in said
    assert [*(run_dir / "checkpoints").iterdir()]
