"""How a recommender is scored and reported: its lists against those of the baselines, user by user."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasuite import config, devices, run_directory, whole_files
from kerasuite.config import command
from kerasuite.contracts import Examples, Splits
from kerasuite.errors import InputError
from kerasuite.pipelines import _next_item

if TYPE_CHECKING:
    import keras

    from kerasuite.data.item_ids import HistoryPreparation
    from kerasuite.data.item_table import Items
    from kerasuite.evaluation.ranking_report import Rankings
    from kerasuite.serving.recommender import Lists
    from kerasuite.training.fit import Fitted

PIPELINE = "lstm_recommender"
NEIGHBOURS_OF, NEIGHBOURS = 12, 5
SERVING_INPUT = 'histories=tf.constant([["id1", "id2"], ["id3", ""]])'
SERVING_USERS = ', users=tf.constant(["user1", ""])'


def items(config: config.Settings, item_ids: tuple[str, ...]) -> Items | None:
    """Titles and groups of the catalogue, from the table that is named, or that lies beside the log; None without.

    Raises:
        InputError: the table that is named cannot be used.
    """
    from kerasuite.data import item_table, log_tables, order_sample

    if config.items:
        return item_table.read(Path(config.items).expanduser(), item_ids)
    if order_sample.NAME in config.data:
        return None
    path = item_table.beside(log_tables.paths(config.data[:1])[0])
    try:
        return item_table.read(path, item_ids) if path else None
    except InputError as fault:
        return item_table.unused(path, fault, len(item_ids))


def preparation(config: config.Settings, train: Examples) -> HistoryPreparation:
    """What makes numbers of the ids of items and users."""
    from kerasuite.data.item_ids import HistoryPreparation

    return HistoryPreparation(train.class_names, config.max_length, _next_item.user_ids(config, train))


def finish(
    config: config.Settings, fitted: Fitted, splits: Splits, run_dir: Path, seconds: Mapping[str, float] | None
) -> dict[str, Any]:
    """Export, ask the export for a list for every test user, and write the report; metrics.json comes last."""
    from kerasuite.data import histories
    from kerasuite.models import next_item
    from kerasuite.serving import recommender as serving
    from kerasuite.training.checkpoint import discard

    began = time.monotonic()
    scorer = next_item.scorer(fitted.model)
    with whole_files.writing(run_dir / run_directory.MODEL) as path:
        scorer.save(path)
    prepare = preparation(config, splits.train)
    counts = np.bincount(histories.sequences(splits.train).values, minlength=len(splits.train.class_names))
    known = items(config, splits.train.class_names)
    titles = known.titles if known else None
    servable = serving.ServableRecommender(
        scorer, prepare, counts, config.top_k, repeats=config.repeat_items, titles=titles
    )
    serving.export(run_dir / run_directory.SERVABLE, servable)

    served = served_lists(run_dir, splits.test, splits.test.class_names, devices.local(config.devices))
    checked = serving.compare(served, in_python(config, scorer, splits), splits.test.ids)
    found = rankings(config, splits, splits.test, served.items, counts, known)
    seconds = dict(seconds or {}) | {"evaluate": time.monotonic() - began}
    metrics = write(
        run_dir,
        found,
        facts={
            "pipeline": PIPELINE,
            "examples": splits.counts,
            "kept": fitted.kept,
            "servable": checked,
            "seconds": seconds | {"total": sum(seconds.values())},
        },
        history=fitted.history,
        near=neighbours(scorer, counts),
        title=f"{config.model} on {Path(config.data[0]).name}",
        summary=" ".join(splits.notes),
        warnings=splits.warnings,
        settings=asdict(config),
        command=command(PIPELINE, config),
    )
    discard(run_dir / run_directory.CHECKPOINTS)
    return metrics


def in_python(config: config.Settings, scorer: keras.Model, splits: Splits) -> Lists:
    """What the model in Python recommends to the users of the test, as the export is held against it."""
    import tensorflow as tf

    from kerasuite.data import batches, histories
    from kerasuite.evaluation import ranking
    from kerasuite.serving.recommender import Lists

    # As one function: op by op a history takes many times as long.
    score = tf.function(lambda x: scorer(x, training=False), [tf.TensorSpec((None, None), tf.int32)], autograph=False)
    order, examples = by_length(splits.test)
    history = examples.inputs[histories.HISTORY]
    rows_of_users = _next_item.of_users(examples, _next_item.user_ids(config, splits.train))
    items = np.empty((len(examples), config.top_k), np.int32)
    scores = np.empty(items.shape, np.float32)
    start = 0
    at_once = max(1, _next_item.SCORES // len(examples.class_names))
    for x in batches.inference(rows_of_users, preparation(config, splits.train), min(at_once, 512)):
        rows = np.arange(start, start + len(x))
        found = score(x).numpy()
        found = found if config.repeat_items else ranking.without(found, history[rows])
        items[order[rows]] = lists = ranking.best(found, config.top_k)
        scores[order[rows]] = np.where(lists >= 0, np.take_along_axis(found, lists, 1), -np.inf)
        start += len(x)
    return Lists(items, scores)


def by_length(examples: Examples) -> tuple[np.ndarray, Examples]:
    """The rows in the order of their histories' lengths, so that little of a batch is padding; and that order."""
    from kerasuite.data import histories

    order = np.argsort(examples.inputs[histories.HISTORY].lengths, kind="stable")
    return order, examples.take(order)


def rankings(
    config: config.Settings,
    splits: Splits,
    examples: Examples,
    served: np.ndarray,
    counts: np.ndarray,
    known: Items | None = None,
) -> Rankings:
    """The model's lists and those of the baselines, of which validation's users choose the best.

    Args:
        splits: what the baselines are fitted on.
        examples: users whose next item is known, in terms of the training catalogue or of one with more items.
        served: positions in the examples' catalogue (users, k), best first.
        counts: training interactions of each item of the examples' catalogue.
        known: titles and groups of the items.
    """
    from kerasuite.data import histories, order_sample
    from kerasuite.evaluation import ranking, recommenders
    from kerasuite.evaluation.ranking_report import Rankings

    train, validation = splits.train, splits.validation
    past = recommenders.Past(
        histories.sequences(train), len(train.class_names), train.facts.get(histories.TIMES), config.repeat_items
    )
    fitted = recommenders.fit_all(past)

    def quality(lists) -> float:
        found = lists(validation.inputs[histories.HISTORY], ranking.LONGEST)
        return ranking.by_user(found, validation.labels)[ranking.HEADLINE].mean()

    best = max(fitted, key=lambda name: quality(fitted[name]))
    history = examples.inputs[histories.HISTORY]
    made_up = order_sample.NAME in config.data
    return Rankings(
        targets=examples.labels,
        lists=served,
        baselines={name: lists(history, ranking.LONGEST) for name, lists in fitted.items()},
        best_baseline=best,
        ids=examples.ids,
        histories=history,
        item_ids=examples.class_names,
        item_names=_names(examples.class_names, known),
        counts=counts,
        item_groups=known.groups if known is not None and (known.groups != "").any() else None,
        optimum=order_sample.best_lists(history, ranking.LONGEST) if made_up else None,
    )


def _names(item_ids: Sequence[str], known: Items | None) -> list[str]:
    """The title of each item, or its id where there is none."""
    if known is None:
        return list(item_ids)
    titles = [*known.titles.tolist(), *[""] * (len(item_ids) - len(known.titles))]
    return [title or item for title, item in zip(titles, item_ids)]


def served_lists(run_dir: Path, examples: Examples, item_ids: Sequence[str], used: Sequence[str]) -> Lists:
    """What `servable/`, on each of these devices, recommends to users by their histories; as positions in item_ids."""
    from kerasuite.data import histories
    from kerasuite.serving.recommender import Lists, Recommender

    order, examples = by_length(examples)
    history, names = examples.inputs[histories.HISTORY], np.array(examples.class_names, object)
    written = (names[history[row]] for row in range(len(history)))
    found = Recommender(run_dir / run_directory.SERVABLE, used).lists(written, examples.ids, item_ids)
    back = np.argsort(order)
    return Lists(found.items[back], found.scores[back])


def neighbours(scorer: keras.Model, counts: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Items with many interactions, and for each those whose vectors point most nearly the same way."""
    from kerasuite.models.recommender import table_of

    vectors = table_of(scorer).get_weights()[0][1:]
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    found = []
    # Of an item with no interactions the vector is as it was drawn.
    trained = np.flatnonzero(counts)
    for item in trained[np.argsort(-counts[trained], kind="stable")][:NEIGHBOURS_OF]:
        others = trained[trained != item]
        found.append((int(item), others[np.argsort(-(vectors[others] @ vectors[item]), kind="stable")][:NEIGHBOURS]))
    return found


def write(
    folder: Path,
    rankings: Rankings,
    *,
    facts: Mapping[str, Any],
    history: Sequence[Mapping[str, float]] | None = None,
    near: Sequence[tuple[int, np.ndarray]] = (),
    **page: Any,
) -> dict[str, Any]:
    """The files of the results.

    Args:
        facts: the rest of metrics.json.
        page: further arguments of `results.finish`.
    """
    from kerasuite.evaluation import ranking_report, results

    confusion = ranking_report.group_confusion(rankings)
    whole_files.write(folder / f"{run_directory.CONFUSION_MATRIX}.csv", confusion.frame().write_csv())
    whole_files.write(folder / run_directory.PREDICTIONS, ranking_report.predictions(rankings).write_csv())
    metrics = dict(facts) | ranking_report.numbers(rankings)
    sections = ranking_report.sections(rankings, metrics, confusion, history, near)
    given = SERVING_INPUT + (SERVING_USERS if page["settings"]["user_embedding"] else "")
    names = {"serving_input": given, "serving_outputs": "items, scores, unknown", "unit": "users"}
    results.finish(folder, metrics, sections, **names, **page)
    return metrics
