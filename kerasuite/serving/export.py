"""A fitted model and its preparation to a SavedModel that takes raw input."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from kerasuite import whole_files
from kerasuite.errors import EnvironmentFault
from kerasuite.serving import like_lengths

# Two classes whose probabilities lie this close are a tie: either may come first.
TIE = 1e-5
# What float32 on another kind of device may differ by; more is another model.
FAR = 1e-3


class RawPreparation(Protocol):
    """A preparation that can be traced into a SavedModel."""

    def serve_batch(self, *raw: tf.Tensor) -> tf.Tensor | tf.RaggedTensor:
        """Raw inputs, each (batch, ...), to what the model takes; or to ragged rows, some of which `collate` pads."""


def of_strings(name: str) -> tuple[tf.TensorSpec]:
    """The signature of a model whose one input are strings: texts, or the bytes of files."""
    return (tf.TensorSpec([None], tf.string, name=name),)


class Servable(tf.Module):
    """Preparation and model behind one signature: raw inputs in, class names and probabilities out."""

    def __init__(
        self,
        model: keras.Model,
        prepare: RawPreparation,
        class_names: Sequence[str],
        signature: Sequence[tf.TensorSpec],
        multi_label: bool = False,
    ):
        super().__init__(name="servable")
        self._multi_label = multi_label
        self.model, self.prepare = model, prepare
        self.class_names = tf.constant(list(class_names))
        self.serve = tf.function(self._serve, input_signature=list(signature), autograph=False)
        self.classes = tf.function(lambda: {"class_names": self.class_names}, input_signature=[], autograph=False)

    def _logits(self, rows):
        ask = partial(self.model, training=False)
        if not isinstance(rows, tf.RaggedTensor):
            return ask(rows)
        return like_lengths.answers(ask, rows, self.prepare.collate, len(self.class_names))

    def _serve(self, *raw):
        logits = self._logits(self.prepare.serve_batch(*raw))
        if self._multi_label:
            probabilities = tf.nn.sigmoid(logits)
            is_of_class = probabilities >= 0.5
            names = tf.ragged.boolean_mask(tf.broadcast_to(self.class_names, tf.shape(probabilities)), is_of_class)
            return {
                "labels": tf.strings.reduce_join(names, -1, separator="|"),
                "is_of_class": is_of_class,
                "probabilities": probabilities,  # (batch, classes), as is_of_class
            }
        probabilities = tf.nn.softmax(logits)
        best = tf.argmax(probabilities, -1)
        return {
            "label": tf.gather(self.class_names, best),
            "probability": tf.reduce_max(probabilities, -1),
            "probabilities": probabilities,  # (batch, classes), in the order of class_names
        }


def export(
    path: Path,
    model: keras.Model,
    prepare: RawPreparation,
    class_names: Sequence[str],
    *,
    signature: Sequence[tf.TensorSpec],
    multi_label: bool = False,
) -> None:
    """Write the SavedModel, whole or not at all.

    Signatures: `serving_default`, raw inputs (batch, ...) to label, probability and probabilities, or where a row may
    be of several classes to labels (their names, with | between them), is_of_class and probabilities; `class_names`.
    """
    servable = Servable(model, prepare, class_names, signature, multi_label)
    signatures = {"serving_default": servable.serve, "class_names": servable.classes}
    with whole_files.writing(path) as temporary:
        tf.saved_model.save(servable, str(temporary), signatures=signatures)


def compare(
    served: np.ndarray, in_python: np.ndarray, ids: Sequence[str], *, multi_label: bool = False
) -> dict[str, Any]:
    """What the SavedModel says from raw input, held against the Python model, row by row.

    Args:
        served, in_python: probabilities, (rows, classes).
        multi_label: each class is said or not, at one half.

    Returns:
        `checked`, `label_disagreements` (rows, each of which is a tie) and `max_difference`, as metrics.json has them.

    Raises:
        EnvironmentFault: a label differs and is not a tie, or a probability by more than 0.001; names the first rows.

    Example:
        >>> compare(np.array([[0.5, 0.5]]), np.array([[0.499999, 0.500001]]), ["a"])["label_disagreements"]
        1
    """
    if multi_label:
        differs = (served >= 0.5) != (in_python >= 0.5)
        is_same = ~(differs & (np.abs(in_python - 0.5) > TIE)).any(1)
    else:
        differs = (served.argmax(1) != in_python.argmax(1))[:, None]
        chosen = np.take_along_axis(in_python, served.argmax(1)[:, None], 1)[:, 0]
        is_same = in_python.max(1) - chosen <= TIE
    is_near = (np.abs(served - in_python) <= FAR).all(1)  # nothing that is not finite is
    wrong = np.flatnonzero(~(is_same & is_near))
    if len(wrong):
        named = ", ".join(str(ids[row]) for row in wrong[:5])
        raise EnvironmentFault(
            "The exported model gives another label, or other probabilities, than the model in Python on "
            f"{len(wrong)} of {len(served)} rows ({named}): the export is not to be trusted, and the run is not "
            "finished."
        )
    return {
        "checked": len(served),
        "label_disagreements": int(differs.any(1).sum()),
        "max_difference": float(np.abs(served - in_python).max(initial=0.0)),
    }
