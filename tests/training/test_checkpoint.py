import errno
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite import workers
from kerasuite.errors import InputError
from kerasuite.training import checkpoint

ALONE = workers.Team(tf.distribute.get_strategy())


def test_the_state_comes_back_with_its_arrays_wherever_they_stand(tmp_path):
    state = {
        "step": 7,
        "sums": np.array([1.5, 2.5]),
        "history": [{"loss": 0.25}],
        "callbacks": [{"best_weights": [np.arange(3), np.eye(2)], "best": np.float64(0.125)}],
        "stopped": False,
        "nothing": None,
    }
    checkpoint.save(tmp_path / "checkpoints", 7, [], state)
    found = checkpoint.restore(tmp_path / "checkpoints", [], ALONE)
    np.testing.assert_array_equal(found.pop("sums"), [1.5, 2.5])
    first, second = found["callbacks"][0].pop("best_weights")
    np.testing.assert_array_equal(first, [0, 1, 2])
    np.testing.assert_array_equal(second, np.eye(2))
    assert found == {
        "step": 7,
        "history": [{"loss": 0.25}],
        "callbacks": [{"best": 0.125}],
        "stopped": False,
        "nothing": None,
    }


def test_the_newest_checkpoint_is_restored(tmp_path):
    variable = tf.Variable(0.0)
    for step in (2, 10):
        variable.assign(float(step))
        checkpoint.save(tmp_path, step, [variable], {"step": step})
    variable.assign(-1.0)
    assert checkpoint.restore(tmp_path, [variable], ALONE) == {"step": 10}
    assert variable.numpy() == 10.0


def test_each_devices_own_copy_of_a_statistic_comes_back(tmp_path, two_devices):
    with two_devices.scope():
        statistic = tf.Variable(
            0.0,
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
        )
    for value, copy in zip((1.0, 5.0), statistic.values, strict=True):
        copy.assign(value)
    checkpoint.save(tmp_path, 1, [statistic], {})
    for copy in statistic.values:
        copy.assign(0.0)
    checkpoint.restore(tmp_path, [statistic], ALONE)
    assert [copy.numpy() for copy in statistic.values] == [1.0, 5.0]


def test_a_full_disk_keeps_the_last_good_checkpoint_and_training_goes_on(tmp_path, monkeypatch, capsys):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert checkpoint.save(tmp_path, 1, [], {"step": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert not checkpoint.save(tmp_path, 2, [], {"step": 2})
    assert "Warning: no checkpoint at step 2" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001.ckpt"]
    assert checkpoint.restore(tmp_path, [], ALONE) == {"step": 1}


def test_a_checkpoint_of_other_shapes_is_refused_and_no_variable_changed(tmp_path):
    checkpoint.save(tmp_path, 1, [tf.Variable([1.0, 2.0])], {})
    other = tf.Variable([7.0])
    with pytest.raises(InputError, match="other settings or another number of devices"):
        checkpoint.restore(tmp_path, [other], ALONE)
    assert other.numpy().tolist() == [7.0]


def test_where_every_checkpoint_is_damaged_there_is_none(tmp_path, capsys):
    checkpoint.save(tmp_path, 1, [], {"step": 1})
    (tmp_path / "step-0000000001.ckpt").write_bytes(json.dumps({}).encode())
    assert checkpoint.restore(tmp_path, [], ALONE) is None
    assert "is damaged" in capsys.readouterr().err


def test_each_replica_draws_numbers_of_its_own_and_goes_on_with_them(two_devices, tmp_path):
    with two_devices.scope():
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dropout(0.5, seed=3)])
    team = workers.Team(two_devices)

    @tf.function
    def masks():
        return two_devices.run(lambda: model(tf.ones((4, 8)), training=True))

    def drawn():
        return [mask.numpy() for mask in two_devices.experimental_local_results(masks())]

    first, second = drawn()
    np.testing.assert_array_equal(first, second)
    checkpoint.part_draws(model.variables, team)
    first, second = drawn()
    assert (first != second).any()

    checkpoint.save(tmp_path, 1, model.variables, {})
    after = drawn()
    assert checkpoint.restore(tmp_path, model.variables, team) == {}
    checkpoint.part_draws(model.variables, team)
    np.testing.assert_array_equal(drawn(), after)
