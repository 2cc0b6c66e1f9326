"""Which worker a process is."""

import json

import pytest

from kerasuite import cluster
from kerasuite.errors import InputError


def config(*, workers=2, index=0, kind="worker", **more):
    hosts = {"worker": [f"host{k}:2222" for k in range(workers)], **more}
    return json.dumps({"cluster": hosts, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (None, (0, 1)),
        ("", (0, 1)),
        ("{}", (0, 1)),
        (config(workers=1), (0, 1)),
        (config(index=1), (1, 2)),
        (config(chief=["host9:2222"], index=1), (2, 3)),
        (config(chief=["host9:2222"], kind="chief"), (0, 3)),
    ],
)
def test_a_place_is_that_of_tf_config(monkeypatch, text, place):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    assert cluster.place() == place


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not JSON", "'not JSON', which is no such JSON"),
        ("[1]", "no such JSON"),
        (config(index=2), "this is task 2 of type worker, which its cluster lacks: there are worker 0, worker 1"),
        (json.dumps({"cluster": {"worker": ["a:1", "b:1"]}}), "task -1 of type None, which its cluster lacks"),
        (config(ps=["host9:1"]), "tasks of type ps; expected worker"),
    ],
)
def test_a_tf_config_that_says_no_place_is_refused_with_what_is_expected(monkeypatch, text, said):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=said):
        cluster.place()


def test_a_place_is_slurms_where_there_is_no_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert cluster.place() == (3, 4)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert cluster.place() == (0, 1)


@pytest.mark.parametrize(
    ("nodes", "counts", "rank", "hosts"),
    [
        ("localhost", "2", 1, ["localhost:20042", "localhost:20043"]),
        ("node[9-10]", "1(x2)", 0, ["node9:20042", "node10:20042"]),
        ("a,b", "2,1", 2, ["a:20042", "a:20043", "b:20042"]),
    ],
)
def test_slurms_tasks_are_numbered_node_by_node_with_ports_of_their_job(monkeypatch, nodes, counts, rank, hosts):
    known = {"NODELIST": nodes, "TASKS_PER_NODE": counts}
    for name, value in known.items():
        monkeypatch.setenv(f"SLURM_STEP_{name}", value)
    monkeypatch.setenv("SLURM_JOB_ID", "70042")
    monkeypatch.setenv("SLURM_PROCID", str(rank))
    found = json.loads(cluster.of_slurm())
    assert found == {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": rank}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(found))
    assert cluster.place() == (rank, len(hosts))


def test_what_works_alone_knows_of_no_others(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config(index=1))
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    cluster.work_alone()
    assert cluster.place() == (0, 1)
