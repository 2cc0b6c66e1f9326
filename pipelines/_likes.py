"""Will this user like this item: how the pointwise recommender is fitted, scored and asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasuite import config, run_directory, whole_files
from kerasuite.contracts import Examples, Skipped, Splits
from kerasuite.errors import InputError
from kerasuite.pipelines import _classification, _next_item, _ranking
from kerasuite.pipelines._answers import Answers, Asked
from kerasuite.pipelines._classification import Rows, Task

if TYPE_CHECKING:
    import keras

    from kerasuite.data.like_ids import LikePreparation
    from kerasuite.data.likes import Known
    from kerasuite.pipelines._next_item import TrainingParts
    from kerasuite.training.fit import Fitted

BATCH_SIZE, CHUNK = 256, 4096
LIKE_FROM = "like_from"
# Of a history a person is shown the last so many items.
SHOWN = 8
SERVING_INPUT = (
    'users=tf.constant(["u1"]), items=tf.constant(["id9"]), histories=tf.constant([["id1", "id2"]]), '
    "liked=tf.constant([[True, False]])"
)


def known(config: config.Settings, train: Examples) -> Known:
    """What training knows of users, items and likes."""
    from kerasuite.data import likes

    return likes.Known.of(train, likes.like_from(train, config.like_from)[0])


def preparation(config: config.Settings, known: Known) -> LikePreparation:
    """What makes numbers of ids and likes."""
    from kerasuite.data.like_ids import LikePreparation

    return LikePreparation(known.user_ids, known.item_ids, config.max_length)


def training_parts(config: config.Settings, train: Examples, validation: Examples, replicas: int) -> TrainingParts:
    """All ratings of training, and the last of each of some of validation's users to choose the epoch by."""
    from kerasuite.data.lengths import LengthPlan
    from kerasuite.data.likes import MARKS
    from kerasuite.models import pointwise

    table = known(config, train)
    some = np.random.default_rng([config.seed, 1]).permutation(len(validation))[: config.validation_users]
    rows, held_out = table.sequences(config.max_length + 1), table.last_rows(validation.take(np.sort(some)))

    def plan(examples: Examples, tokens: int, shuffle: bool) -> LengthPlan:
        lengths = np.minimum(examples.inputs[MARKS].lengths - 1, config.max_length + 1)
        # A row counts as many ratings as are foreseen of it.
        return LengthPlan(lengths, tokens, tokens, config.seed, shuffle, replicas, lengths if shuffle else None)

    def build() -> keras.Model:
        sizes = {"dim": config.dim, "num_layers": config.num_layers, "dropout": config.dropout}
        model = pointwise.build(len(table.user_ids), len(table.item_ids), **sizes, seed=config.seed)
        return pointwise.trainer(model)

    plans = plan(rows, config.batch_tokens, True), plan(held_out, 4096, False)
    prepare = preparation(config, table)
    return _next_item.TrainingParts(rows, held_out, prepare, *plans, build, measure="accuracy", monitor="loss")


def task(config: config.Settings, train: Examples) -> Task:
    """What scoring and the report need to know: the training histories stand for what the run knows."""
    from kerasuite.data.likes import RATES

    table = known(config, train)
    prepare = preparation(config, table)
    return Task(
        _ranking.PIPELINE,
        config,
        _next_item.POINTWISE,
        prepare,
        Rows(
            "ratings",
            SERVING_INPUT,
            partial(_read, config, table),
            partial(_raw, config.max_length),
            partial(_answers, prepare),
            ("texts", partial(_told, _titles(config, table))),
            prepare.signature,
        ),
        features=lambda examples: {"logistic_regression_on_shares": examples.inputs[RATES]},
        choose_penalty=True,
    )


def finish(
    config: config.Settings, fitted: Fitted, splits: Splits, run_dir: Path, seconds: Mapping[str, float] | None
) -> dict[str, Any]:
    """Export, score the export on every test rating from ids, and write the report; metrics.json comes last."""
    from kerasuite.models import pointwise

    table = known(config, splits.train)
    run_directory.remember(run_dir, LIKE_FROM, lambda: table.least)
    rows = table.training_rows(), table.last_rows(splits.validation), table.last_rows(splits.test)
    rated = replace(splits, train=rows[0], validation=rows[1], test=rows[2])
    scored = replace(fitted, model=pointwise.scorer(fitted.model))
    return _classification.finish(task(config, splits.train), scored, rated, run_dir, seconds)


def evaluate(
    config: config.Settings, splits: Splits, run_dir: Path, data: Sequence[str], folder: Path
) -> dict[str, Any]:
    """The report of a finished run on another log: each user's last rating."""
    return _classification.evaluate(task(config, splits.train), run_dir, data, folder)


def predict(asked: Asked) -> Answers:
    """What the exported model says of the rows of logs that have no rating, from the ratings before them."""
    asked.refuse_flags("logs of ratings", text=asked.texts, column=asked.column, history=asked.histories)
    if asked.precision != "float32":
        raise InputError("--precision bfloat16 is not for recommenders.")
    return _classification.predict(asked, _chunks(asked))


def _chunks(asked: Asked) -> Iterator[tuple[list[tuple[str, dict[str, Any]]], list[Skipped]]]:
    log = _next_item.read_to_predict(asked, may_ask=True)
    ratings = np.full(len(log), np.nan) if log.ratings is None else log.ratings
    least = whole_files.read_json(asked.run_dir / run_directory.ENVIRONMENT)[LIKE_FROM]
    questions = np.flatnonzero(np.isnan(ratings))
    if not len(questions):
        raise InputError(
            f"{asked.files[0]} has a rating in each row; what is asked about are the rows whose rating is empty."
        )
    is_first = np.append(True, log.users[1:] != log.users[:-1])
    starts = np.maximum.accumulate(np.where(is_first, np.arange(len(log)), 0))
    skipped = [*log.skipped]
    for chunk in np.array_split(questions, -(-len(questions) // CHUNK)):
        rows = []
        for row in chunk:
            past = np.arange(starts[row], row)
            past = past[~np.isnan(ratings[past])][-asked.settings["max_length"] :]
            user, item = str(log.user_ids[log.users[row]]), str(log.item_ids[log.items[row]])
            raw = _question(user, item, log.item_ids[log.items[past]], ratings[past] >= least)
            rows.append((f"{user}: {item}", raw))
        yield rows, skipped
        skipped = []


def _question(user: str, item: str, history: np.ndarray, liked: np.ndarray) -> dict[str, Any]:
    """A row of the SavedModel's inputs."""
    return {"users": user, "items": item, "histories": history.tolist(), "liked": liked.tolist()}


def _read(config: config.Settings, table: Known, data: Sequence[str], class_names: Sequence[str]):
    from kerasuite.data import histories

    log = _next_item.read_another("evaluate", data, asdict(config), most_named=None)
    if log.ratings is None:
        raise InputError(f"{data[0]} has no ratings. Name their column by --rating-column.")
    examples, notes = histories.last_items(log)
    return table.last_rows(examples), log.skipped, (*log.notes, *notes)


def _raw(longest: int, examples: Examples) -> Iterator[dict[str, Any]]:
    """Rows of the SavedModel's inputs, by the ids that the log has."""
    from kerasuite.data.likes import ITEMS, MARKS, USER

    users, items, marks = examples.facts[USER], examples.facts[ITEMS], examples.inputs[MARKS]
    for row in range(len(examples)):
        # The user's number stands before the marks; what is asked about is the last.
        past = slice(max(0, len(items[row]) - 1 - longest), -1)
        yield _question(str(users[row]), str(items[row][-1]), items[row][past], marks[row][1:][past] > 0)


def _answers(prepare: LikePreparation, model: keras.Model, examples: Examples) -> np.ndarray:
    from kerasuite.data import batches
    from kerasuite.evaluation import predict

    return predict.probabilities(model, batches.inference(examples, prepare, BATCH_SIZE))


def _titles(config: config.Settings, table: Known) -> dict[str, str]:
    """Of each item whose title is known."""
    found = _ranking.items(config, tuple(table.item_ids.tolist()))
    return {} if found is None else {item: title for item, title in zip(table.item_ids, found.titles) if title}


def _told(titles: Mapping[str, str], examples: Examples) -> list[str]:
    """Each row as a person reads it: the user, the item, and what was liked and what not before."""
    from kerasuite.data.likes import ITEMS, MARKS, USER

    told = []
    for row in range(len(examples)):
        *past, asked = (titles.get(item, item) for item in examples.facts[ITEMS][row].tolist())
        signs = examples.inputs[MARKS][row][1:-1] > 0
        before = ", ".join(f"{'+' if liked else '-'} {title}" for title, liked in [*zip(past, signs)][-SHOWN:])
        told.append(f"{asked} (user {examples.facts[USER][row]}; before: {before or 'nothing'})")
    return told
