"""Where exactly a run may be interrupted: at every step, and between the files that an epoch leaves."""

import os
import signal

import keras
import numpy as np
import pytest

from kerasuite.contracts import Examples, Plan
from kerasuite.data import batches
from kerasuite.models import mlp
from kerasuite.training import fit, history, interruption, loop, losses, optimizers

EPOCHS, STEPS = 3, 3


class Pixels:
    def is_encoded(self, examples):
        return True

    def collate(self, rows):
        return keras.ops.cast(rows, "float32")


class SignalAt(keras.callbacks.Callback):
    """Sends this process a signal after a step, counted from 1 over all epochs."""

    def __init__(self, step, number):
        super().__init__()
        self.left, self.number = step, number

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


def train(run_dir, callbacks=()):
    keras.utils.set_random_seed(1)
    images = np.random.default_rng(0).integers(0, 255, (40, 4, 4, 1), np.uint8)
    examples, plan = Examples({"image": images}, np.arange(40) % 2), Plan(40, 16, 0)
    return fit.fit(
        lambda: mlp.build((4, 4), 1, 2, hidden=(4,), dropout=0.5),
        batches.starting_at(examples, Pixels(), plan),
        batches.starting_at(examples, Pixels(), Plan(40, 16, 0, shuffle=False), epochs=1),
        loss=losses.cross_entropy(),
        optimizers=lambda model, num_updates: [(optimizers.optimizer("adam", 0.01), model.trainable_variables)],
        epochs=EPOCHS,
        steps_per_epoch=STEPS,
        run_dir=run_dir,
        callbacks=callbacks,
        tensorboard=False,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its result and its history.csv."""
    folder = tmp_path_factory.mktemp("whole")
    return train(folder), (folder / "history.csv").read_text()


def assert_same(run_dir, fitted, whole):
    assert fitted.history == whole[0].history
    assert (run_dir / "history.csv").read_text() == whole[1]
    for a, b in zip(fitted.model.get_weights(), whole[0].model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# Step 3 ends an epoch.
@pytest.mark.parametrize(("step", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM), (3, signal.SIGINT)])
def test_a_signal_after_any_step_leaves_a_checkpoint_from_which_the_run_is_the_same(
    run_dir, whole, monkeypatch, step, number
):
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)  # one step a call
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(interruption.Interrupted):
        train(run_dir, [SignalAt(step, number)])
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert_same(run_dir, train(run_dir), whole)


def test_a_signal_after_the_very_last_step_loses_nothing(run_dir, whole, monkeypatch):
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)
    with pytest.raises(interruption.Interrupted):
        train(run_dir, [SignalAt(EPOCHS * STEPS, signal.SIGINT)])
    assert_same(run_dir, train(run_dir), whole)


@pytest.mark.parametrize("epoch", [2, EPOCHS])
def test_a_kill_between_an_epochs_checkpoint_and_its_line_of_history_loses_no_line(run_dir, whole, monkeypatch, epoch):
    write = history.write

    def killed(folder, epochs):
        if len(epochs) == epoch:
            raise RuntimeError("killed")
        write(folder, epochs)

    monkeypatch.setattr(history, "write", killed)
    with pytest.raises(RuntimeError, match="killed"):
        train(run_dir)
    monkeypatch.setattr(history, "write", write)
    assert_same(run_dir, train(run_dir), whole)
