"""A training in several stages: each goes on from what the one before left."""

import csv
import os
import signal

import keras
import numpy as np
import pytest

from kerasuite.contracts import Examples, Plan
from kerasuite.data import batches
from kerasuite.models import mlp
from kerasuite.training import fit, interruption, losses, optimizers


class Pixels:
    def is_encoded(self, examples):
        return True

    def collate(self, rows):
        return keras.ops.cast(rows, "float32")


class SignalAtEpoch(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def train(run_dir, interrupt=None):
    """Two stages of three epochs; `interrupt` is (stage, epoch counted from 0)."""
    images = np.random.default_rng(0).integers(0, 255, (40, 4, 4, 1), np.uint8)
    examples, plan = Examples({"image": images}, np.arange(40) % 2), Plan(40, 16, 0)
    fitted = None
    for stage in ("first", "second"):
        keras.utils.set_random_seed(1)
        start = mlp.build((4, 4), 1, 2, hidden=(4,), dropout=0.5) if fitted is None else fitted.model

        def build(start=start):
            copy = keras.models.clone_model(start)
            copy.set_weights(start.get_weights())
            return copy

        fitted = fit.fit(
            build,
            batches.starting_at(examples, Pixels(), plan),
            batches.starting_at(examples, Pixels(), Plan(40, 16, 0, shuffle=False), epochs=1),
            loss=losses.cross_entropy(),
            optimizers=lambda model, num_updates: [(optimizers.optimizer("adam", 0.01), model.trainable_variables)],
            epochs=3,
            steps_per_epoch=3,
            run_dir=run_dir,
            callbacks=[SignalAtEpoch(interrupt[1])] if interrupt and interrupt[0] == stage else [],
            tensorboard=False,
            stage=stage,
            before=fitted,
        )
    return fitted


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return train(folder), (folder / "history.csv").read_text()


def test_the_history_has_the_epochs_of_both_stages_one_after_another(whole):
    rows = list(csv.DictReader(whole[1].splitlines()))
    assert [row["epoch"] for row in rows] == list("123456")
    assert [row["stage"] for row in rows] == ["first"] * 3 + ["second"] * 3
    assert [row["loss"] for row in rows] == [str(row["loss"]) for row in whole[0].history]


def test_the_second_stage_starts_where_the_first_ended(whole):
    losses = [row["val_loss"] for row in whole[0].history]
    assert losses[3] < losses[0]


@pytest.mark.parametrize("interrupt", [("first", 1), ("first", 2), ("second", 0)])
def test_a_run_stopped_in_either_stage_goes_on_to_the_same_weights(run_dir, whole, interrupt):
    with pytest.raises(interruption.Interrupted):
        train(run_dir, interrupt)
    fitted = train(run_dir)
    assert (run_dir / "history.csv").read_text() == whole[1]
    for a, b in zip(fitted.model.get_weights(), whole[0].model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
