"""Two logical CPU devices for every test."""

import os

import pytest

# Plots are drawn without a screen.
os.environ["MPLBACKEND"] = "Agg"

from kerasuite import devices

devices.import_tensorflow()
# One device leaves the second unused, so every test can run among those that need two.
TWO = devices.strategy("cpu:2")


@pytest.fixture
def two_devices():
    return TWO


@pytest.fixture
def run_dir(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path
