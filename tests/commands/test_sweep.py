"""Sweeps of the smallest pipeline on a few made-up images."""

import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import kerasuite
from kerasuite import run_directory, whole_files
from kerasuite.commands.sweeps import attempt
from kerasuite.data import kept

QUICK = ["--model", "mlp", "--epochs", "3", "--precision", "float32", "--batch-size", "16"]
SEARCH = ["--set", "learning_rate=1e-7..0.03:log", "--tuner", "random", "--best", "2", "--fresh-seeds", "2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_npz):
    return write_npz(tmp_path_factory.mktemp("data") / "data.npz")


@pytest.fixture(scope="module")
def swept(call, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweeps") / "sweep"
    assert call("sweep", "mnist_cnn", "--data", data, *QUICK, *SEARCH, "--trials", 4, "--output", folder) == 0
    return folder


def rows(folder, kind="trial"):
    with open(folder / "trials.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] == kind]


def read(path):
    return json.loads(path.read_text())


def test_the_best_trials_are_trained_again_and_the_best_mean_is_run_once_on_the_test_rows(swept):
    trials, again = rows(swept), rows(swept, "rerun")
    assert len(trials) == 4
    values = {row["trial"]: float(row["val_accuracy"]) for row in trials if row["status"] == "finished"}
    best = sorted(values, key=values.get, reverse=True)[:2]
    assert [row["trial"] for row in again] == sorted(f"{name}_seed_{seed}" for name in best for seed in (1, 2))
    means = {
        name: np.mean([float(row["val_accuracy"]) for row in again if row["trial"].startswith(f"{name}_")])
        for name in best
    }
    record = read(swept / "best.json")
    assert record["trial"] in best
    assert record["mean_of_fresh_seeds"] == pytest.approx(max(means.values()))
    assert record["value_in_sweep"] == pytest.approx(values[record["trial"]])
    assert read(swept / "best" / "metrics.json")["examples"]["test"] > 0
    assert not [*swept.glob("trials/*/run/metrics.json"), *swept.glob("reruns/*/run/metrics.json")]


def test_the_report_sets_the_sweeps_best_beside_its_fresh_trainings(swept):
    page, record = (swept / "report.html").read_text(), read(swept / "best.json")
    for value in (record["value_in_sweep"], record["mean_of_fresh_seeds"]):
        assert f"{value:.4f}" in page
    for words in ("The course of the sweep", "4 finished trials; 10 are needed", "kerasuite sweep mnist_cnn --data"):
        assert words in page


def test_what_only_the_search_needed_is_gone_and_the_settings_are_in_tensorboard(swept):
    names = {path.name for path in swept.iterdir()}
    assert names == {
        *("best", "best.json", "clock.json", "data.json", "measured.json", "oracle", "report.html", "reruns"),
        *("sweep.json", "trials", "trials.csv"),
    }
    assert not [*swept.rglob("checkpoints")]
    assert [*swept.glob("trials/0/run/tensorboard/*")]


def test_the_best_settings_are_a_config_to_run(call, swept, tmp_path):
    assert call("run", "mnist_cnn", "--config", swept / "best.json", "--output", tmp_path / "run") == 0
    rate = read(swept / "best.json")["settings"]["learning_rate"]
    assert read(tmp_path / "run" / "config.json")["settings"]["learning_rate"] == rate
    assert (tmp_path / "run" / "history.csv").read_text() == (swept / "best" / "history.csv").read_text()


def test_a_finished_sweep_is_an_object_for_notebooks(swept):
    sweep = kerasuite.load(swept)
    assert sweep.trials["trial"].len() == 8
    assert sweep.best["trial"] in [trial["name"] for trial in sweep.display.trials]
    assert sweep.run.metrics["examples"]["test"] == 20


def test_a_sweep_that_is_finished_stays_as_it_is(call, data, swept, capsys):
    before = (swept / "report.html").stat().st_mtime_ns
    assert call("sweep", "mnist_cnn", "--data", data, *QUICK, *SEARCH, "--trials", 4, "--output", swept) == 0
    assert "finished; nothing to do" in capsys.readouterr().out
    assert (swept / "report.html").stat().st_mtime_ns == before


def test_other_settings_are_not_mixed_into_a_sweep(call, data, swept, capsys):
    assert call("sweep", "mnist_cnn", "--data", data, *QUICK, *SEARCH, "--seed", 5, "--output", swept) == 2
    assert "a sweep with other settings: seed" in capsys.readouterr().err


def test_a_sweep_does_not_go_on_with_other_data(swept, refused, write_npz, tmp_path):
    folder = tmp_path / "sweep"
    shutil.copytree(swept, folder, ignore=shutil.ignore_patterns("report.html"))
    record = read(folder / "sweep.json")
    record["settings"]["data"] = str(write_npz(tmp_path / "other.npz", seed=5))
    whole_files.write_json(folder / "sweep.json", record)
    assert "The data are not those with which the sweep" in refused("resume", folder)


def test_trials_never_see_the_test_rows(data, tmp_path):
    from kerasuite.pipelines import mnist_cnn

    settings = mnist_cnn.Config(data=str(data))
    found = attempt.store_rows("mnist_cnn", settings, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [attempt.ROWS]
    splits = mnist_cnn.load(settings)
    train, validation = kept.load(tmp_path / attempt.ROWS)
    assert {*train.ids, *validation.ids}.isdisjoint(splits.test.ids)
    assert (len(train), len(validation)) == (found["counts"]["train"], found["counts"]["validation"])
    content = b"".join(path.read_bytes() for path in (tmp_path / attempt.ROWS).iterdir())
    assert splits.train.inputs["image"][0].tobytes() in content
    assert not any(image.tobytes() in content for image in splits.test.inputs["image"])


@pytest.mark.slow
def test_what_the_test_rows_are_changes_no_trial(call, swept, tmp_path, write_npz):
    """The same command on data whose test rows have other labels."""
    other = write_npz(tmp_path / "data.npz")
    arrays = dict(np.load(other))
    arrays["y_test"] = (arrays["y_test"] + 1) % 3
    np.savez(other, **arrays)
    again = tmp_path / "sweep"
    assert call("sweep", "mnist_cnn", "--data", other, *QUICK, *SEARCH, "--trials", 4, "--output", again) == 0
    assert told(again) == told(swept)
    accuracy = [read(folder / "best" / "metrics.json")["test"]["accuracy"]["value"] for folder in (swept, again)]
    assert accuracy[0] != accuracy[1]


def begin(data, folder, *words, environment=None):
    """The sweep in a process of its own."""
    command = ["sweep", "mnist_cnn", "--data", data, *QUICK, *SEARCH, "--trials", 4, "--output", folder, *words]
    with open(f"{folder}.log", "a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "kerasuite", *map(str, command)],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | (environment or {}),
        )


def await_(holds, process, seconds=120):
    begun = time.monotonic()
    while not holds():
        assert process.poll() is None
        assert time.monotonic() - begun < seconds
        time.sleep(0.01)


def told(folder):
    """What came of each training, but for the time it took."""
    return [{**row, "seconds": ""} for kind in ("trial", "rerun") for row in rows(folder, kind)]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_sweep_that_was_stopped_goes_on_with_the_trial_it_was_in(call, data, swept, tmp_path, number, status):
    folder = tmp_path / "sweep"
    process = begin(data, folder)
    await_(lambda: [*folder.glob("trials/1/run/checkpoints/step-*")], process)
    process.send_signal(number)
    assert process.wait(60) == status
    time.sleep(0.5)  # the trial's own process ends a moment later
    results = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/result.json")}
    # None, if it was stopped between two trials.
    begun = {path.parents[2] for path in folder.glob("trials/*/run/checkpoints/step-*")}
    begun -= {path.parent for path in results}
    assert call("resume", folder) == 0
    assert all(path.stat().st_mtime_ns == before for path, before in results.items())
    assert all("Going on from step" in (trial / "log.txt").read_text() for trial in begun)
    assert told(folder) == told(swept)


def worker(name):
    """The process of the worker of this name, by its environment."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"KERASTUNER_TUNER_ID={name}".encode() in path.read_bytes().split(b"\0"):
                return int(path.parent.name)
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue
    raise AssertionError(f"there is no {name}")


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again_and_its_trial_goes_on(data, tmp_path):
    folder = tmp_path / "sweep"
    process = begin(data, folder, "--workers", 2, "--epochs", 30, "--patience", 30, "--no-stop-early", "--best", 1)
    await_(lambda: [*folder.glob("trials/*/run/checkpoints/*")], process)
    os.kill(worker("worker0"), signal.SIGKILL)
    assert process.wait(200) == 0
    assert "worker0 has ended with exit status -9: it is started again" in Path(f"{folder}.log").read_text()
    assert [row["status"] for row in rows(folder)] == ["finished"] * 4
    assert {row["epochs"] for row in rows(folder)} == {"30"}
    assert run_directory.is_finished(folder / "best")


def processes_with(word):
    """Those of this machine whose command has the word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(word).encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(data, tmp_path):
    folder = tmp_path / "sweep"
    process = begin(data, folder, "--workers", 2, "--epochs", 30, "--patience", 30, "--no-stop-early")
    await_(lambda: [*folder.glob("trials/*/run/checkpoints/*")], process)
    process.kill()
    process.wait(20)
    begun = time.monotonic()
    while processes_with(folder):
        assert time.monotonic() - begun < 20
        time.sleep(0.1)


@pytest.mark.slow
def test_a_trial_of_a_worker_that_is_heard_of_no_more_goes_to_another(data, tmp_path):
    """Chief and workers by the environment, as on several machines; nobody starts the one that is killed again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder = tmp_path / "sweep"
    shared = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port, "KERASUITE_WAIT_SECONDS": "8"}
    words = ["--epochs", 30, "--patience", 30, "--no-stop-early", "--best", 1, "--fresh-seeds", 1]
    chief = begin(data, folder, *words, environment=shared | {"KERASTUNER_TUNER_ID": "chief"})
    await_(lambda: (folder / "data.json").is_file(), chief)
    lost = begin(data, folder, *words, environment=shared | {"KERASTUNER_TUNER_ID": "lost"})
    await_(lambda: [*folder.glob("trials/*/run/checkpoints/*")], chief)
    os.killpg(lost.pid, signal.SIGKILL)
    kept = begin(data, folder, *words, environment=shared | {"KERASTUNER_TUNER_ID": "kept"})
    assert chief.wait(200) == 0
    assert kept.wait(30) == 0
    assert "Nothing is heard of lost: others go on without" in Path(f"{folder}.log").read_text()
    assert [row["status"] for row in rows(folder)] == ["finished"] * 4


def write_space(path, settings):
    path.write_text(
        "from dataclasses import replace\n"
        "def space(hp, config):\n"
        f"    return replace(config, learning_rate=hp.Float('learning_rate', 1e-3, 1e-2), {settings})\n"
    )
    return path


@pytest.mark.slow
def test_three_failures_for_one_reason_end_a_sweep_which_goes_on_once_that_is_mended(data, call, refused, tmp_path):
    space = write_space(tmp_path / "space.py", "batch_norm=True")
    folder = tmp_path / "sweep"
    words = ["--space", space, "--trials", 4, "--best", 1, "--fresh-seeds", 1, "--output", folder]
    says = refused("sweep", "mnist_cnn", "--data", data, *QUICK, *words)
    assert "3 trials failed for one reason" in says
    assert "--batch-norm goes with --model cnn" in says
    assert [row["status"] for row in rows(folder)] == ["failed"] * 3
    with run_directory.locked(folder, attempt.LOCK):
        assert "under way in another process" in refused("sweep", "mnist_cnn", "--data", data, *QUICK, *words)
    write_space(space, "dropout=0.1")
    assert call("sweep", "mnist_cnn", "--data", data, *QUICK, *words) == 0
    assert [row["status"] for row in rows(folder)] == ["finished"] * 4


def test_an_error_in_ones_own_space_is_told_by_its_file(data, refused, tmp_path):
    space = write_space(tmp_path / "space.py", "widths=3")  # behind a hyperparameter that is declared
    says = refused("sweep", "mnist_cnn", "--data", data, *QUICK, "--space", space, "--output", tmp_path / "sweep")
    assert re.search(r"space of .*space.py: TypeError: .*widths", says)


@pytest.mark.slow
def test_a_space_of_ones_own_is_searched(data, call, tmp_path):
    space = write_space(tmp_path / "space.py", "hidden=(hp.Int('units', 4, 8),)")
    folder = tmp_path / "sweep"
    words = ["--space", space, "--trials", 1, "--best", 1, "--fresh-seeds", 1, "--minutes", 60]
    assert call("sweep", "mnist_cnn", "--data", data, *QUICK, *words, "--output", folder) == 0
    assert 4 <= int(rows(folder)[0]["units"]) <= 8
    assert read(folder / "best.json")["settings"]["hidden"] == [int(rows(folder)[0]["units"])]


@pytest.mark.slow
def test_hyperband_goes_on_with_the_better_part(data, call, tmp_path):
    folder = tmp_path / "sweep"
    words = ["--tuner", "hyperband", "--trials", 4, "--epochs", 3, "--best", 1, "--fresh-seeds", 1]
    assert call("sweep", "mnist_cnn", "--data", data, *QUICK, *SEARCH, *words, "--output", folder) == 0
    # Three begin, of which the best goes on; then the next bracket.
    first, later = rows(folder)[:3], rows(folder)[3]
    assert {(row["status"], row["epochs"]) for row in first} == {("paused", "1")}
    assert (later["status"], later["epochs"]) == ("finished", "3")
    assert (
        float(later["learning_rate"])
        == max((float(row["val_accuracy"]), float(row["learning_rate"])) for row in first)[1]
    )
    assert later["run"] in {row["run"] for row in first}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "data=a,b"], "data cannot be searched: all trials share it"),
        (["--set", "learning_rate=1..0"], "the least value, then the greatest"),
        (["--objective", "val_f1"], "has val_accuracy, val_loss"),
        (["--set", "label_smoothing=0..0.2", "--objective", "val_loss"], "losses cannot be compared"),
        (["--set", "epochs=1..3", "--tuner", "hyperband"], "chooses the epochs itself"),
        (["--set", "l2=0..1", "--space", "x.py"], "pass one of them"),
        (["--space", "nowhere.py"], "--space nowhere.py cannot be run"),
        (["--trials", "0"], "--trials is 0; it must be at least 1"),
        (["--minutes", "-1"], "--minutes is -1.0; it must be over 0"),
        (["--data", "nowhere.npz"], "nowhere.npz"),
        (["--seeds", "2"], "how often a sweep trains the best again is --fresh-seeds"),
    ],
)
def test_what_cannot_be_swept_is_told_and_leaves_nothing(data, refused, tmp_path, words, says):
    folder = tmp_path / "sweep"
    assert re.search(says, refused("sweep", "mnist_cnn", "--data", data, *QUICK, "--output", folder, *words))
    assert not folder.exists()


def test_there_is_help(call, capsys):
    assert call("sweep") == 0
    assert "mnist_cnn" in capsys.readouterr().out
    assert call("sweep", "mnist_cnn", "--help") == 0
    assert "--fresh-seeds" in capsys.readouterr().out
