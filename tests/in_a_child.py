"""What processes of their own do in tests: functions that another process can import."""

import os
import signal
import time

from kerasuite.errors import EnvironmentFault, InputError

FAULTS = {"input": InputError, "environment": EnvironmentFault, "disk": OSError, "other": ValueError}


def answer(kind):
    print("said in the process")
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind in FAULTS:
        raise FAULTS[kind](f"{kind} fault\nand more")
    return os.getpid(), kind


def linger(path):
    path.write_text(str(os.getpid()))
    time.sleep(60)
