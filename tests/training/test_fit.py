import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_training import Noise, Pixels, striped, train

from kerasuite.contracts import Plan
from kerasuite.data import batches
from kerasuite.errors import InputError
from kerasuite.models import cnn
from kerasuite.training import checkpoint, fit, interruption, losses, optimizers


class StopAt(keras.callbacks.Callback):
    """Raises in the middle of an epoch, as a kill would end it."""

    def __init__(self, batch, epoch):
        super().__init__()
        self.at = (epoch, batch)
        self.now = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) >= self.at:
            raise RuntimeError("killed")


def test_the_training_loss_falls_and_a_learnable_task_is_learnt(run_dir):
    fitted = train(run_dir, epochs=8)
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"] / 2
    assert fitted.history[-1]["val_accuracy"] > 0.9


def test_the_first_loss_is_the_mean_over_the_rows_with_the_fillers_left_out(run_dir):
    # At rate 0 every step sees the initial weights, and without batch statistics the mean can be taken by NumPy.
    fitted = train(run_dir, epochs=1, learning_rate=0.0, model={"batch_norm": False})
    examples = striped(70)
    logits = fitted.model(tf.cast(examples.inputs["image"], tf.float32)).numpy().astype(np.float64)
    own = np.log(np.exp(logits).sum(1)) - logits[np.arange(70), examples.labels]
    assert fitted.history[0]["loss"] == pytest.approx(own.mean(), abs=1e-6)


def test_the_epoch_is_chosen_by_what_is_monitored(run_dir):
    # The measure rises with what the loss would have chosen against: how sure the model is, right or wrong.
    sure = {"sure": lambda y, logits: tf.reduce_max(tf.abs(logits), -1)}
    fitted = train(run_dir, epochs=4, held_out_measures=sure, monitor="sure")
    assert set(fitted.history[0]) == {"loss", "accuracy", "val_loss", "val_sure", "learning_rate"}
    best = max(row["val_sure"] for row in fitted.history)
    x = tf.cast(striped(30, seed=1).inputs["image"], tf.float32)
    assert np.abs(fitted.model(x, training=False)).max(1).mean() == pytest.approx(best, rel=1e-4)


def test_of_epochs_that_are_equally_good_the_one_of_the_lower_loss_is_kept(run_dir):
    same = {"same": lambda y, logits: tf.ones_like(logits[:, 0])}
    fitted = train(run_dir, epochs=4, held_out_measures=same, monitor="same")
    lowest = min(row["val_loss"] for row in fitted.history)
    assert lowest < fitted.history[0]["val_loss"]
    assert fitted.best["val_loss"] == lowest
    assert fitted.kept == {"epoch": 1 + [row["val_loss"] for row in fitted.history].index(lowest), "by": "val_same"}
    examples = striped(30, seed=1)
    logits = fitted.model(tf.cast(examples.inputs["image"], tf.float32), training=False)
    assert losses.cross_entropy()(examples.labels, logits).numpy().mean() == pytest.approx(lowest, rel=1e-4)


@pytest.mark.parametrize("batch_size", [16, 15])
def test_one_device_and_two_give_the_same_losses(run_dir, two_devices, tmp_path, batch_size):
    # 70 rows: the last batch is short, and one of 15 cannot be halved; batch normalisation is synchronised.
    alone = train(run_dir, batch_size=batch_size)
    (tmp_path / "two").mkdir()
    together = train(tmp_path / "two", strategy=two_devices, batch_size=batch_size)
    for one, two in zip(alone.history, together.history, strict=True):
        assert one == pytest.approx(two, abs=1e-5)


@pytest.mark.parametrize("devices", ["one", "two"])
def test_a_run_that_was_cut_off_ends_with_the_very_same_weights(run_dir, tmp_path, two_devices, devices):
    options = {
        "strategy": two_devices if devices == "two" else None,
        "augment": Noise(),
        "model": {"dropout": 0.5},
        "checkpoint_seconds": 0.0,
    }
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole", **options)
    with pytest.raises(RuntimeError, match="killed"):
        train(run_dir, callbacks=[StopAt(2, epoch=1)], **options)
    resumed = train(run_dir, **options)
    assert resumed.history == whole.history
    for a, b in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_finished_training_is_not_trained_again(run_dir):
    first = train(run_dir)
    again = train(run_dir, callbacks=[StopAt(0, epoch=0)])
    assert again.history == first.history
    np.testing.assert_array_equal(again.model.get_weights()[0], first.model.get_weights()[0])


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(run_dir, tmp_path, capsys):
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole")
    train(run_dir)
    newest = sorted((run_dir / "checkpoints").iterdir())[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    resumed = train(run_dir)
    assert f"{newest} is damaged" in capsys.readouterr().err
    np.testing.assert_array_equal(resumed.model.get_weights()[0], whole.model.get_weights()[0])


def test_a_checkpoint_of_another_model_is_refused(run_dir):
    train(run_dir, epochs=1)
    with pytest.raises(InputError, match="other settings"):
        train(run_dir, epochs=2, model={"filters": (3, 5)})


def test_two_checkpoints_are_kept(run_dir):
    train(run_dir, checkpoint_seconds=0.0)
    assert len(list((run_dir / "checkpoints").iterdir())) == checkpoint.KEPT


def test_training_stops_when_the_validation_loss_no_longer_falls_and_keeps_the_best_weights(run_dir):
    fitted = train(run_dir, epochs=40, patience=2, learning_rate=0.5, model={"batch_norm": False})
    losses_seen = [row["val_loss"] for row in fitted.history]
    assert len(fitted.history) < 40
    validation = striped(30, seed=1)
    logits = fitted.model(tf.cast(validation.inputs["image"], tf.float32))
    best = tf.reduce_mean(losses.cross_entropy()(validation.labels, logits))
    assert float(best) == pytest.approx(min(losses_seen), rel=1e-4)


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_flag(run_dir):
    with pytest.raises(InputError, match="--learning-rate"):
        train(run_dir, epochs=30, learning_rate=1e30, model={"batch_norm": False})


def test_history_is_written_a_line_an_epoch(run_dir):
    train(run_dir, epochs=2)
    lines = (run_dir / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2"]


def test_each_group_of_variables_follows_its_own_optimizer(run_dir):
    before = {}

    def two_rates(model, num_updates):
        before.update({v.path: v.numpy() for v in model.trainable_variables})
        head = [v for v in model.trainable_variables if "logits" in v.path]
        body = [v for v in model.trainable_variables if "logits" not in v.path]
        return [(optimizers.optimizer("sgd", 0.1), head), (optimizers.optimizer("sgd", 0.0), body)]

    examples = striped(32)
    plan = Plan(32, 16, 0)
    fitted = fit.fit(
        lambda: cnn.build((8, 8), 1, 3, filters=(4, 8)),
        batches.starting_at(examples, Pixels(), plan),
        batches.starting_at(examples, Pixels(), plan, epochs=1),
        loss=losses.cross_entropy(),
        optimizers=two_rates,
        epochs=1,
        steps_per_epoch=2,
        run_dir=run_dir,
        tensorboard=False,
    )
    after = {v.path: v.numpy() for v in fitted.model.trainable_variables}
    moved = {path for path in after if not np.array_equal(after[path], before[path])}
    assert moved == {path for path in after if "logits" in path}


@pytest.mark.parametrize("epochs", [(1,), (1, 2)])
def test_a_training_that_was_paused_goes_on_to_the_very_same_weights(run_dir, tmp_path, epochs):
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole", model={"dropout": 0.3})
    for epoch in epochs:
        with (
            interruption.pausing(lambda history, epoch=epoch: len(history) >= epoch),
            pytest.raises(interruption.Paused) as paused,
        ):
            train(run_dir, model={"dropout": 0.3})
        assert paused.value.history == whole.history[:epoch]
    again = train(run_dir, model={"dropout": 0.3})
    assert again.history == whole.history
    for a, b in zip(again.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_training_that_is_done_is_not_paused(run_dir):
    with interruption.pausing(lambda history: len(history) >= 3):
        assert len(train(run_dir).history) == 3


def test_the_best_epoch_is_that_of_the_lowest_validation_loss(run_dir):
    fitted = train(run_dir)
    assert fitted.best == min(fitted.history, key=lambda row: row["val_loss"])


def test_validation_is_in_float32_whatever_training_is_in(run_dir):
    fitted = train(run_dir, epochs=2, precision="bfloat16")
    validation = striped(30, seed=1)
    logits = fitted.model(tf.cast(validation.inputs["image"], tf.float32))
    expected = np.mean(keras.losses.sparse_categorical_crossentropy(validation.labels, logits, from_logits=True))
    assert fitted.best["val_loss"] == pytest.approx(float(expected), rel=1e-5)
