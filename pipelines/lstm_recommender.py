"""A log of interactions to recommendations of the next item, measured against all items and honest baselines.

kerasuite run lstm_recommender --data interactions.csv
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kerasuite import config, devices, run_directory
from kerasuite.contracts import Examples, Splits
from kerasuite.errors import InputError
from kerasuite.pipelines import _likes, _next_item, _ranking, _recommending, _running
from kerasuite.pipelines._answers import Answers, Asked
from kerasuite.ranges import Count, NonNegative, Positive, Share, at_least

if TYPE_CHECKING:
    import keras_tuner

    from kerasuite.training.fit import Fitted

__all__ = ["SAMPLE", "Config", "evaluate", "finish", "load", "predict", "run", "space", "train"]

_NOT_FOR_POINTWISE = {"loss", "negatives", "num_heads", "repeat_items", "temperature", "top_k", "user_embedding"}
# Settings for seconds, on a log that is made up, of which the best answer is known.
SAMPLE = {"data": ("order_sample",), "epochs": 30, "learning_rate": 5e-3, "patience": 30, "precision": "float32"}


@dataclass(frozen=True, kw_only=True)
class Config(config.Settings):
    """Settings of lstm_recommender."""

    data: tuple[str, ...] = ("movielens-latest-small",)
    """movielens-latest-small (downloaded once), order_sample (made up), or logs: tables of users, items, times and
    perhaps ratings (csv, tsv, jsonl, parquet, .inter), MovieLens's .dat and .data, two columns of a .txt."""
    user_column: str | None = None
    """Column of the users; guessed, and said, if not given."""
    item_column: str | None = None
    """Column of the items; guessed, and said, if not given."""
    time_column: str | None = None
    """Column of the times, numbers or dates; guessed, and said, if not given. Without one the file's order counts."""
    rating_column: str | None = None
    """Column of the ratings; guessed, and said, if not given."""
    rating_range: tuple[float, float] | None = None
    """The least and the greatest rating there can be; rows outside are skipped, and named."""
    items: str | None = None
    """Table of the items' titles and groups (genre, category): csv, tsv, jsonl, parquet, .item, .dat; if not given, the
    one that MovieLens and RecBole put beside a log."""
    min_item_count: Count = 1
    """Interactions that an item needs; others are left out, and counted."""
    min_user_count: Count = 1
    """Interactions that a user needs; others are left out, and counted."""
    repeat_items: bool = False
    """What a user has had may come again, and is recommended again."""
    split: Literal["last", "time"] = "last"
    """last: each user's last item is the test's, the one before it validation's. time: the first item that a user has
    after a moment, foreseen from what was before it; nothing after that moment is trained on."""
    model: Literal["lstm", "gru", "bidirectional", "transformer", "pointwise"] = "lstm"
    """What reads the history. bidirectional reads it both ways, and is trained on its last item. pointwise asks another
    question: will this user like this item? It learns from ratings."""
    like_from: float | None = None
    """Of pointwise: the rating from which on an item is liked; the mean of the training ratings if not given."""
    user_embedding: bool = False
    """Learn a vector for each user too, which is added to what the history says; pointwise always does."""
    dim: Annotated[int, at_least(2)] = 64
    """Width of the items' vectors, and of all layers."""
    num_layers: Count = 1
    """Recurrent layers, or blocks of attention."""
    num_heads: Count = 2
    """Attention heads of transformer."""
    dropout: Share = 0.2
    """Share of the numbers dropped between layers."""
    max_length: Annotated[int, at_least(2)] = 50
    """Items of a history that are read, the last ones."""
    loss: Literal["softmax", "gbce"] = "softmax"
    """softmax over all items, or over a sample with its bias corrected; gbce: a yes or no of each item of a sample."""
    temperature: Positive = 0.1
    """What the cosines between states and items are divided by to be scores: less for many items, more for few."""
    negatives: Annotated[int, at_least(0)] | None = None
    """Items drawn at random, at each step anew, to stand for all others in the loss; 0 takes all items. If not given,
    all up to 20,000 items, and 4,096 above; of gbce 256 up to 20,000."""
    batch_tokens: Annotated[int, at_least(2)] = 1024
    """Items of histories a step at most, padding counted; a batch holds histories of like lengths."""
    epochs: Count = 20
    """Passes over the training users at most."""
    patience: Count = 20
    """Epochs without a better result on validation before training stops; the best epoch's weights are kept."""
    learning_rate: Positive = 3e-3
    """Peak rate of Adam."""
    schedule: Literal["constant", "cosine", "one_cycle", "warmup_cosine", "warmup_linear"] = "warmup_cosine"
    """Course of the rate over all epochs."""
    weight_decay: NonNegative = 0.0
    """Decoupled weight decay, times the rate, of all weights but the vectors of items and users."""
    validation_users: Count = 5000
    """Users that validation ranks all items for after each epoch, at most; drawn at random."""
    top_k: Annotated[int, at_least(20)] = 20
    """Items of a list that the exported model gives."""

    batch_by = ("batch_tokens",)
    shared = config.Settings.shared | {
        *("user_column", "item_column", "time_column", "rating_column", "rating_range", "items", "like_from", "split"),
        *("min_item_count", "min_user_count", "repeat_items", "validation_users"),
    }
    loss_by = frozenset({"loss", "negatives", "temperature"})
    apart = frozenset({("model", _next_item.POINTWISE)})

    @property
    def objectives(self) -> tuple[str, ...]:
        """Of lists how good they are."""
        return super().objectives if self.model == _next_item.POINTWISE else ("val_ndcg@10", "val_loss")

    def num_validated(self, rows: int) -> int:
        """Some of the users, if there are many."""
        return min(rows, self.validation_users)

    def __post_init__(self):
        super().__post_init__()
        changed = {each.name for each in fields(self) if getattr(self, each.name) != each.default}
        for name in sorted(changed & (_NOT_FOR_POINTWISE if self.model == _next_item.POINTWISE else {"like_from"})):
            raise InputError(f"{config.flag(name)} is not for --model {self.model}.")
        if "batch_size" in changed:
            raise InputError("--batch-size is not for lstm_recommender: --batch-tokens says how much a step takes.")
        if self.split == "last" and (unread := changed & {"validation_fraction", "test_fraction"}):
            raise InputError(f"{config.flag(min(unread))} is of --split time; this is --split last.")
        if self.loss == "gbce" and self.negatives == 0:
            raise InputError("--negatives is 0; --loss gbce takes a sample of items.")
        if self.model == "transformer" and self.dim % self.num_heads:
            raise InputError(f"--dim {self.dim} is not a multiple of --num-heads {self.num_heads}.")
        if self.rating_range and not self.rating_range[0] < self.rating_range[1]:
            raise InputError(f"--rating-range is {self.rating_range}; expected the least, then the greatest.")


def space(hp: keras_tuner.HyperParameters, config: Config) -> Config:
    """What a sweep searches, if nothing else is said."""
    searched = {
        "learning_rate": hp.Float("learning_rate", 1e-3, 1e-2, sampling="log"),
        "dim": hp.Choice("dim", [32, 64, 128]),
        "dropout": hp.Float("dropout", 0.0, 0.5),
    }
    if config.model != _next_item.POINTWISE:
        searched["temperature"] = hp.Float("temperature", 0.05, 0.4, sampling="log")
    return replace(config, **searched)


def load(config: Config) -> Splits:
    """Read the log, name what cannot be used, and part it into what is trained on and what is to be foreseen."""
    from kerasuite.data import histories, interactions, likes

    log = _next_item.read(config)
    log = interactions.with_enough(log, config.min_item_count, config.min_user_count)
    parts = histories.split(
        log,
        config.split,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
    )
    # Read here for its faults and notes, before anything is trained.
    known = _ranking.items(config, parts.train.class_names)
    notes = (*log.notes, *parts.notes, _next_item.size_note(log), *(known.notes if known else ()))
    if config.model == _next_item.POINTWISE:
        notes += (likes.like_from(parts.train, config.like_from)[1],)
    elif drawn := _next_item.num_negatives(config, len(parts.train.class_names)):
        notes += (f"In the loss {drawn:,} items, drawn for each step anew, stand for all others (--negatives).",)
    warnings = tuple(interactions.skipped_sentence(log))
    return Splits(parts.train, parts.validation, parts.test, log.skipped, notes, warnings, log.num_skipped)


def train(config: Config, train: Examples, validation: Examples, run_dir: Path) -> Fitted:
    """Fit the model; goes on from the run directory's checkpoint if there is one."""
    strategy = devices.strategy(config.devices, config.all_reduce)
    devices.refuse_too_few(strategy, len(train))
    run_directory.remember(run_dir, "machine", lambda: devices.describe(strategy))
    parts = _how(config).training_parts(config, train, validation, strategy.num_replicas_in_sync)
    return _next_item.fit(config, parts, run_dir, strategy)


def finish(
    config: Config, fitted: Fitted, splits: Splits, run_dir: Path, seconds: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Export, ask the export about every test user, and write the report; metrics.json comes last."""
    return _how(config).finish(config, fitted, splits, run_dir, seconds)


def run(config: Config, run_dir: Path) -> dict[str, Any]:
    """Load, train, finish."""
    return _running.run(config, run_dir, load, train, finish)


def evaluate(config: Config, run_dir: Path, data: Sequence[str], folder: Path) -> dict[str, Any]:
    """The report of a finished run on another log."""
    splits = load(config)
    run_directory.require_same(run_dir, "data", splits.fingerprint())
    return _how(config).evaluate(config, splits, run_dir, data, folder)


def predict(asked: Asked) -> Answers:
    """Lists for histories and the users of logs; of pointwise, likes of the rows that have no rating."""
    return (_likes if asked.settings["model"] == _next_item.POINTWISE else _recommending).predict(asked)


def _how(config: Config) -> ModuleType:
    """What fits, scores and asks the model."""
    return _likes if config.model == _next_item.POINTWISE else _recommending


if __name__ == "__main__":
    from kerasuite.commands.run import script

    script(__file__)
