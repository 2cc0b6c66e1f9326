"""Where this process stands among those that train together.

It is in TF_CONFIG, the variable that TensorFlow's cluster operators set, or in what Slurm sets. Does not import
TensorFlow by itself.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from kerasuite.errors import InputError

TF_CONFIG, SLURM_TASKS = "TF_CONFIG", "SLURM_STEP_NUM_TASKS"
EXPECTED = 'expected {"cluster": {"worker": ["host0:port", "host1:port"]}, "task": {"type": "worker", "index": 0}}'
# The first of the ports that jobs on Slurm may take; which, goes by the job's number, so that jobs on one node differ.
SLURM_PORTS, SLURM_JOBS = 20_000, 10_000


class Place(NamedTuple):
    """This process among all: `rank` of `count`; the first, 0, alone writes."""

    rank: int
    count: int


def place() -> Place:
    """This process's place, from the environment; (0, 1) where it is alone.

    Raises:
        InputError: TF_CONFIG cannot be used.
    """
    text = os.environ.get(TF_CONFIG)
    if text:
        return _from_tf_config(text)
    count = int(os.environ.get(SLURM_TASKS, 1))
    return Place(int(os.environ["SLURM_PROCID"]), count) if count > 1 else Place(0, 1)


def work_alone() -> None:
    """Forget that there are other workers, for what each process does by itself."""
    for name in (TF_CONFIG, SLURM_TASKS):
        os.environ.pop(name, None)


def _from_tf_config(text: str) -> Place:
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        hosts = [(kind, k) for kind in ("chief", "worker") for k in range(len(cluster.get(kind, ())))]
        here = (task.get("type"), int(task.get("index", -1)))
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{TF_CONFIG} is {text!r}, which is no such JSON ({error}); {EXPECTED}.") from None
    if others := sorted(set(cluster) - {"chief", "worker", "evaluator"}):
        raise InputError(f"{TF_CONFIG} has tasks of type {', '.join(others)}; expected worker, and perhaps chief.")
    if len(hosts) < 2:
        return Place(0, 1)
    if here not in hosts:
        raise InputError(
            f"{TF_CONFIG} says that this is task {here[1]} of type {here[0]}, which its cluster lacks: there are "
            f"{', '.join(f'{kind} {k}' for kind, k in hosts)}; {EXPECTED}."
        )
    return Place(hosts.index(here), len(hosts))


def of_slurm() -> str:
    """TF_CONFIG as Slurm's variables say it. Tasks are numbered node by node, as Slurm does it by itself."""
    from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver as slurm

    nodes = slurm.expand_hostlist(os.environ["SLURM_STEP_NODELIST"])
    counts = slurm.expand_tasks_per_node(os.environ["SLURM_STEP_TASKS_PER_NODE"])
    first = SLURM_PORTS + int(os.environ.get("SLURM_JOB_ID", 0)) % SLURM_JOBS
    hosts = [f"{node}:{first + k}" for node, count in zip(nodes, counts, strict=True) for k in range(count)]
    task = {"type": "worker", "index": int(os.environ["SLURM_PROCID"])}
    return json.dumps({"cluster": {"worker": hosts}, "task": task})
