"""Two logical CPU devices for every test."""

import os

import numpy as np
import pytest
import tyro  # noqa: F401  before any doctest: it fails to import where builtins._ holds what cannot be hashed

# Plots are drawn without a screen.
os.environ["MPLBACKEND"] = "Agg"

from kerasuite import devices

devices.import_tensorflow()
# One device leaves the second unused, so every test can run among those that need two.
TWO = devices.strategy("cpu:2")


@pytest.fixture(autouse=True)
def the_same_draws_each_time():
    """Begin every test at one seed: a rare draw, such as a network of dead units, fails no run in a hundred."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture
def two_devices():
    return TWO


@pytest.fixture
def run_dir(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
def refuse_other_weights(tmp_path, monkeypatch):
    """Train once in one go, and once cut off before an epoch and gone on with: weights and history must be the same."""

    from kerasuite.training import loop

    def refuse_other_weights(train, epochs_before=1):
        whole = train(tmp_path / "whole")
        original, seen = loop.Loop.epoch, []

        def cut_off(self, *arguments):
            if len(seen) == epochs_before:
                raise KeyboardInterrupt
            seen.append(1)
            original(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(loop.Loop, "epoch", cut_off)
            with pytest.raises(KeyboardInterrupt):
                train(tmp_path / "cut")
        again = train(tmp_path / "cut")
        for a, b in zip(again.model.get_weights(), whole.model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert again.history == whole.history

    return refuse_other_weights
