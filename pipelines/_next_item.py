"""How a recommender of the next item is fitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerasuite import config, run_directory
from kerasuite.contracts import Examples
from kerasuite.errors import InputError
from kerasuite.pipelines import _running

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from kerasuite.data.interactions import Log
    from kerasuite.data.lengths import LengthPlan
    from kerasuite.pipelines._answers import Asked
    from kerasuite.training.fit import Fitted

# The model that learns from ratings.
POINTWISE = "pointwise"
# Above so many items the loss takes a sample of them, if nothing is said.
MOST_ITEMS_IN_LOSS, SAMPLED, SAMPLED_OF_FEW = 20_000, 4096, 256
# Scores of validation at a time, users by items.
SCORES = 2**23


def read(config: config.Settings) -> Log:
    """The log that the settings name."""
    from kerasuite.data import order_sample

    if order_sample.NAME in config.data:
        if len(config.data) > 1:
            raise InputError(f"--data {order_sample.NAME} does not go with others.")
        if config.rating_range:
            raise InputError(f"--rating-range is {config.rating_range}, and {order_sample.NAME} has no ratings.")
        return order_sample.log()
    return read_log(config.data, asdict(config))


def read_log(names: Sequence[str], settings: Mapping[str, Any], **options: Any) -> Log:
    """The logs of these names, as a run's settings say: their columns, and whether items may come again.

    Args:
        options: further arguments of `interactions.read`.
    """
    from kerasuite.data import interactions
    from kerasuite.data.log_tables import LogColumns

    columns = LogColumns(*(settings[f"{what}_column"] for what in ("user", "item", "time", "rating")))
    options |= {"rating_range": settings["rating_range"], "needs_ratings": settings["model"] == POINTWISE}
    log = interactions.read(names, columns, **options)
    return log if settings["repeat_items"] else interactions.without_repeats(log)


def size_note(log: Log) -> str:
    """How large the log is."""
    return f"{len(log):,} interactions of {len(log.user_ids):,} users with {len(log.item_ids):,} items."


def read_to_predict(asked: Asked, *, may_ask: bool = False) -> Log:
    """The logs that `predict` was given, in the columns of the run's; what was mended is printed.

    Raises:
        InputError: they cannot be used.
    """
    log = read_another("predict", asked.files, asked.settings, may_ask=may_ask, most_named=None)
    _running.say(log.notes, ())
    return log


def read_another(verb: str, names: Sequence[str], settings: Mapping[str, Any], **options: Any) -> Log:
    """A log that a finished run is asked about, in the columns of the run's own.

    Raises:
        InputError: it cannot be used.
    """
    try:
        return read_log(names, settings, may_lack_ratings=True, **options)
    except InputError as fault:
        raise InputError(f"{fault} (`{verb}` takes logs with the columns that the run's own log has.)") from fault


def num_negatives(config: config.Settings, num_items: int) -> int | None:
    """How many items stand for all others in the loss; None where all are taken."""
    if config.negatives is not None:
        number = config.negatives
    else:
        number = SAMPLED if num_items > MOST_ITEMS_IN_LOSS else SAMPLED_OF_FEW if config.loss == "gbce" else 0
    number = min(number, num_items - 1) if config.loss == "gbce" else number
    return number if 0 < number < num_items else None


class TrainingParts(NamedTuple):
    """What a training is made of: the rows with their preparation and plan, the same of validation, and the model,
    whose outputs are each row's loss and one measure of it, named here; validation's mean of `monitor` chooses the
    epoch."""

    train: Examples
    validation: Examples
    prepare: Any
    plan: LengthPlan
    held_out: LengthPlan
    build: Callable[[], keras.Model]
    measure: str
    monitor: str


def training_parts(config: config.Settings, train: Examples, validation: Examples, replicas: int) -> TrainingParts:
    """All items of users with two or more to train on, and some of validation's users to choose the epoch by.

    A history that is longer than the model reads is trained on in pieces.

    Raises:
        InputError: there is no user with two items.
    """
    from kerasuite.data import histories
    from kerasuite.data.item_ids import HistoryPreparation
    from kerasuite.data.lengths import LengthPlan
    from kerasuite.models import next_item, recommender

    num_items, users = len(train.class_names), user_ids(config, train)
    some = np.random.default_rng([config.seed, 1]).permutation(len(validation))[: config.validation_users]
    train, validation = _pieces(config, train), histories.whole(validation.take(np.sort(some)))
    if not len(train):
        raise InputError("No user has two items to train on. Look at --user-column, or pass another --split.")

    def plan(examples: Examples, tokens: int, rows: int, shuffle: bool, weights=None) -> LengthPlan:
        return LengthPlan(_foreseen(config, examples), tokens, rows, config.seed, shuffle, replicas, weights)

    def build() -> keras.Model:
        encoder = recommender.encoder(
            config.model,
            num_items,
            dim=config.dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            dropout=config.dropout,
            longest=config.max_length,
            num_users=len(users),
            seed=config.seed,
        )
        drawn = num_negatives(config, num_items)
        return next_item.trainer(
            encoder,
            loss=config.loss,
            num_negatives=drawn,
            temperature=config.temperature,
            repeats=config.repeat_items,
            seed=config.seed,
        )

    # A row counts as many items as are foreseen of it.
    weights = np.ones(len(train)) if config.model == "bidirectional" else _foreseen(config, train)
    return TrainingParts(
        of_users(train, users),
        of_users(validation, users),
        HistoryPreparation(train.class_names, config.max_length + 1, users, with_older=True),
        plan(train, config.batch_tokens, config.batch_tokens, True, weights),
        plan(validation, 4096, max(1, SCORES // num_items), False),
        build,
        measure="ndcg@10",
        monitor="ndcg@10",
    )


def _pieces(config: config.Settings, train: Examples) -> Examples:
    """All items of each user who has two, in as many rows as it takes."""
    from kerasuite.data import histories

    # One more is read than the model sees: the item to be foreseen.
    parts, rows = histories.pieces(histories.sequences(train), config.max_length + 1, overlap=1)
    found = replace(train.take(rows), inputs={histories.HISTORY: parts}, facts={})
    return found.take(np.flatnonzero(parts.lengths >= 2))


def user_ids(config: config.Settings, train: Examples) -> np.ndarray | tuple[()]:
    """The users that the model has a vector of."""
    return np.asarray(train.ids) if config.user_embedding else ()


def of_users(examples: Examples, users: Sequence[str]) -> Examples:
    """Histories with their user's number before them, where the model knows users."""
    from kerasuite.data.histories import HISTORY, behind, positions

    if not len(users):
        return examples
    numbers = positions(examples.ids, users) + 1
    return replace(examples, inputs={HISTORY: behind(numbers, examples.inputs[HISTORY])})


def loss(y: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Each row's loss, from what the model in training gives."""
    return outputs[:, 0]


def fit(config: config.Settings, parts: TrainingParts, run_dir: Path, strategy: tf.distribute.Strategy) -> Fitted:
    """Train, and choose the epoch by validation's users."""
    import keras

    from kerasuite.data import batches
    from kerasuite.training import fit, precision

    training = batches.starting_at(parts.train, parts.prepare, parts.plan)
    arithmetic = run_directory.remember(
        run_dir,
        "precision",
        lambda: precision.choose(config.precision, parts.build, training, loss, strategy.num_replicas_in_sync),
    )
    keras.utils.set_random_seed(config.seed)
    return fit.fit(
        parts.build,
        training,
        batches.starting_at(parts.validation, parts.prepare, parts.held_out, epochs=1),
        loss=loss,
        held_out_measures={parts.measure: lambda y, outputs: outputs[:, 1]},
        monitor=parts.monitor,
        optimizers=partial(groups, config),
        epochs=config.epochs,
        steps_per_epoch=parts.plan.steps_per_epoch,
        run_dir=run_dir,
        strategy=strategy,
        precision=arithmetic["used"],
        **config.loop,
    )


def groups(config: config.Settings, model: keras.Model, num_updates: int) -> list[tuple[Any, list[Any]]]:
    """(optimizer, variables) of the tables of items and users, of which a step touches some rows, and of all else."""
    from kerasuite.models.recommender import ITEMS, USERS
    from kerasuite.training import optimizers
    from kerasuite.training.fused_adam import RowwiseAdamW

    is_table = lambda variable: bool({ITEMS, USERS} & set(variable.path.split("/")))  # noqa: E731
    tables = [variable for variable in model.trainable_variables if is_table(variable)]
    rest = [variable for variable in model.trainable_variables if not is_table(variable)]
    rate = optimizers.schedule(config.schedule, config.learning_rate, num_updates)
    adam = optimizers.optimizer("adamw", rate, weight_decay=config.weight_decay)
    return [(adam, rest), (RowwiseAdamW(rate), tables)]


def _foreseen(config: config.Settings, examples: Examples) -> np.ndarray:
    """How many items of each history are foreseen from others."""
    from kerasuite.data.histories import HISTORY

    return np.minimum(examples.inputs[HISTORY].lengths - 1, config.max_length)
