import json

import keras
import numpy as np
import pytest
from tiny_training import train

from kerasuite.errors import InputError
from kerasuite.training import budget
from kerasuite.training.budget import Measured, batches_within
from kerasuite.training.loop import Length


@pytest.fixture(autouse=True)
def measured_briefly(monkeypatch):
    monkeypatch.setattr(budget, "LEAST_SECONDS", 0.1)
    monkeypatch.setattr(budget, "MOST_SECONDS", 0.1)


@pytest.mark.parametrize(
    ("seconds", "fits"),
    [
        # An epoch of 10 batches is 10 s, and a validation 2.
        (24.0, 20),  # two whole ones
        (30.0, 24),  # 6 s are left, 2 of them for a validation
        (25.5, 20),  # what is left is not enough for a validation
        (1e9, 50),
        (2.5, 0),
        (-1.0, 0),
    ],
)
def test_each_epoch_that_fits_ends_with_its_validation(seconds, fits):
    assert batches_within(seconds, Measured(1.0, 2.0), steps_per_epoch=10, most=50) == fits


def test_the_last_step_of_an_epoch_takes_what_batches_are_left():
    # 10 batches an epoch by threes are 4 steps; the 5 of the last epoch are 2.
    assert Length(10, 25, accumulate=3).updates == 10
    assert Length(10, 25).updates == 25
    assert Length(10, 25).epochs == 3
    assert [Length(10, 25).end(epoch) for epoch in range(3)] == [10, 20, 25]


def test_the_learning_rate_ends_where_the_minutes_do(run_dir, capsys):
    whole = train(run_dir / "whole", epochs=3)
    fitted = train(run_dir, epochs=10_000, minutes=0.05)
    made = json.loads((run_dir / "environment.json").read_text())["minutes"]
    assert 0 < made["batches"] < 50_000
    assert len(fitted.history) == -(-made["batches"] // 5)
    # one_cycle ends at a ten-thousandth of its peak; the rate is that of the step after the last.
    assert fitted.history[-1]["learning_rate"] == pytest.approx(1e-6, rel=1e-3)
    assert fitted.history[-1]["learning_rate"] == pytest.approx(whole.history[-1]["learning_rate"], rel=1e-3)
    assert f"{made['batches']:,} batches" in capsys.readouterr().out


def test_a_training_that_fits_is_as_it_would_be_without_a_limit(run_dir, tmp_path, capsys):
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole", model={"dropout": 0.3})
    fitted = train(run_dir, model={"dropout": 0.3}, minutes=60.0)
    assert "All 3 epochs fit into 60 minutes." in capsys.readouterr().out
    assert fitted.history == whole.history
    for a, b in zip(fitted.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_resumed_run_keeps_the_length_that_was_found(run_dir, monkeypatch, tmp_path):
    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("killed")

    monkeypatch.setattr(budget, "measure", lambda *arguments: Measured(0.1, 0.1))
    options = {"epochs": 9, "minutes": 2.0 / 60, "model": {"dropout": 0.3}}
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole", **options)
    assert len(whole.history) == 4  # 2 s: three of 0.6 s, then one batch and a validation
    with pytest.raises(RuntimeError, match="killed"):
        train(run_dir, callbacks=[Kill()], **options)
    monkeypatch.setattr(budget, "measure", lambda *arguments: pytest.fail("measured again"))
    again = train(run_dir, **options)
    assert again.history == whole.history


def test_minutes_that_are_too_few_for_a_batch_are_refused(run_dir):
    with pytest.raises(InputError, match=r"--minutes leaves 1.7e-05 for training, where one batch takes"):
        train(run_dir, minutes=1e-3 / 60)
