import os
import time

import pytest

from kerasuite.commands.sweeps import workers


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


@pytest.mark.parametrize(("name", "chief", "worker"), [("chief", True, False), ("worker1", False, True)])
def test_the_environment_says_who_hands_out_trials_and_who_runs_them(monkeypatch, name, chief, worker):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
    assert (workers.is_chief(), workers.is_worker()) == (chief, worker)
