"""Residual networks against the published ones."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from kerasuite.models import resnet


# Trainable parameters as torchvision's documentation lists them.
@pytest.mark.parametrize(
    ("name", "number"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)]
)
def test_a_published_shape_has_its_number_of_parameters(name, number):
    model = resnet.build((224, 224), 3, 1000, **resnet.SHAPES[name])
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == number


def test_the_weights_of_resnet14_are_small_enough_to_ship():
    assert Path(resources.files("kerasuite") / "samples" / "resnet14.npz").stat().st_size < 3e6


def test_resnet14_has_fourteen_layers_one_after_another():
    model = resnet.build((32, 32), 3, 10, **resnet.SHAPES["resnet14"])
    # The stem, a convolution and a block of two in each of four stages, and the logits.
    names = [layer.name for layer in model.layers if hasattr(layer, "kernel") and "shortcut" not in layer.name]
    assert len(names) == 14


def test_each_stage_after_the_first_halves_the_map():
    model = resnet.build((64, 48), 3, None, blocks=(2, 1, 1), filters=(8, 16, 32))
    shapes = [model.get_layer(f"stage_{k}").output.shape[1:] for k in (1, 2, 3)]
    assert shapes == [(64, 48, 8), (32, 24, 16), (16, 12, 32)]


def test_with_pooling_each_stage_halves_the_map():
    model = resnet.build((64, 48), 3, None, **resnet.SHAPES["resnet14"])
    shapes = [model.get_layer(f"stage_{k}").output.shape[1:] for k in (1, 2, 3, 4)]
    assert shapes == [(32, 24, 64), (16, 12, 128), (8, 6, 160), (4, 3, 160)]


def test_a_photo_stem_leaves_a_quarter():
    model = resnet.build((64, 64), 3, None, blocks=(1, 1), filters=(4, 8), stem="photo", kind="bottleneck")
    assert [model.get_layer(f"stage_{k}").output.shape[1:] for k in (1, 2)] == [(16, 16, 16), (8, 8, 32)]


def test_a_model_without_a_size_takes_images_of_any():
    model = resnet.build((None, None), 3, None, blocks=(1,), filters=(4,))
    assert model(np.zeros((1, 9, 7, 3), np.float32)).shape == (1, 9, 7, 4)


def test_a_block_starts_as_the_identity():
    model = resnet.build((8, 8), 3, None, blocks=(1,), filters=(4,))
    x = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    stem = type(model)(model.input, model.get_layer("stem_relu").output)
    np.testing.assert_allclose(model(x), stem(x), atol=1e-6)
