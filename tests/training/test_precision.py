import numpy as np
import pytest
import tensorflow as tf

from kerasuite.models import mlp
from kerasuite.training import losses, precision


def build():
    return mlp.build((4, 4), 1, 2, hidden=(4,))


def batches(step):
    rng = np.random.default_rng(step)
    x = rng.integers(0, 255, (8, 4, 4, 1)).astype(np.float32)
    return tf.data.Dataset.from_tensors((x, np.arange(8, dtype=np.int32) % 2, np.ones(8, np.float32)))


@pytest.mark.parametrize("setting", ["float32", "bfloat16"])
def test_a_setting_is_taken_at_its_word_and_nothing_is_measured(setting):
    def never(*args):
        raise AssertionError("measured")

    assert precision.choose(setting, never, never, losses.cross_entropy()) == {"used": setting}


@pytest.mark.parametrize("faster", ["float32", "bfloat16"])
def test_auto_takes_the_faster_and_says_what_was_measured(monkeypatch, faster):
    seconds = {"float32": 2.0, "bfloat16": 2.0} | {faster: 1.0}
    monkeypatch.setattr(precision, "_seconds", lambda name, *rest: seconds[name])
    found = precision.choose("auto", build, batches, losses.cross_entropy())
    assert found == {"used": faster, "seconds": seconds}


def test_auto_measures_a_gradient_each_way_and_leaves_the_arithmetic_as_it_was():
    before = tf.config.optimizer.get_experimental_options().get("auto_mixed_precision_onednn_bfloat16", False)
    found = precision.choose("auto", build, batches, losses.cross_entropy())
    assert set(found["seconds"]) == {"float32", "bfloat16"}
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert tf.config.optimizer.get_experimental_options()["auto_mixed_precision_onednn_bfloat16"] == before


@pytest.mark.parametrize(("fits", "used"), [({"float32"}, "float32"), ({"bfloat16"}, "bfloat16"), (set(), "float32")])
def test_an_arithmetic_that_finds_no_memory_is_not_taken(monkeypatch, fits, used):
    def seconds(name, *rest):
        if name not in fits:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")
        return 1.0

    monkeypatch.setattr(precision, "_seconds", seconds)
    found = precision.choose("auto", build, batches, losses.cross_entropy())
    assert found == {"used": used, "seconds": dict.fromkeys(fits, 1.0)}


def test_a_replicas_share_of_a_batch_is_measured(monkeypatch):
    rows = []
    monkeypatch.setattr(precision, "_seconds", lambda name, build, batch, loss: rows.append(len(batch[0])) or 1.0)
    precision.choose("auto", build, batches, losses.cross_entropy(), replicas=4)
    assert rows == [2, 2]
