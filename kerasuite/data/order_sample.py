"""A log that is made up, in which the order of items decides what comes next, and the best answer is known."""

from __future__ import annotations

import numpy as np

from kerasuite.data.interactions import Log

NAME = "order_sample"
NUM_USERS, NUM_ITEMS, LENGTH = 3000, 120, 16
# What comes next lies so many places behind the last item: which it is, the item before that decides.
STEPS = (1, 2, 3, 4, 5, 6, 7)
CERTAIN = 0.85


def follower(before: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The item that follows most often: items are on a ring, and the one before the last says how far to go.

    Example:
        >>> follower(np.array([0, 9]), np.array([9, 0])).tolist()  # the order counts
        [10, 3]
    """
    return (last + np.array(STEPS)[before % len(STEPS)]) % NUM_ITEMS


def log(seed: int = 0) -> Log:
    """The made-up log: 48,000 interactions, of which each user's are with different items.

    The next item is the `follower` of the last two with a chance of 0.85, and otherwise any that the user has not had;
    so it is where the user has had the follower.
    """
    rng = np.random.default_rng(seed)
    items = np.empty((NUM_USERS, LENGTH), np.int32)
    had = np.zeros((NUM_USERS, NUM_ITEMS), bool)
    everyone = np.arange(NUM_USERS)
    for place in range(LENGTH):
        chances = rng.random((NUM_USERS, NUM_ITEMS))
        chances[had] = -1
        items[:, place] = chances.argmax(1)
        if place >= 2:
            expected = follower(items[:, place - 2], items[:, place - 1])
            follows = (rng.random(NUM_USERS) < CERTAIN) & ~had[everyone, expected]
            items[:, place] = np.where(follows, expected, items[:, place])
        had[everyone, items[:, place]] = True
    users = np.repeat(everyone, LENGTH).astype(np.int32)
    names = np.array([f"item_{number:03d}" for number in range(NUM_ITEMS)])
    user_ids = np.array([f"user_{number:04d}" for number in range(NUM_USERS)])
    times = np.tile(np.arange(LENGTH, dtype=float), NUM_USERS)
    return Log(users, items.ravel(), times, None, user_ids, names)


def best_lists(histories, k: int) -> np.ndarray:
    """What who knows the rule would recommend: the follower first, then any items that the user has not had.

    Args:
        histories: Ragged items.

    Returns:
        int (rows, k).
    """
    lists = np.empty((len(histories), k), np.int32)
    for row in range(len(histories)):
        history = histories[row]
        wanted = np.arange(NUM_ITEMS)
        if len(history) >= 2:
            wanted = np.concatenate([[follower(history[-2], history[-1])], wanted])
        wanted = wanted[~np.isin(wanted, history)]
        lists[row] = wanted[np.sort(np.unique(wanted, return_index=True)[1])][:k]
    return lists
