"""Ratings to likes: who liked what, in order, and what could be known of either before.

A user's history is written as marks: the number of each item, from 1, negative where it was not liked.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from kerasuite.columns import Ragged, RowIds
from kerasuite.contracts import Examples
from kerasuite.data.duplicates import DIGEST
from kerasuite.data.histories import RATINGS, behind, pieces, positions, sequences
from kerasuite.errors import InputError

MARKS, RATES, USER, ITEMS = "marks", "rates", "user", "items"
CLASS_NAMES = ("not liked", "liked")
# So many ratings of the average stand beside those of a user or an item: of few ratings a share says little.
PRIOR = 5.0
FOLDS = 5


def like_from(train: Examples, asked: float | None) -> tuple[float, str]:
    """The rating from which on an item is liked, and the sentence that says so: the mean of training, if not asked for.

    Raises:
        InputError: there are no ratings, or all training ratings lie on one side.
    """
    if RATINGS not in train.facts:
        raise InputError("The log has no ratings to learn likes from. Name their column by --rating-column.")
    ratings = train.facts[RATINGS].values
    least = float(ratings.mean(dtype=np.float64)) if asked is None else asked
    share = float((ratings >= least).mean())
    if share in (0, 1):
        raise InputError(
            f"Ratings of the training rows run from {ratings.min():g} to {ratings.max():g}: with --like-from "
            f"{least:g} {'all' if share else 'none'} are likes."
        )
    why = ", the mean of the training ratings, if --like-from says nothing else" if asked is None else ""
    seen = f"Ratings run from {ratings.min():g} to {ratings.max():g}."
    return least, f"{seen} An item is liked from a rating of {least:.3g} on{why}: {share:.1%} of the training rows are."


@dataclass(frozen=True)
class Counts:
    """Ratings and likes of each item, by fold of the users: the counts that a training row is described by are those
    of other folds, so that they know nothing of its own rating.

    Args:
        ratings, likes: float32 (folds, items).
    """

    ratings: np.ndarray
    likes: np.ndarray

    @classmethod
    def of(cls, marks: Ragged, num_items: int) -> Counts:
        """Counted from training's marks, whose numbers are 1 to num_items."""
        places = _folds(marks) * num_items + np.abs(marks.values) - 1
        shape = FOLDS, num_items
        ratings = np.bincount(places, minlength=FOLDS * num_items).reshape(shape)
        likes = np.bincount(places, marks.values > 0, FOLDS * num_items).reshape(shape)
        return cls(ratings.astype(np.float32), likes.astype(np.float32))

    def described(self, marks: Ragged, *, trained_on: bool) -> np.ndarray:
        """What was known of every mark's user and item before: float32 (total, 4).

        The user's share of likes and the logarithm of 1 + their ratings, of those earlier in the row; the item's.

        Args:
            trained_on: these are the marks that were counted: each item's counts are those of other folds of users.
        """
        items = np.abs(marks.values) - 1
        ratings, likes = self.ratings.sum(0)[items], self.likes.sum(0)[items]
        if trained_on:
            folds = _folds(marks)
            ratings, likes = ratings - self.ratings[folds, items], likes - self.likes[folds, items]
        share = self.likes.sum() / self.ratings.sum()
        liked = (marks.values > 0).astype(np.float32)
        starts = np.repeat(marks.offsets[:-1], marks.lengths)
        before = np.concatenate([[0], np.cumsum(liked, dtype=np.float64)])
        own_ratings, own_likes = np.arange(len(items)) - starts, before[:-1] - before[starts]
        smoothed = lambda likes, ratings: (likes + PRIOR * share) / (ratings + PRIOR)  # noqa: E731
        columns = smoothed(own_likes, own_ratings), np.log1p(own_ratings), smoothed(likes, ratings), np.log1p(ratings)
        return np.stack(columns, 1).astype(np.float32)


def _folds(marks: Ragged) -> np.ndarray:
    """The fold of each mark's user."""
    return np.repeat(np.arange(len(marks)) % FOLDS, marks.lengths)


@dataclass(frozen=True)
class Known:
    """What training knows: its users and items, numbered from 1 as they stand here, and how they rated.

    An item that it has not is numbered len(item_ids) + 1, a user 0.
    """

    user_ids: np.ndarray
    item_ids: np.ndarray
    least: float
    train: Ragged
    counts: Counts

    @classmethod
    def of(cls, train: Examples, least: float) -> Known:
        """From training's histories, where an item is liked from this rating on."""
        items = np.unique(sequences(train).values)
        item_ids = np.asarray(train.class_names)[items]
        marks = _marks(train, item_ids, least)
        return cls(np.asarray(train.ids), item_ids, least, marks, Counts.of(marks, len(item_ids) + 1))

    def sequences(self, longest: int) -> Examples:
        """What is trained on: all of training's marks, so many a row at most, with their user's number before them."""
        marks, rows = pieces(self.train, longest, 0)
        return Examples({MARKS: behind(rows + 1, marks)}, marks.values[marks.offsets[1:] - 1] > 0, rows, CLASS_NAMES)

    def training_rows(self) -> Examples:
        """A row for each training rating: what was known before, and whether the item was liked."""
        users = np.repeat(self.user_ids, self.train.lengths)
        facts = {DIGEST: _digests(users, self.item_ids[np.abs(self.train.values) - 1])}
        inputs = {RATES: self.counts.described(self.train, trained_on=True)}
        return Examples(
            inputs, self.train.values > 0, RowIds("rating", np.arange(len(users))), CLASS_NAMES, facts=facts
        )

    def last_rows(self, examples: Examples) -> Examples:
        """A row for each user: is the last item liked? Facts: the ids of the user and of all the items."""
        marks = _marks(examples, self.item_ids, self.least)
        ends = marks.offsets[1:] - 1
        numbers = positions(examples.ids, self.user_ids) + 1
        inputs = {MARKS: behind(numbers, marks), RATES: self.counts.described(marks, trained_on=False)[ends]}
        users, items = np.asarray(examples.ids), np.asarray(examples.class_names)[sequences(examples).values]
        ids = np.array([f"{user}: {item}" for user, item in zip(users, items[ends])])
        facts = {DIGEST: _digests(users, items[ends]), USER: users, ITEMS: Ragged(items, marks.offsets)}
        return Examples(inputs, marks.values[ends] > 0, ids, CLASS_NAMES, facts=facts)


def _marks(examples: Examples, item_ids: np.ndarray, least: float) -> Ragged:
    """Each row's items with its target behind them, as marks."""
    items = sequences(examples)
    places = positions(examples.class_names, item_ids)
    numbers = np.where(places < 0, len(item_ids), places)[items.values] + 1
    liked = examples.facts[RATINGS].values >= least
    return Ragged(np.where(liked, numbers, -numbers).astype(np.int32), items.offsets)


def _digests(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """What tells a rating from others: of its user's and its item's id."""
    pairs = zip(users.tolist(), items.tolist())
    found = (blake2b(f"{user}\t{item}".encode(), digest_size=16).hexdigest() for user, item in pairs)
    return np.fromiter(found, "S32", len(users))
