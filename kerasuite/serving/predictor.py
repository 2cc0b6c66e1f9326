"""Predictions from a SavedModel alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from kerasuite import frozen
from kerasuite.errors import InputError
from kerasuite.serving.replicas import Replicas

# A batch holds no more raw input than this: a few hundred photos from a camera are gigabytes.
MOST_BYTES = 2**26
# Texts are sorted by length so many at a time; a batch of them has about so many bytes, padding counted.
TEXTS, WINDOW, TEXT_BYTES = "texts", 4096, 2**14


Raw = bytes | Mapping[str, Any]


def _column(values: list[Any], spec: tf.TensorSpec) -> tf.Tensor:
    """A tensor of one value a row, or of a list a row, filled up to the longest."""
    if spec.shape.rank == 1:
        return tf.constant(values, spec.dtype)
    return tf.ragged.constant(values, spec.dtype, ragged_rank=1).to_tensor(shape=[len(values), None])


def _cut(raw: Iterable[Raw], batch_size: int) -> Iterator[list[Raw]]:
    batch, size = [], 0
    for item in raw:
        batch.append(item)
        size += len(item)
        if len(batch) == batch_size or size >= MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _rough(call: Callable[[tf.Tensor], dict[str, tf.Tensor]], batch: Sequence[Raw]) -> np.ndarray:
    return call(tf.constant(batch))["probabilities"].numpy()


class Predictor:
    """Raw inputs to class names and probabilities, with nothing but `servable/`.

    Args:
        path: a SavedModel that `export` wrote.
        precision: `float32` gives what the run's numbers are of. `bfloat16` is faster where the processor has it:
            products and convolutions are done in it, with the weights as constants. `difference` says how far apart
            the two are.
        devices: names such as GPU:0; batches go to all of them by turns.

    Raises:
        InputError: there is no SavedModel, or it is of another kind.
    """

    def __init__(
        self,
        path: str | Path,
        precision: Literal["float32", "bfloat16"] = "float32",
        devices: Sequence[str] = (),
    ):
        if not tf.saved_model.contains_saved_model(str(path)):
            raise InputError(f"{path} holds no SavedModel; expected the servable/ of a finished run.")
        # Registers the operations of the tokenizers that are in exported models of texts.
        import tensorflow_text  # noqa: F401

        self._replicas = Replicas(path, devices)
        signatures = self._replicas.signatures
        if "class_names" not in signatures:
            raise InputError(f"{path} has no signature class_names; expected the servable/ of a finished run.")
        served = [model.signatures["serving_default"] for model in self._replicas.models]
        self._serve = served[0]
        self._inputs = tuple(self._serve.structured_input_signature[1])
        if precision == "float32":
            self._calls = [partial(self._exact, serve) for serve in served]
        else:
            self._calls = [partial(_rough, frozen.of_function(serve, precision)) for serve in served]
        self.class_names = tuple(name.decode() for name in signatures["class_names"]()["class_names"].numpy())

    def probabilities(self, raw: Iterable[Raw], batch_size: int = 256) -> np.ndarray:
        """Probabilities of each class for raw inputs, bytes of image files or texts: float32 (n, classes), in order.

        Where the model has several inputs, a row has a value for each, by name; lists may be of unlike lengths.
        """
        parts = list(self._texts(iter(raw)) if self._inputs == (TEXTS,) else self._answers(_cut(raw, batch_size)))
        return np.concatenate(parts) if parts else np.zeros((0, len(self.class_names)), np.float32)

    def _texts(self, raw: Iterator[bytes]) -> Iterator[np.ndarray]:
        """A batch is as wide as its longest text: texts of like lengths go together, then back to their places."""
        while window := list(islice(raw, WINDOW)):
            answers = np.empty((len(window), len(self.class_names)), np.float32)
            rows, batches = sorted(range(len(window)), key=lambda row: -len(window[row])), []
            while rows:
                number = max(1, TEXT_BYTES // max(len(window[rows[0]]), 1))
                batches.append(rows[:number])
                rows = rows[number:]
            found = self._answers([window[row] for row in batch] for batch in batches)
            for batch, answer in zip(batches, found, strict=True):
                answers[batch] = answer
            yield answers

    def _answers(self, batches: Iterable[Sequence[Raw]]) -> Iterator[np.ndarray]:
        return self._replicas.answers(self._calls, batches)

    def _exact(self, serve: Callable[..., dict[str, tf.Tensor]], batch: Sequence[Raw]) -> np.ndarray:
        return serve(**self._tensors(batch))["probabilities"].numpy()

    def _tensors(self, batch: Sequence[Raw]) -> dict[str, tf.Tensor]:
        if len(self._inputs) == 1:
            return {self._inputs[0]: tf.constant(batch)}
        specs = self._serve.structured_input_signature[1]
        return {name: _column([row[name] for row in batch], specs[name]) for name in self._inputs}

    def difference(self, raw: Sequence[bytes], batch_size: int = 256) -> float:
        """How far the probabilities of these inputs lie from those in float32, at most."""
        batches = _cut(raw, batch_size)
        return max(float(np.abs(self._calls[0](some) - self._exact(self._serve, some)).max()) for some in batches)

    @property
    def is_multi_label(self) -> bool:
        """Whether an input may be of several classes, or of none."""
        return "is_of_class" in self._serve.structured_outputs

    def said(self, row: np.ndarray) -> str:
        """The prediction of one row of probabilities; of several labels all that are said, with | between them."""
        places = np.flatnonzero(row >= 0.5) if self.is_multi_label else [int(row.argmax())]
        return "|".join(self.class_names[place] for place in places)

    def __call__(self, raw: Iterable[bytes], batch_size: int = 256) -> list[tuple[str, float]] | list[dict[str, float]]:
        """The likeliest class and its probability for each raw input; of several labels, all that are said."""
        probabilities = self.probabilities(raw, batch_size)
        if self.is_multi_label:
            named = [zip(self.class_names, map(float, row)) for row in probabilities]
            return [{name: probability for name, probability in row if probability >= 0.5} for row in named]
        return [(self.class_names[k], float(row[k])) for row, k in zip(probabilities, probabilities.argmax(1))]
