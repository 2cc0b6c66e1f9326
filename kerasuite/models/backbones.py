"""Pretrained networks from wherever they come: pixels 0-255 to features."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from kerasuite.errors import InputError
from kerasuite.models import applications, efficientnet_lite, graph, hub, keras_file, resnet
from kerasuite.models.applications import first_line
from kerasuite.models.graph import cuts, last_stage_cut, split

__all__ = ["Backbone", "cuts", "last_stage_cut", "load", "load_npz", "names", "split"]

Preprocessing = Literal["none", "unit", "signed", "lite", "imagenet"]

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What pixels 0-255 are multiplied by, and what is added then.
PREPROCESSING = {
    "unit": (1 / 255, 0.0),
    "signed": (1 / 127.5, -1.0),
    "lite": (1 / 128, -127 / 128),
    "imagenet": ([1 / 255 / s for s in _DEVIATION], [-m / s for m, s in zip(_MEAN, _DEVIATION)]),
}
_LITE = "efficientnet_lite0"
_OWN = {"resnet14": (32, 32), "resnet18": (224, 224), "resnet34": (224, 224)}
_PACKAGED = {"resnet14": "resnet14.npz"}


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier."""

    name: str
    """As it was asked for."""
    model: keras.Model
    """Functional: float32 RGB pixels 0-255 (batch, height, width, 3) to features, a map (batch, height', width',
    channels) or a vector (batch, channels). What the network expects of pixels is done in its first layers."""
    weights_digest: str
    """Of all weights, in order, and of what is computed with them: 32 hexadecimal digits."""
    feature_layer: str
    """The layer whose output the features are."""


def load(
    name: str,
    image_size: tuple[int, int] | None,
    *,
    weights: str | Path | None = None,
    feature_layer: str | None = None,
    preprocessing: Preprocessing | None = None,
    pretrained: bool = True,
) -> Backbone:
    """A backbone by name, file or handle.

    Args:
        name: a classifier of keras.applications (`names()`), `efficientnet_lite0`, `resnet14` (or 18 or 34, without
            pretrained weights), a .keras file, a TensorFlow Hub URL, or the folder of a SavedModel.
        image_size: height and width in pixels; None takes the backbone's own.
        weights: a local file of the named network's weights, instead of a download or the packaged ones.
        feature_layer: the layer whose output is the features, if not the last; of a .keras file, if not the one
            before its classifier.
        preprocessing: of a .keras file or SavedModel only: what it expects of pixels. `none` as they are (also where
            the model begins with its own Rescaling), `unit` 0 to 1, `signed` -1 to 1, `lite` (x - 127) / 128,
            `imagenet` unit, then less the mean and over the standard deviation of ImageNet. If not given: none for a
            .keras file, unit for a SavedModel, by the convention of TensorFlow Hub.
        pretrained: False leaves the weights random.

    Raises:
        InputError: the backbone or its weights cannot be had, or a setting does not go with it.
    """
    kind = _kind(name)
    _refuse_what_does_not_go_together(name, kind, weights, preprocessing, pretrained)
    path = None if weights is None else Path(weights)
    if kind == "file":
        preprocessing = preprocessing or "none"
        model = _of_file(Path(name), image_size, preprocessing, pretrained)
    elif kind == "hub":
        preprocessing = preprocessing or "unit"
        model = _of_hub(name, image_size, preprocessing)
    elif kind == "application":
        model = applications.build(
            name, image_size or applications.default_image_size(name), weights=path, pretrained=pretrained
        )
    elif kind == "lite":
        model = efficientnet_lite.build(image_size or efficientnet_lite.IMAGE_SIZE)
        _load_own(model, path, pretrained, efficientnet_lite.packaged_weights, efficientnet_lite.load_pth)
    else:
        model = _of_resnet(name, image_size or _OWN[name])
        _load_own(model, path, pretrained, lambda: _packaged(name), load_npz)

    layer = feature_layer or (graph.before_classifier(model) if kind == "file" else graph.last(model))
    features = graph.output_of(model, layer)
    if len(features.shape) not in (2, 4):
        raise InputError(
            f"The layer {layer} of {name} gives outputs of shape {tuple(features.shape)}; expected features (batch, "
            "channels) or a map (batch, height, width, channels). Name another by --feature-layer."
        )
    model = keras.Model(model.inputs[0], features, name=model.name)
    # A file may have been saved with layers frozen: what is trained is for the run to say.
    model.trainable = True
    digest = _digest(model, hub.program(name) if kind == "hub" else b"")
    return Backbone(name, model, digest, layer)


def names() -> list[str]:
    """All networks that go by a name."""
    return [_LITE, *_OWN, *applications.functions()]


def _kind(name: str) -> Literal["file", "hub", "lite", "resnet", "application"]:
    if name == _LITE:
        return "lite"
    if name in _OWN:
        return "resnet"
    if name in applications.functions():
        return "application"
    if hub.is_handle(name):
        return "hub"
    if name.endswith((".keras", ".h5", ".hdf5")) or Path(name).is_file():
        return "file"
    if Path(name).is_dir():
        raise InputError(f"--backbone is the folder {name}, which holds no saved_model.pb: it is no SavedModel.")
    applications.canonical(name)
    return "application"


def _refuse_what_does_not_go_together(
    name: str, kind: str, weights: str | Path | None, preprocessing: str | None, pretrained: bool
) -> None:
    if weights is not None and not pretrained:
        raise InputError(f"--weights {weights} and random weights (--train-from-scratch) contradict each other.")
    if weights is not None and kind in ("file", "hub"):
        raise InputError(f"--weights {weights} is for a named network; {name} has weights of its own.")
    if preprocessing is not None and kind not in ("file", "hub"):
        raise InputError(f"--preprocessing {preprocessing} is for a .keras file or SavedModel; {name} knows its own.")
    if not pretrained and kind == "hub":
        raise InputError(
            f"{name} cannot be trained from scratch: a SavedModel does not say how its weights begin. Name a network."
        )


# Sources


def _of_file(path: Path, size: tuple[int, int] | None, preprocessing: str, pretrained: bool) -> keras.Model:
    core = keras_file.load(path)
    takes = tuple(core.inputs[0].shape[1:3])
    size = size or _completed(takes)
    _refuse_size(str(path), takes, size)
    if not pretrained:
        core = keras.models.clone_model(core)
    pixels = keras.Input((*size, 3), name="pixels")
    try:
        return keras.Model(pixels, graph.replayed(core, preprocessed(pixels, preprocessing)), name="backbone")
    except ValueError as fault:
        raise InputError(f"{path} cannot be used at {size[0]}x{size[1]}: {first_line(fault)}") from fault


def _of_hub(handle: str, size: tuple[int, int] | None, preprocessing: str) -> keras.Model:
    layer = hub.HubLayer(handle, name="module")
    size = size or _completed(layer.image_size)
    _refuse_size(handle, layer.image_size, size)
    pixels = keras.Input((*size, 3), name="pixels")
    features = layer(preprocessed(pixels, preprocessing))
    if len(features.shape) not in (2, 4) or None in features.shape[1:]:
        raise InputError(
            f"{handle} gives outputs of shape {tuple(features.shape)}; expected features (batch, channels) or a map "
            "(batch, height, width, channels) of known size."
        )
    return keras.Model(pixels, features, name="backbone")


def _of_resnet(name: str, size: tuple[int, int]) -> keras.Model:
    shape = resnet.SHAPES[name]
    try:
        return resnet.build(size, 3, None, **shape)
    except ValueError as fault:
        smallest = 2 ** len(shape["blocks"])  # each stage halves by pooling, which needs two pixels
        raise InputError(
            f"{name} does not take images of {size[0]}x{size[1]}: {first_line(fault)}. Pass --image-size {smallest} "
            f"{smallest} or larger; its own is {_OWN[name][0]} {_OWN[name][1]}."
        ) from fault


def preprocessed(pixels: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Pixels 0-255 as a model expects them.

    Raises:
        InputError: no such preprocessing.
    """
    if name == "none":
        return pixels
    if name not in PREPROCESSING:
        raise InputError(f"--preprocessing is {name!r}; expected none, {', '.join(PREPROCESSING)}.")
    scale, offset = PREPROCESSING[name]
    return keras.layers.Rescaling(scale, offset=offset, name=f"pixels_{name}")(pixels)


def _refuse_size(name: str, takes: tuple[int | None, int | None], given: tuple[int, int]) -> None:
    if any(side not in (None, asked) for side, asked in zip(takes, given)):
        height, width = _completed(takes, given)
        raise InputError(
            f"--image-size is {given[0]} {given[1]}, but {name} takes images of {height}x{width} only. Leave "
            f"--image-size away, or pass --image-size {height} {width}."
        )


def _completed(size: tuple[int | None, int | None], other: tuple[int, int] = hub.DEFAULT_IMAGE_SIZE) -> tuple[int, int]:
    return size[0] or other[0], size[1] or other[1]


# Weights of our own builders


def _load_own(
    model: keras.Model,
    path: Path | None,
    pretrained: bool,
    packaged: Callable[[], Path],
    read: Callable[[keras.Model, Path], None],
) -> None:
    """Set the weights from the file, or from the packaged one, in the builder's own format or in Keras's."""
    if not pretrained:
        return
    path = path or packaged()
    if not path.is_file():
        raise InputError(f"--weights {path}: there is no such file.")
    if not path.name.endswith((".h5", ".keras")):
        read(model, path)
        return
    try:
        model.load_weights(path)
    # Keras and h5py raise errors of many kinds for a broken file.
    except Exception as fault:
        raise InputError(f"--weights {path} does not fit the network: {first_line(fault)}") from fault


def _packaged(name: str) -> Path:
    if name not in _PACKAGED:
        raise InputError(
            f"{name} has no pretrained weights here: pass --weights FILE, --train-from-scratch, or --backbone resnet14."
        )
    return Path(str(resources.files("kerasuite").joinpath("samples", _PACKAGED[name])))


def load_npz(model: keras.Model, path: Path) -> None:
    """Set the weights from an .npz of arrays by `weight.path`; arrays of a head are left aside.

    Raises:
        InputError: the file cannot be read, or an array is missing or of another shape; names the first.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no archive of arrays")
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name].astype(np.float32) for name in file.files}
    # NumPy and zipfile raise errors of many kinds for a file that is broken or no .npz.
    except Exception as fault:
        raise InputError(f"--weights {path} cannot be read as an .npz of weights: {first_line(fault)}.") from fault
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.path not in found:
            raise InputError(f"{path} has no array {weight.path!r} of shape {shape}: it is of another network.")
        if found[weight.path].shape != shape:
            raise InputError(f"{path}: {weight.path!r} is of shape {found[weight.path].shape}, expected {shape}.")
    model.set_weights([found[weight.path] for weight in model.weights])


def _digest(model: keras.Model, program: bytes) -> str:
    """Two files of the same weights can differ in a Rescaling or an activation: the layers count too.

    Args:
        program: what is computed where the layers do not say it.
    """
    digest = hashlib.blake2b(model.to_json().encode() + program, digest_size=16)
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()))
    return digest.hexdigest()
