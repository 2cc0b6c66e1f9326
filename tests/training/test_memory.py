"""Batches that are too large: a device's memory is played by a layer that takes so many rows."""

import keras
import pytest
import tensorflow as tf
from tiny_training import Pixels, striped

from kerasuite.contracts import Plan
from kerasuite.data import batches
from kerasuite.errors import EnvironmentFault
from kerasuite.training import fit, losses, memory, optimizers


class RoomFor(keras.layers.Layer):
    """Runs out of memory, as TensorFlow says it, from so many rows on."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def call(self, x):
        def refuse(number):
            if number > self.rows:
                raise MemoryError("OOM when allocating tensor with shape[64,8,8,1]")
            return number

        with tf.control_dependencies([tf.numpy_function(refuse, [tf.shape(x)[0]], tf.int32)]):
            return tf.identity(x)


def train(run_dir, rows, strategy=None, flags=None, **options):
    def build():
        inputs = keras.Input((8, 8, 1))
        return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(RoomFor(rows)(inputs))))

    plan = Plan(64, 32, 0)
    return fit.fit(
        build,
        batches.starting_at(striped(64), Pixels(), plan),
        batches.starting_at(striped(64), Pixels(), plan, epochs=1),
        loss=losses.cross_entropy(),
        optimizers=lambda model, num_updates: [(optimizers.optimizer("sgd", 0.1), model.trainable_variables)],
        epochs=1,
        steps_per_epoch=2,
        run_dir=run_dir,
        strategy=strategy,
        tensorboard=False,
        batch_flags=flags or {"--batch-size": 32},
        **options,
    )


def test_the_largest_half_that_fits_is_found_and_told(run_dir):
    with pytest.raises(EnvironmentFault) as fault:
        train(run_dir, rows=9)
    told = str(fault.value)
    assert told.startswith("A batch (--batch-size 32) does not fit into memory (")
    assert "This does, as was tried: --batch-size 8. With --accumulate 4 too" in told


def test_batches_that_are_gathered_already_count(run_dir):
    with pytest.raises(EnvironmentFault, match="--batch-size 8. With --accumulate 8 too"):
        train(run_dir, rows=9, accumulate=2)


def test_a_batch_that_cannot_be_timed_is_told_too(run_dir):
    with pytest.raises(EnvironmentFault, match="This does, as was tried: --batch-size 8"):
        train(run_dir, rows=9, minutes=1.0)


def test_a_full_disk_is_not_taken_for_full_memory():
    full = tf.errors.ResourceExhaustedError(None, None, "run/events; No space left on device")
    with pytest.raises(EnvironmentFault, match="The disk is full"), memory.advising(None, None, {}):
        raise full


def test_devices_share_the_rows(run_dir, two_devices):
    with pytest.raises(EnvironmentFault, match="--batch-size 16. With --accumulate 2"):
        train(run_dir, rows=9, strategy=two_devices)


def test_every_setting_that_makes_a_batch_large_is_told(run_dir):
    with pytest.raises(EnvironmentFault, match="--batch-tokens 512 --batch-size 8"):
        train(run_dir, rows=9, flags={"--batch-tokens": 2048, "--batch-size": 32})


def test_where_not_one_row_fits_another_model_is_advised(run_dir):
    with pytest.raises(EnvironmentFault, match="Nor does a single row"):
        train(run_dir, rows=0)
