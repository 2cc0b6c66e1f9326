"""TensorBoard's logs of a training, which are not worth its end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class Logs(keras.callbacks.TensorBoard):
    """Keras's own; but where they cannot be written (a full disk), they end with a warning, and training goes on.

    Args:
        folder: to write them into.
    """

    def __init__(self, folder: Path):
        super().__init__(str(folder), write_graph=False)
        self._are_written = True

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the epoch's numbers."""
        self._try(super().on_epoch_end, epoch, logs)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Write what is still held, and close the logs."""
        self._try(super().on_train_end, logs)

    def _try(self, write: Callable[..., None], *arguments: Any) -> None:
        if not self._are_written:
            return
        try:
            write(*arguments)
        except (OSError, tf.errors.OpError) as fault:
            self._are_written = False
            # Before the reason stands the node of a graph, which says nothing to a person.
            reason = str(getattr(fault, "message", fault)).splitlines()[0].rpartition("}} ")[2]
            print(f"Warning: no more logs for TensorBoard are written. {reason}", file=sys.stderr)
