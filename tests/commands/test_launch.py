"""Workers of one run on this machine: stopped, killed, started again; and what `launch` refuses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import kerasuite
from kerasuite.commands import launch
from kerasuite.errors import EnvironmentFault, InputError

SETTINGS = ["--epochs", "16", "--patience", "16", "--batch-size", "16", "--precision", "float32", "--shift", "0.1"]
SETTINGS += ["--model", "mlp", "--checkpoint-seconds", "0"]


def begun(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "kerasuite", "launch", "--workers", "2", "--", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def last_step(run_dir):
    steps = [int(path.stem.removeprefix("step-")) for path in (run_dir / "checkpoints").glob("step-*.ckpt")]
    return max(steps, default=0)


def wait_for_step(run_dir, step, process):
    deadline = time.monotonic() + 120
    while last_step(run_dir) < step:
        assert time.monotonic() < deadline, "it never came so far"
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def worker_of(run_dir, index):
    """The process of a worker."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            place = (path / "environ").read_bytes()
        except OSError:
            continue
        if str(run_dir).encode() in words and b'"index": %d}' % index in place and b"launch" not in words:
            return int(path.name)
    raise AssertionError(f"no worker {index}")


@pytest.fixture(scope="module")
def launched(tmp_path_factory, write_npz):
    """Two runs of two workers: one as it is, and one that is stopped, gone on with, killed and started again."""
    folder = tmp_path_factory.mktemp("launched")
    data = write_npz(folder / "data.npz")
    run = ["run", "mnist_cnn", "--data", data, *SETTINGS, "--output"]
    whole = begun(*run, folder / "whole")
    stopped = begun(*run, folder / "stopped")
    wait_for_step(folder / "stopped", 4, stopped)
    os.kill(worker_of(folder / "stopped", 1), signal.SIGTERM)
    said = {"stopped": (*stopped.communicate(timeout=120), stopped.returncode), "step": last_step(folder / "stopped")}
    resumed = begun("resume", folder / "stopped")
    wait_for_step(folder / "stopped", said["step"] + 4, resumed)
    os.kill(worker_of(folder / "stopped", 0), signal.SIGKILL)
    said["resumed"] = (*resumed.communicate(timeout=180), resumed.returncode)
    said["whole"] = (*whole.communicate(timeout=180), whole.returncode)
    return folder, said


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_stops_all_with_a_checkpoint(launched):
    folder, said = launched
    _, errors, status = said["stopped"]
    assert status == 130
    assert 4 <= said["step"] < 48
    assert f"kerasuite launch --workers 2 -- resume {folder / 'stopped'}" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_worker_that_dies_is_named_and_all_begin_again(launched):
    folder, said = launched
    output, errors, status = said["resumed"]
    assert status == 0, errors
    assert "Worker 0 was killed by SIGKILL. Starting again (1 of 3)." in errors
    assert output.count("Going on from step") == 2
    assert output.splitlines()[-1] == str(folder / "stopped")
    assert "Worker 0 was killed by SIGKILL." in (folder / "stopped" / "workers" / "launch.log").read_text()


@pytest.mark.slow
def test_stops_and_kills_leave_no_trace_in_the_weights(launched):
    folder, said = launched
    assert said["whole"][2] == 0, said["whole"][1]
    resumed, whole = kerasuite.load(folder / "stopped"), kerasuite.load(folder / "whole")
    for a, b in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.metrics["test"] == whole.metrics["test"]
    assert (folder / "stopped" / "history.csv").read_bytes() == (folder / "whole" / "history.csv").read_bytes()


@pytest.mark.slow
def test_two_workers_come_to_what_one_process_comes_to(launched, call):
    folder, _ = launched
    run = ["run", "mnist_cnn", "--data", folder / "data.npz", *SETTINGS]
    assert call(*run, "--devices", "cpu", "--output", folder / "alone") == 0
    alone, together = kerasuite.load(folder / "alone"), kerasuite.load(folder / "whole")
    for column in ("loss", "val_loss"):
        np.testing.assert_allclose(together.history[column], alone.history[column], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_each_worker_keeps_its_log_and_the_first_alone_writes(launched):
    folder, _ = launched
    for rank in (0, 1):
        assert "Epoch 16/16" in (folder / "whole" / "workers" / f"worker_{rank}.log").read_text()
    assert not [*folder.glob("whole/**/.partial*")]


# What is refused, and what fails


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "mnist_cnn"], "stands behind --"),
        (["--"], "received nothing"),
        (["--", "predict", "x"], "received predict x"),
        (["--workers", "0", "--", "run", "mnist_cnn", "--sample"], "--workers is 0; it must be 1 or more"),
        (["--restarts", "-1", "--", "run", "mnist_cnn", "--sample"], "--restarts is -1; it must be 0 or more"),
        (["--stall-minutes", "0", "--", "run", "mnist_cnn"], "--stall-minutes is 0; it must be more than 0"),
        (["--", "run", "mnist_cn"], "did you mean mnist_cnn?"),
        (["--", "run", "mnist_cnn", "--epochs", "0"], "--epochs is 0"),
    ],
)
def test_what_cannot_be_launched_is_refused_before_a_worker_starts(refused, monkeypatch, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused("launch", *words)
    assert not [*tmp_path.iterdir()]


def test_a_directory_that_is_no_run_is_refused_and_not_made(refused, tmp_path):
    assert "nowhere/config.json is absent" in refused("launch", "--", "resume", tmp_path / "nowhere")
    assert not [*tmp_path.iterdir()]


def test_a_sweep_is_refused_with_what_goes_on_with_it(refused, tmp_path):
    (tmp_path / "sweep.json").write_text("{}")
    assert f"which has workers of its own: kerasuite resume {tmp_path}" in refused("launch", "--", "resume", tmp_path)


def test_gpus_are_dealt_out(monkeypatch, fake_kerasuite):
    run_dir = fake_kerasuite("print(os.environ['CUDA_VISIBLE_DEVICES']); sys.exit(0)")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,5")
    assert launch.supervise(run_dir, ["run"], 2, launch.Watch(0, 60.0)) == 0
    assert [(run_dir / "workers" / f"worker_{rank}.log").read_text() for rank in (0, 1)] == ["0,5\n", "2\n"]


def test_fewer_gpus_than_workers_are_refused(monkeypatch, fake_kerasuite):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(InputError, match="--workers 2: there are 1 GPUs"):
        launch.supervise(fake_kerasuite(""), ["run"], 2, launch.Watch(0, 60.0))


def test_a_worker_that_is_told_to_stop_before_it_trains_stops_all(fake_kerasuite, monkeypatch):
    run_dir = fake_kerasuite("os.kill(os.getpid(), 15) if place['task']['index'] else time.sleep(60)")
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.3)
    with pytest.raises(KeyboardInterrupt, match="Go on by: kerasuite launch"):
        launch.supervise(run_dir, ["run"], 2, launch.Watch(3, 60.0))


def test_a_used_directory_is_refused(refused, finished):
    said = refused("launch", "--", "run", "mnist_cnn", "--sample", "--output", finished)
    assert "it holds a finished run" in said


@pytest.fixture
def fake_kerasuite(tmp_path, monkeypatch):
    """A program in place of the workers'."""

    def fake_kerasuite(code):
        (tmp_path / "fake.py").write_text(
            f"import os, sys, time, json\nplace = json.loads(os.environ['TF_CONFIG'])\n{code}"
        )
        monkeypatch.setattr(launch, "PROGRAM", (sys.executable, str(tmp_path / "fake.py")))
        return tmp_path / "run"

    return fake_kerasuite


def test_what_fails_each_time_ends_with_the_reason_and_where_the_logs_are(fake_kerasuite, capsys):
    run_dir = fake_kerasuite("print('Error: no such luck'); sys.exit(place['task']['index'])")
    with pytest.raises(EnvironmentFault, match=r"Worker 1 ended with status 1. It said: no such luck .* 2 times"):
        launch.supervise(run_dir, ["run"], 2, launch.Watch(2, 60.0))
    assert (run_dir / "workers" / "worker_1.log").read_text().count("no such luck") == 3
    assert capsys.readouterr().err.count("Starting again") == 2


def test_workers_that_do_nothing_for_the_stated_time_are_started_again(fake_kerasuite, capsys):
    run_dir = fake_kerasuite("time.sleep(60)")
    with pytest.raises(EnvironmentFault, match=r"No worker made progress for 0.005 minutes \(--stall-minutes\)"):
        launch.supervise(run_dir, ["run"], 2, launch.Watch(1, 0.3))
    assert "No worker made progress" in capsys.readouterr().err


def test_a_start_again_is_a_resume_on_other_ports(fake_kerasuite):
    run_dir = fake_kerasuite(
        "print(sys.argv[1:], place['cluster']); sys.exit(1) if place['task']['index'] else time.sleep(60)"
    )
    run_dir.mkdir()
    (run_dir / "config.json").write_text("{}")
    with pytest.raises(EnvironmentFault):
        launch.supervise(run_dir, ["run", "mnist_cnn"], 2, launch.Watch(1, 60.0))
    first, second = (run_dir / "workers" / "worker_1.log").read_text().splitlines()
    assert first.startswith("['run', 'mnist_cnn']")
    assert second.startswith(f"['resume', '{run_dir}']")
    assert first.partition("{")[2] != second.partition("{")[2]


def test_what_is_refused_on_all_workers_is_not_tried_again(fake_kerasuite, capsys):
    run_dir = fake_kerasuite("print('Error: --data is no folder'); sys.exit(2)")
    assert launch.supervise(run_dir, ["run"], 2, launch.Watch(3, 60.0)) == 2
    shown = capsys.readouterr()
    assert shown.out.count("--data is no folder") == 1
    assert "Starting again" not in shown.err
