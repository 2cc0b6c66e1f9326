"""A finished run or sweep as an object for notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasuite import run_directory, whole_files
from kerasuite.commands.sweeps import attempt, course, trials

if TYPE_CHECKING:
    import keras
    import polars

    from kerasuite.evaluation.sweep_display import SweepDisplay
    from kerasuite.serving.predictor import Predictor
    from kerasuite.serving.recommender import Recommender


@dataclass(frozen=True)
class Run:
    """A finished run; each part is read when it is asked for."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """`pipeline`, `command` and `settings`."""
        return whole_files.read_json(self.path / run_directory.CONFIG)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The numbers, as metrics.json has them."""
        return whole_files.read_json(self.path / run_directory.METRICS)

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
_NAMES = ("id", "trial", "label", "prediction", "user", "target", *(f"item_{place}" for place in range(1, 11)))


def _frame(path: Path) -> polars.DataFrame:
    import polars

    # All rows say what a column holds: its first cells may be empty.
    texts = {name: polars.String for name in _NAMES}
    return polars.read_csv(path, schema_overrides=texts, infer_schema_length=None)


@dataclass(frozen=True)
class Sweep:
    """A finished sweep; each part is read when it is asked for."""

    path: Path

    @cached_property
    def best(self) -> dict[str, Any]:
        """The settings that won, and the values by which they did."""
        return whole_files.read_json(self.path / course.BEST)

    @cached_property
    def run(self) -> Run:
        """The run of these settings, which read the test rows."""
        return load(self.path / course.FINAL)

    @cached_property
    def trials(self) -> polars.DataFrame:
        """A row each trial, and each re-run of the best."""
        return _frame(self.path / trials.TABLE)

    @cached_property
    def display(self) -> SweepDisplay:
        """Its pictures: the best value over time, and each setting against the objective."""
        from kerasuite.evaluation.sweep_display import SweepDisplay

        names = attempt.in_order(self.path.glob(f"{attempt.TRIALS}/*/{attempt.RESULT}"))
        read = [whole_files.read_json(name) for name in names]
        best = self.best
        return SweepDisplay.from_trials(read, best["objective"], higher_is_better=best["higher_is_better"])


def load(run_dir: str | Path) -> Run | Sweep:
    """A finished run, or a finished sweep.

    Raises:
        InputError: there is none, or it is not finished.
    """
    if course.is_finished(Path(run_dir)) and (Path(run_dir) / course.BEST).is_file():
        return Sweep(Path(run_dir))
    return Run(run_directory.open_finished(run_dir))
