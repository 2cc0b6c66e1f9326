"""Where in a picture a classifier saw what it says: Grad-CAM, and the rows worth looking at."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasuite.errors import InputError
from kerasuite.evaluation.classification import Scores
from kerasuite.evaluation.confusion import class_numbers, confusion_matrix, per_class
from kerasuite.evaluation.drawing import png
from kerasuite.evaluation.grad_cam_display import MOST_CLASSES, GradCamDisplay
from kerasuite.evaluation.metrics import check_probabilities
from kerasuite.evaluation.report import Figure, Section

BATCH_SIZE = 16
MOST_NAMED = 8

# From the path, the layer and its output to what the next layer is given.
See = Callable[[str, Any, Any], Any]


def grad_cam(model: keras.Model, pixels: np.ndarray, classes: np.ndarray, layer: str | None = None) -> np.ndarray:
    """How much each place of a feature map speaks for a class, in inference mode.

    The map's channels are added up, each weighted by the mean gradient of the class's logit with respect to it; what
    speaks against the class is cut off at 0; the greatest value of a row becomes 1. A row where nothing speaks for the
    class is 0 throughout.

    Args:
        model: a functional classifier from pixels to logits (batch, num_classes), also with models inside models.
        pixels: float32 array (n, height, width, channels), 0 to 255, as the model takes them.
        classes: int array (n,), the class asked for of each row.
        layer: the layer whose output is the map, by its name, or by its path where the name occurs twice
            ("backbone/stage_4"). None takes the last map, which is the one before global pooling.

    Returns:
        float32 array (n, height', width') in 0 to 1, of the map's size.

    Raises:
        InputError: no layer gives a map (a backbone that only gives a vector), or none of that name does.

    Source: Selvaraju et al. (2017), Grad-CAM, arXiv:1610.02391, equations 1 and 2.
    """
    if len(pixels) != len(classes) or not len(pixels):
        raise InputError(f"There are {len(pixels)} images and {len(classes)} classes: expected one class an image.")
    graph = _graph(model)
    target = _target(graph, pixels, layer)
    classes = class_numbers("classes", classes, graph.output_shape[-1])
    parts = []
    for start in range(0, len(pixels), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        parts.append(_heat(graph, tf.convert_to_tensor(pixels[rows], tf.float32), classes[rows], target).numpy())
    heat = np.concatenate(parts)
    return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)


def examples_for_each_class(labels: np.ndarray, probabilities: np.ndarray, *, most: int = MOST_CLASSES) -> np.ndarray:
    """The rows to look at: of each class the most confident right one, then the most confident wrong one.

    Args:
        labels: int array (n,); probabilities: float array (n, num_classes).
        most: of more classes than this, those with the lowest recall, lowest first.

    Returns:
        int array, at most two rows a class; what a class does not have is left out. Of equal rows the first.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
        >>> examples_for_each_class(np.array([0, 0, 1, 1]), probabilities).tolist()
        [0, 3, 2]
    """
    labels, probabilities = check_probabilities(labels, probabilities)
    predictions, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = []
    for k in _classes_shown(confusion_matrix(labels, predictions, probabilities.shape[1]), most):
        for found in ((labels == k) & (predictions == k), (labels == k) & (predictions != k)):
            if found.any():
                rows.append(int(np.where(found, confidence, -1).argmax()))
    return np.array(rows, int)


def section(model: keras.Model, scores: Scores, thumbnails: Callable[[np.ndarray], np.ndarray]) -> Section:
    """The report's section on where the model looked: a right and a wrong photo of each class.

    Args:
        thumbnails: from positions of rows to their pixels, 0 to 255, as the model takes them.
    """
    title, rows = "Where the model looked", examples_for_each_class(scores.labels, scores.probabilities)
    photos = thumbnails(rows)
    try:
        heat = grad_cam(model, photos, scores.probabilities[rows].argmax(1))
    except InputError as reason:
        return Section(title, str(reason))
    shown = GradCamDisplay.from_predictions(
        scores.labels, scores.probabilities, scores.ids, scores.class_names, rows=rows, images=photos, heat=heat
    )
    text = "Grad-CAM of the most confident right and wrong answer of each class: bright is what spoke for the answer."
    return Section(title, text, [Figure("Each photo, and the same under the heat.", png(shown), "grad_cam")])


def _classes_shown(matrix: np.ndarray, most: int) -> np.ndarray:
    if len(matrix) <= most:
        return np.arange(len(matrix))
    recall = per_class(matrix)["recall"]  # NaN without rows, which sorts last
    return np.argsort(recall, kind="stable")[:most]


def _heat(model: keras.Model, pixels: tf.Tensor, classes: np.ndarray, target: str) -> tf.Tensor:
    """The weighted sum of the map's channels, without what is negative: (batch, height', width')."""
    held = {}
    # Nothing before the map is watched, so nothing before it is kept in memory.
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def see(path: str, layer: Any, output: Any) -> Any:
            if path == target:
                tape.watch(output)
                held["map"] = output
            return output

        logits = _replay(model, pixels, see)
        chosen = tf.gather(logits, classes, axis=1, batch_dims=1)
    gradient = tape.gradient(chosen, held["map"])
    if gradient is None:
        raise InputError(f"The logits do not depend on the output of layer {target}: name another for Grad-CAM.")
    weights = tf.reduce_mean(tf.cast(gradient, tf.float32), (1, 2), keepdims=True)  # (batch, 1, 1, channels)
    return tf.nn.relu(tf.reduce_sum(weights * tf.cast(held["map"], tf.float32), -1))


def _replay(model: keras.Model, inputs: Any, see: See, path: str = "") -> Any:
    """What the model says, computed layer by layer, those of models inside it too.

    To the model around it a nested one is a single step, and no tensor from within can be asked for.
    """

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        inner = _graph(layer)
        if inner is not None:
            return see(path + layer.name, layer, _replay(inner, args[0], see, f"{path}{layer.name}/"))
        if "training" in inspect.signature(layer.call).parameters:
            kwargs["training"] = False
        return see(path + layer.name, layer, layer(*args, **kwargs))

    # Keras has no public way to do this on values: clone_model calls each layer anew, which adds to the layers' graphs.
    return model._run_through_graph(inputs, call_fn=call)


def _graph(layer: Any) -> keras.Model | None:
    """The layer as a model whose layers can be called one by one; None for one that cannot."""
    if isinstance(layer, keras.Sequential) and layer.built:
        return keras.Model(layer.inputs, layer.outputs)
    return layer if isinstance(layer, keras.Model) and hasattr(layer, "_run_through_graph") else None


def _maps(model: keras.Model, pixels: np.ndarray) -> list[str]:
    """The paths of the layers that give a map of learned features, in the order of their calls."""
    found, learned = [], False

    def see(path: str, layer: Any, output: Any) -> Any:
        nonlocal learned
        # Rescaled pixels are no features: some kernel must have come before.
        learned = learned or any(len(weight.shape) > 1 for weight in getattr(layer, "weights", ()))
        if learned and tf.is_tensor(output) and len(output.shape) == 4 and output.shape[1] * output.shape[2] > 1:
            found.append(path)
        return output

    _replay(model, tf.convert_to_tensor(pixels[:1], tf.float32), see)
    return found


def _target(model: keras.Model | None, pixels: np.ndarray, layer: str | None) -> str:
    """The path of the layer whose map is explained."""
    maps = _maps(model, pixels) if model is not None else []
    if not maps:
        raise InputError(
            "Grad-CAM is not available: no layer of the model gives a map (height, width, channels) of features. "
            "A backbone that is one opaque layer and ends in a vector has none to show."
        )
    if layer is None:
        return maps[-1]
    named = sorted({path for path in maps if path == layer or path.endswith(f"/{layer}")})
    if len(named) > 1:
        raise InputError(f"{len(named)} layers are called {layer}: expected one of {', '.join(named)}.")
    if not named:
        names = [path.rsplit("/", 1)[-1] for path in maps]
        known = get_close_matches(layer, names) or names[-MOST_NAMED:]
        raise InputError(f"No layer {layer!r} gives a map: expected one such as {', '.join(known)}.")
    return named[0]
