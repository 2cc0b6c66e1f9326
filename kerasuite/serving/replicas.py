"""One SavedModel on each of several devices: batches go to them by turns, and the answers come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

from kerasuite import workers

Batch, Answer = TypeVar("Batch"), TypeVar("Answer")


class Replicas:
    """Copies of a SavedModel.

    Args:
        devices: names such as GPU:0, one a copy; TensorFlow's own choice if there are none.
    """

    def __init__(self, path: str | Path, devices: Sequence[str] = ()):
        self._devices = tuple(devices) or (None,)
        # Held as long as the signatures are used: they do not keep the variables alive.
        self.models = [_on(device, tf.saved_model.load, str(path)) for device in self._devices]

    @property
    def signatures(self) -> Any:
        """The signatures of the first copy."""
        return self.models[0].signatures

    def answers(self, calls: Sequence[Callable[[Batch], Answer]], batches: Iterable[Batch]) -> Iterator[Answer]:
        """The answer to every batch, in order; of batches no more than there are devices are held at a time.

        Args:
            calls: what each copy does.
        """
        for answer in self._answers(calls, batches):
            workers.progressed()
            yield answer

    def _answers(self, calls, batches):
        if len(self.models) == 1:
            yield from (_on(self._devices[0], calls[0], batch) for batch in batches)
            return
        with ThreadPoolExecutor(len(self.models)) as pool:
            waiting = deque()
            for batch, device, call in zip(batches, cycle(self._devices), cycle(calls)):
                if len(waiting) == len(self.models):
                    yield waiting.popleft().result()
                waiting.append(pool.submit(_on, device, call, batch))
            while waiting:
                yield waiting.popleft().result()


def _on(device: str | None, call: Callable[[Batch], Answer], given: Batch) -> Answer:
    with tf.device(device):
        return call(given)
