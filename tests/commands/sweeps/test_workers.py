import os
import time

import pytest

from kerasuite.commands.sweeps import workers
from kerasuite.errors import InputError


def beat(folder, name, at):
    (folder / workers.ALIVE).mkdir(exist_ok=True)
    (folder / workers.ALIVE / name).write_text(at)


def test_who_says_nothing_new_for_so_long_is_silent(tmp_path, monkeypatch):
    now = iter([0.0, 5.0, 11.0, 12.0])
    monkeypatch.setattr(workers.time, "monotonic", lambda: next(now))
    hearts = workers.Hearts(tmp_path)
    beat(tmp_path, "one", "1")
    assert not hearts.silent(["one", "two"], 10.0)
    beat(tmp_path, "one", "2")
    assert not hearts.silent(["one", "two"], 10.0)
    # The second has never said anything since it was first asked about.
    assert hearts.silent(["one", "two"], 10.0) == {"two"}
    beat(tmp_path, "two", "1")
    assert not hearts.silent(["one", "two"], 10.0)


def test_a_worker_says_that_it_is_alive_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    workers.beat(tmp_path)
    path = tmp_path / workers.ALIVE / "worker0"
    first = path.read_text()
    workers.beat(tmp_path)
    assert path.read_text() == first
    os.utime(path, (0, time.time() - 2 * workers.BEAT_SECONDS))
    workers.beat(tmp_path)
    assert path.read_text() != first


def test_variables_of_keras_tuner_that_are_set_in_part_are_refused_by_name(monkeypatch):
    workers.refuse_half_an_environment()
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(InputError, match="KERASTUNER_TUNER_ID and KERASTUNER_ORACLE_PORT is not set"):
        workers.refuse_half_an_environment()


def test_cores_and_gpus_are_shared_out(monkeypatch):
    monkeypatch.setattr(workers.os, "cpu_count", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,5")
    one, other = workers._shares({"a": "b"}, 2)
    assert (one["CUDA_VISIBLE_DEVICES"], other["CUDA_VISIBLE_DEVICES"]) == ("0,5", "1")
    assert (one["a"], one["OMP_NUM_THREADS"]) == ("b", "4")


@pytest.mark.parametrize(("name", "chief", "worker"), [("chief", True, False), ("worker1", False, True)])
def test_the_environment_says_who_hands_out_trials_and_who_runs_them(monkeypatch, name, chief, worker):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
    assert (workers.is_chief(), workers.is_worker()) == (chief, worker)
