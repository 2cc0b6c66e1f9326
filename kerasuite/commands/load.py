"""A finished run as an object for notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasuite import run_directory

if TYPE_CHECKING:
    import keras
    import polars

    from kerasuite.serving.predictor import Predictor


@dataclass(frozen=True)
class Run:
    """A finished run; each part is read when it is asked for."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """`pipeline`, `command` and `settings`."""
        return run_directory.read_json(self.path / run_directory.CONFIG)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The numbers, as metrics.json has them."""
        return run_directory.read_json(self.path / run_directory.METRICS)

    @cached_property
    def model(self) -> keras.Model:
        """The Keras model: preprocessed input to logits."""
        import keras

        # Registers the layers that are the suite's own.
        from kerasuite.models import gelu, hub, next_item, transformer  # noqa: F401

        return keras.saving.load_model(self.path / run_directory.MODEL, safe_mode=True, compile=False)

    @cached_property
    def predictor(self) -> Predictor:
        """The exported model: raw input to class names and probabilities."""
        from kerasuite.serving.predictor import Predictor

        return Predictor(self.path / run_directory.SERVABLE)

    @cached_property
    def predictions(self) -> polars.DataFrame:
        """A row each test example: id, label, prediction, probability of each class."""
        return _frame(self.path / run_directory.PREDICTIONS)

    @cached_property
    def history(self) -> polars.DataFrame:
        """A row each epoch."""
        return _frame(self.path / run_directory.HISTORY)


def _frame(path: Path) -> polars.DataFrame:
    import polars

    # Labels and ids are names, also where they look like numbers.
    return polars.read_csv(path, schema_overrides={name: polars.String for name in ("id", "label", "prediction")})


def load(run_dir: str | Path) -> Run:
    """A finished run.

    Raises:
        InputError: there is none, or it is not finished.
    """
    return Run(run_directory.open_finished(run_dir))
