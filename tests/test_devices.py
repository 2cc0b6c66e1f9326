import platform
import subprocess
import sys

import keras
import pytest
import tensorflow as tf

from kerasuite import devices
from kerasuite.errors import InputError


@pytest.mark.parametrize(
    ("setting", "kind", "replicas"),
    [
        ("auto", tf.distribute.Strategy, 1),
        ("cpu", tf.distribute.OneDeviceStrategy, 1),
        ("cpu:1", tf.distribute.OneDeviceStrategy, 1),
        ("cpu:2", tf.distribute.MirroredStrategy, 2),
    ],
)
def test_a_setting_gives_as_many_replicas_as_it_names(setting, kind, replicas):
    if setting == "auto" and tf.config.list_physical_devices("GPU"):
        pytest.skip("auto uses the GPUs")
    strategy = devices.strategy(setting)
    assert isinstance(strategy, kind)
    assert strategy.num_replicas_in_sync == replicas


def test_gradients_are_summed_as_was_asked():
    asked = devices.strategy("cpu:2", "hierarchical")
    assert isinstance(asked.extended._cross_device_ops, tf.distribute.HierarchicalCopyAllReduce)
    total = asked.reduce(tf.distribute.ReduceOp.SUM, asked.run(lambda: tf.constant(2.0)), axis=None)
    assert float(total) == 4.0


@pytest.mark.parametrize(("setting", "way"), [("cpu:2", "nccl"), ("cpu:2", "ring"), ("cpu", "hierarchical")])
def test_a_way_to_sum_that_the_devices_do_not_have_is_refused(setting, way):
    with pytest.raises(InputError, match=rf"--all-reduce {way} is not for [12] CPU in each of 1 processes"):
        devices.strategy(setting, way)


def test_the_same_devices_are_one_strategy_in_a_process():
    # Two over the same devices number their collective operations alike, and so mix them up.
    assert devices.strategy("cpu:2") is devices.strategy("cpu:2")


@pytest.mark.parametrize("setting", ["gpu", "nonsense", "cpu:", "cpu:-1", "gpu:0,", "", "CPU:1", "cpu:2x"])
def test_a_setting_of_another_form_is_refused_with_the_forms_there_are(setting):
    with pytest.raises(InputError, match="expected auto, cpu, cpu:2"):
        devices.strategy(setting)


def test_a_device_that_does_not_exist_is_named_and_so_are_those_there_are():
    with pytest.raises(InputError, match=r"there is no gpu:97, gpu:98; there is (no GPU|gpu:0)"):
        devices.strategy("gpu:98,97")


def test_no_cpu_is_refused():
    with pytest.raises(InputError, match="cpu:0 names no device"):
        devices.strategy("cpu:0")


def test_more_logical_cpus_than_tensorflow_has_started_with_are_refused_with_the_way_out():
    with pytest.raises(InputError, match="restart the kernel"):
        devices.strategy("cpu:64")


def test_bfloat16_holds_within_and_ends_with_an_error_too():
    asked = lambda: tf.config.optimizer.get_experimental_options().get(  # noqa: E731
        "auto_mixed_precision_onednn_bfloat16", False
    )
    policy = keras.config.dtype_policy().name
    within = []

    @devices.precision("bfloat16")
    def fails():
        within.append(asked() or keras.config.dtype_policy().name == "mixed_bfloat16")
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert within == [True]
    assert not asked()
    assert keras.config.dtype_policy().name == policy


def test_an_arithmetic_within_another_ends_with_that_other():
    option = lambda: tf.config.optimizer.get_experimental_options()["auto_mixed_precision_onednn_bfloat16"]  # noqa: E731
    with devices.precision("bfloat16"):
        before = option()
        with devices.precision("float32"):
            assert not option()
        assert option() == before


def test_the_description_names_versions_devices_and_replicas(two_devices):
    found = devices.describe(two_devices)
    assert found["tensorflow"] == tf.__version__
    assert found["replicas"] == 2
    assert "/device:CPU:1" in found["devices"]
    assert all(found[name] for name in ("kerasuite", "python", "keras", "numpy", "platform", "processor", "cores"))


def test_an_import_that_fails_shows_what_was_printed_and_a_good_one_nothing():
    code = (
        "import os, sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'tensorflow':\n"
        "            os.write(2, b'the reason')\n"
        "            raise ImportError('broken')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "from kerasuite import devices\n"
        "devices.import_tensorflow()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "the reason" in done.stderr
    assert "ImportError: broken" in done.stderr


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="what oneDNN is on elsewhere is TensorFlow's")
@pytest.mark.parametrize(("said", "is_on"), [(None, True), ("0", False)])
def test_onednn_computes_unless_the_environment_says_otherwise(monkeypatch, said, is_on):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if said:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", said)
    code = (
        "from kerasuite import devices\n"
        "devices.import_tensorflow()\n"
        "from tensorflow.python.util import _pywrap_util_port as built\n"
        "print(built.IsMklEnabled())\n"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == str(is_on)


@pytest.mark.parametrize(("rows", "batch_size", "words"), [(1, 8, "1 training rows"), (9, 1, "--batch-size 1 ")])
def test_fewer_rows_than_devices_are_refused(two_devices, rows, batch_size, words):
    with pytest.raises(InputError, match=f"{words}.*2 devices"):
        devices.refuse_too_few(two_devices, rows, batch_size)
    devices.refuse_too_few(two_devices, 2, 3)
