import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from in_a_child import answer

from kerasuite.commands.sweeps import children
from kerasuite.commands.sweeps.children import ChildError
from kerasuite.errors import EnvironmentFault, InputError


def test_a_call_is_answered_by_another_process_and_its_output_kept(tmp_path):
    pid, kind = children.call(answer, "fine", log=tmp_path / "log.txt")
    assert (kind, pid != os.getpid()) == ("fine", True)
    children.call(answer, "fine", log=tmp_path / "log.txt")
    assert (tmp_path / "log.txt").read_text() == "said in the process\n" * 2


@pytest.mark.parametrize(
    ("kind", "expected", "says"),
    [
        ("input", InputError, "input fault"),
        ("environment", EnvironmentFault, "environment fault"),
        ("disk", EnvironmentFault, "disk fault"),
        ("other", ChildError, "ValueError: other fault$"),
        ("killed", ChildError, "ended by SIGKILL: probably out of memory"),
    ],
)
def test_what_goes_wrong_there_is_told_here(tmp_path, kind, expected, says):
    with pytest.raises(expected, match=says):
        children.call(answer, kind, log=tmp_path / "log.txt")
    assert ("Traceback" in (tmp_path / "log.txt").read_text()) == (kind == "other")


def test_a_process_ends_with_the_one_that_began_it(tmp_path):
    path = tmp_path / "pid"
    code = (
        "from pathlib import Path; from in_a_child import linger; from kerasuite.commands.sweeps import children;"
        f"children.call(linger, Path({str(path)!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    await_(path.is_file)
    await_(lambda: path.read_text())
    parent.kill()
    parent.wait()
    await_(lambda: not os.path.exists(f"/proc/{path.read_text()}") or zombie(path.read_text()))


def zombie(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "Z"


def await_(holds, seconds=60):
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds
        time.sleep(0.05)
