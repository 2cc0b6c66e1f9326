"""A fitted recommender as a SavedModel: histories of item ids in, lists of items out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from kerasuite import whole_files
from kerasuite.errors import EnvironmentFault, InputError
from kerasuite.serving.replicas import Replicas

BATCH_SIZE = 128
# Items of a chunk, when the best of a row are looked for.
CHUNK = 64
# Two items whose scores lie this close are a tie, either may come first: of a list's largest, or of 1 if that is less.
TIE = 1e-4


class HistoryPreparation(Protocol):
    """What makes numbers of item ids, and can be traced into a SavedModel."""

    item_ids: tf.Tensor
    users: tf.lookup.StaticHashTable | None

    def serve_batch(self, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids (batch, items) to numbers from 1, 0 where there are no more, and how many ids were unknown (batch,)."""

    def cut(self, numbers: tf.Tensor) -> tf.Tensor:
        """What the model takes of them."""

    def with_users(self, users: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Users before them, where the model knows users."""


class ServableRecommender(tf.Module):
    """Preparation, scores of all items and the choice of the best, behind one signature.

    Args:
        scorer: numbers of items (batch, items) to scores (batch, number of items).
        popularity: of each item; who has no history gets the most popular.
        k: items of a list.
        repeats: whether what is in a history may be recommended.
        titles: of each item, '' where there is none.
    """

    def __init__(
        self,
        scorer: keras.Model,
        prepare: HistoryPreparation,
        popularity: np.ndarray,
        k: int,
        *,
        repeats: bool = False,
        titles: Sequence[str] | None = None,
    ):
        super().__init__(name="servable")
        self.scorer, self.prepare, self.k, self._repeats = scorer, prepare, k, repeats
        self._popularity = tf.constant(popularity, tf.float32)
        signature = [tf.TensorSpec([None, None], tf.string, name="histories")]
        if prepare.users is not None:
            signature.append(tf.TensorSpec([None], tf.string, name="users"))
        self.serve = tf.function(self._serve, input_signature=signature, autograph=False)
        self._titles = tf.zeros_like(prepare.item_ids) if titles is None else tf.constant(list(titles))
        self.catalogue = tf.function(self._catalogue, input_signature=[], autograph=False)

    def _catalogue(self):
        return {"item_ids": self.prepare.item_ids, "titles": self._titles}

    def _serve(self, histories, users=None):
        numbers, unknown = self.prepare.serve_batch(histories)
        known = tf.reduce_any(numbers > 0, -1)
        # Of a batch in which nobody has a history something must be read: an item that is not looked at.
        read = tf.cond(tf.reduce_any(known), lambda: self.prepare.cut(numbers), lambda: tf.ones_like(unknown)[:, None])
        if users is not None:
            read = self.prepare.with_users(users, read)
        scores = self.scorer(read, training=False)
        if not self._repeats:
            scores = without(scores, numbers)
        number = len(self.prepare.item_ids)
        best = top_k(scores, min(self.k, number))
        popular = top_k(self._popularity[None], min(self.k, number))
        found, places = (tf.where(known[:, None], *each) for each in zip(best, popular))
        short = [[0, 0], [0, max(self.k - number, 0)]]  # a list is as long in a small catalogue
        found, places = tf.pad(found, short, constant_values=-np.inf), tf.pad(places, short)
        return {
            "items": tf.where(found > -np.inf, tf.gather(self.prepare.item_ids, places), ""),
            "scores": found,  # both (batch, k), best first
            "unknown": unknown,
        }


def without(scores: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Scores (batch, items), -inf for the items numbered (from 1; 0 is none) in each row."""
    places = tf.where(numbers > 0)
    had = tf.stack([places[:, 0], tf.cast(tf.gather_nd(numbers, places), tf.int64) - 1], 1)
    return tf.tensor_scatter_nd_update(scores, had, tf.fill([tf.shape(had)[0]], tf.constant(-np.inf, scores.dtype)))


def top_k(scores: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """What tf.math.top_k gives of scores (batch, items), ties included, in less time where items are many.

    The best k stand in those k chunks of a row whose own best are best, so that few have to be put in order.
    """
    number = scores.shape[1]
    whole = number // CHUNK * CHUNK
    if number < 4 * k * CHUNK:
        return tf.math.top_k(scores, k)
    chunks = tf.reshape(scores[:, :whole], (-1, number // CHUNK, CHUNK))
    # In the order of their places: of equal scores the first comes first.
    good = tf.sort(tf.math.top_k(tf.reduce_max(chunks, -1), k).indices, axis=-1)  # (batch, k)
    places = tf.reshape(good[..., None] * CHUNK + tf.range(CHUNK), (-1, k * CHUNK))
    rest = tf.broadcast_to(tf.range(whole, number), (tf.shape(scores)[0], number - whole))
    candidates = tf.reshape(tf.gather(chunks, good, batch_dims=1), (-1, k * CHUNK))
    found, order = tf.math.top_k(tf.concat([candidates, scores[:, whole:]], 1), k)
    return found, tf.gather(tf.concat([places, rest], 1), order, batch_dims=1)


def export(path: Path, servable: ServableRecommender) -> None:
    """Write the SavedModel, whole or not at all.

    Signatures: `serving_default`, histories of item ids (batch, items), '' where a row is shorter, and where the model
    knows them users (batch,), to items and scores (batch, k) and the number of unknown ids (batch,); `catalogue`, to
    item_ids and titles.
    """
    signatures = {"serving_default": servable.serve, "catalogue": servable.catalogue}
    with whole_files.writing(path) as temporary:
        tf.saved_model.save(servable, str(temporary), signatures=signatures)


class Recommended(NamedTuple):
    """Lists of histories, best first: item ids and scores, (rows, k); how many ids of each were unknown, (rows,).

    A list that ends early has '' there.
    """

    items: np.ndarray
    scores: np.ndarray
    unknown: np.ndarray


class Lists(NamedTuple):
    """The same by number: positions in a catalogue, int32 (rows, k), -1 where a list has ended; and scores."""

    items: np.ndarray
    scores: np.ndarray


class Recommender:
    """Histories of item ids to lists, with nothing but `servable/`.

    Args:
        path: a SavedModel that `export` wrote.
        devices: names such as GPU:0; batches go to all of them by turns.

    Raises:
        InputError: there is no SavedModel, or it is of another kind.
    """

    def __init__(self, path: str | Path, devices: Sequence[str] = ()):
        if not tf.saved_model.contains_saved_model(str(path)):
            raise InputError(f"{path} holds no SavedModel; expected the servable/ of a finished run.")
        self._replicas = Replicas(path, devices)
        signatures = self._replicas.signatures
        if "catalogue" not in signatures:
            raise InputError(f"{path} has no signature catalogue; expected the servable/ of a recommender's run.")
        self._knows_users = "users" in signatures["serving_default"].structured_input_signature[1]
        catalogue = signatures["catalogue"]()
        self.item_ids, titles = (_text(catalogue[name]) for name in ("item_ids", "titles"))
        self.titles = {item: title for item, title in zip(self.item_ids.tolist(), titles.tolist()) if title}

    def __call__(
        self, histories: Iterable[Sequence[str]], users: Iterable[str] = (), batch_size: int = BATCH_SIZE
    ) -> Recommended:
        """The lists of histories, in order; users, if any are given, are as many."""
        parts = list(self._batches(zip(histories, chain(users, repeat(""))), batch_size))
        if not parts:
            return Recommended(np.empty((0, 0), "U1"), np.empty((0, 0), np.float32), np.empty(0, np.int32))
        return Recommended(*(np.concatenate([part[k] for part in parts]) for k in range(3)))

    def lists(self, histories: Iterable[Sequence[str]], users: Sequence[str], item_ids: Sequence[str]) -> Lists:
        """The lists of users' histories, in order, by positions in item_ids: names of many would take much memory."""
        place = {item: position for position, item in enumerate(item_ids)} | {"": -1}
        items, scores = np.empty((len(users), 0), np.int32), np.empty((len(users), 0), np.float32)
        start = 0
        for found in self._batches(zip(histories, users), BATCH_SIZE):
            if not start:
                items, scores = (np.empty((len(users), found.items.shape[1]), kind) for kind in (np.int32, np.float32))
            rows = slice(start, start + len(found.items))
            items[rows] = [[place[item] for item in row] for row in found.items.tolist()]
            scores[rows] = found.scores
            start = rows.stop
        return Lists(items, scores)

    def _batches(self, rows: Iterator[tuple[Sequence[str], str]], batch_size: int) -> Iterator[Recommended]:
        calls = [partial(self._answer, model.signatures["serving_default"]) for model in self._replicas.models]
        return self._replicas.answers(calls, iter(lambda: list(islice(rows, batch_size)), []))

    def _answer(self, serve: Callable[..., dict[str, tf.Tensor]], rows: list[tuple[Sequence[str], str]]) -> Recommended:
        width = max(len(history) for history, _ in rows)
        padded = [[*history, *[""] * (width - len(history))] for history, _ in rows]
        given = {"histories": tf.constant(padded, tf.string, (len(rows), width))}
        if self._knows_users:
            given["users"] = tf.constant([user for _, user in rows])
        answer = serve(**given)
        return Recommended(_text(answer["items"]), answer["scores"].numpy(), answer["unknown"].numpy())


def _text(strings: tf.Tensor) -> np.ndarray:
    """Strings as str; NumPy's own conversion knows ASCII alone."""
    return np.char.decode(strings.numpy().astype(bytes), "utf-8")


def compare(served: Lists, in_python: Lists, ids: Sequence[str]) -> dict[str, float]:
    """What the SavedModel recommends from strings, held against the model in Python, list by list.

    Returns:
        `checked`, `label_disagreements` (lists, each by ties alone) and `max_difference` of scores, as metrics.json has
        them.

    Raises:
        EnvironmentFault: a list has other items, and not because of ties; names the first rows.
    """
    is_item = (served.items >= 0) | (in_python.items >= 0)  # a list may be short
    differences = np.abs(np.subtract(served.scores, in_python.scores, out=np.zeros(is_item.shape), where=is_item))
    differing = np.flatnonzero((served.items != in_python.items).any(1))
    untied = [row for row in differing if not _is_tied(*(part[row] for part in (*served[:2], *in_python[:2])))]
    allowed = _tolerance(in_python.scores)[:, None]
    wrong = np.union1d(untied, np.flatnonzero(~(differences <= allowed).all(1))).astype(int)
    if len(wrong):
        named = ", ".join(str(ids[row]) for row in wrong[:5])
        raise EnvironmentFault(
            f"The exported model recommends other items than the model in Python to {len(wrong)} of "
            f"{len(served.items)} users ({named}): the export is not to be trusted, and the run is not finished."
        )
    return {
        "checked": len(served.items),
        "label_disagreements": len(differing),
        "max_difference": float(differences.max(initial=0.0)),
    }


def _is_tied(items: np.ndarray, scores: np.ndarray, others: np.ndarray, other_scores: np.ndarray) -> bool:
    """Whether two lists differ in the order of equal scores alone, and in which of equal ones came last."""
    if (items < 0).sum() != (others < 0).sum():
        return False
    items, scores, others, other_scores = (part[items >= 0] for part in (items, scores, others, other_scores))
    known, allowed = dict(zip(others, other_scores)), _tolerance(other_scores)
    return all(abs(known.get(item, other_scores[-1]) - score) <= allowed for item, score in zip(items, scores))


def _tolerance(scores: np.ndarray) -> np.ndarray:
    """How far scores of a list (..., k) may be apart: cosines are exact to float32, and then divided."""
    sizes = np.abs(scores, out=np.zeros_like(scores), where=np.isfinite(scores))
    return TIE * sizes.max(-1, initial=1.0)
