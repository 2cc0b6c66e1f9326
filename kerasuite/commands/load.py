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
    from kerasuite.serving.recommender import Recommender


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
        from kerasuite.models import saved

        return saved.load(self.path / run_directory.MODEL)

    @cached_property
    def predictor(self) -> Predictor | Recommender:
        """The exported model: raw input to class names and probabilities, or histories to lists."""
        from kerasuite.serving import predictor, recommender

        made = recommender.Recommender if self.metrics["headline"].startswith("ndcg") else predictor.Predictor
        return made(self.path / run_directory.SERVABLE)

    @cached_property
    def predictions(self) -> polars.DataFrame:
        """A row each test example: id, label, prediction, probability of each class."""
        return _frame(self.path / run_directory.PREDICTIONS)

    @cached_property
    def history(self) -> polars.DataFrame:
        """A row each epoch."""
        return _frame(self.path / run_directory.HISTORY)


# Of tables the columns that hold names, also where these look like numbers.
_NAMES = ("id", "label", "prediction", "user", "target", *(f"item_{place}" for place in range(1, 11)))


def _frame(path: Path) -> polars.DataFrame:
    import polars

    return polars.read_csv(path, schema_overrides={name: polars.String for name in _NAMES})


def load(run_dir: str | Path) -> Run:
    """A finished run.

    Raises:
        InputError: there is none, or it is not finished.
    """
    return Run(run_directory.open_finished(run_dir))
