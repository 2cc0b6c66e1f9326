"""What workers say to each other: two processes on this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerasuite import workers
from kerasuite.commands.launch import free_ports
from kerasuite.errors import InputError


def test_a_time_to_wait_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("KERASUITE_WAIT_SECONDS", "soon")
    with pytest.raises(InputError, match="KERASUITE_WAIT_SECONDS is 'soon'; expected seconds"):
        workers.wait_seconds()


def test_a_team_of_one_says_everything_to_itself():
    team = workers.Team(tf.distribute.get_strategy())
    assert (team.rank, team.count, team.replicas) == (0, 1, 1)
    np.testing.assert_array_equal(team.sum([1.5, 2]), [1.5, 2])
    assert team.of_first({"a": 1}) == {"a": 1}
    assert team.of_all("b") == ["b"]
    assert team.bytes_of_first(b"c") == b"c"


def test_the_devices_of_a_mirrored_strategy_are_all_the_replicas_of_one_worker(two_devices):
    team = workers.Team(two_devices)
    assert (team.rank, team.count, team.replicas) == (0, 1, 2)


# Two processes


def begun(command, place, **more):
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TF_CONFIG": place, **more},
    )


def slurm_place(index):
    names = {"NUM_TASKS": "2", "NODELIST": "localhost", "TASKS_PER_NODE": "2"}
    step = {f"SLURM_STEP_{name}": value for name, value in names.items()}
    return step | {"SLURM_PROCID": str(index), "SLURM_JOB_ID": str(os.getpid())}


def place_at(ports, index):
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Of each process its exit status, output and errors: two that meet by Slurm's words, one that waits for another,
    and one whose port is in use."""
    folder = tmp_path_factory.mktemp("workers")
    run = ["-m", "kerasuite", "run", "mnist_cnn", "--sample", "--output"]
    ports = free_ports(3)
    with socket.socket() as used:
        used.bind(("localhost", 0))
        used.listen()
        port = used.getsockname()[1]
        processes = {
            "first": begun([Path(__file__).with_name("in_a_team.py")], "", **slurm_place(0)),
            "second": begun([Path(__file__).with_name("in_a_team.py")], "", **slurm_place(1)),
            "alone": begun([*run, folder / "alone"], place_at(ports[:2], 0), KERASUITE_WAIT_SECONDS="3"),
            "no port": begun([*run, folder / "port"], place_at([port, ports[2]], 0), KERASUITE_WAIT_SECONDS="30"),
        }
        said = {name: process.communicate(timeout=120) for name, process in processes.items()}
    return {name: (process.returncode, *said[name]) for name, process in processes.items()}


def test_workers_tell_each_other_numbers_values_and_bytes(ended):
    for rank, name in enumerate(("first", "second")):
        status, output, errors = ended[name]
        assert status == 0, errors
        said = json.loads(output)
        assert said["rank"] == rank
        assert said["sum"] == [3.0, 1.0]
        assert said["of_all"] == [{"name": "wörker 0", "long": "x"}, {"name": "wörker 1", "long": "x" * 10}]
        assert said["of_first"] == "said by 0"
        assert said["bytes"]


def test_workers_that_differ_are_refused_with_what_differs_on_each_of_them(ended):
    for name in ("first", "second"):
        assert json.loads(ended[name][1])["refused"] == (
            "Worker 1 runs something else than worker 0: its --epochs is 4, not 3."
        )


def test_after_training_the_first_goes_on_alone(ended):
    assert json.loads(ended["first"][1])["goes_on"] is True
    assert json.loads(ended["second"][1])["goes_on"] is False
    assert json.loads(ended["second"][1])["of_itself"] == 1


def test_a_worker_whose_peer_never_comes_ends_after_the_stated_time(ended):
    status, _, errors = ended["alone"]
    assert status == 1
    assert "worker 0 of 2 waited for the others for 3 s" in errors
    assert "KERASUITE_WAIT_SECONDS" in errors
    assert "Traceback" not in errors


def test_a_port_in_use_is_said(ended):
    status, _, errors = ended["no port"]
    assert status == 1
    assert "is the port in use?" in errors
    assert "Traceback" not in errors
