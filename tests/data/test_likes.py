import numpy as np
import pytest

from kerasuite.columns import Ragged
from kerasuite.data import histories, like_ids, likes
from kerasuite.data.interactions import Log
from kerasuite.errors import InputError

# (user, item, rating) in order of time: a has p, q, r; b has q, p, s, where s is nobody else's.
ROWS = [("a", "p", 5), ("a", "q", 1), ("a", "r", 4), ("b", "q", 2), ("b", "p", 5), ("b", "s", 1)]


def log(rows=ROWS, *, rated=True):
    users, items, ratings = zip(*rows)
    user_ids, users = np.unique(users, return_inverse=True)
    item_ids, items = np.unique(items, return_inverse=True)
    codes = users.astype(np.int32), items.astype(np.int32)
    return Log(*codes, None, np.array(ratings, np.float32) if rated else None, user_ids, item_ids)


def train_and_test(rows=ROWS, **options):
    """All but each user's last two, and the last."""
    parts = histories.split(log(rows, **options), "last", validation_fraction=0.1, test_fraction=0.1)
    return parts.train, parts.test


def lists(column):
    return [row.tolist() for row in column]


def test_ratings_from_the_mean_of_training_on_are_likes():
    train, _ = train_and_test()  # trained on are a's 5 and b's 2
    least, said = likes.like_from(train, None)
    assert least == 3.5
    assert "from a rating of 3.5 on, the mean of the training ratings" in said
    assert "50.0%" in said
    assert "Ratings run from 2 to 5." in said
    assert likes.like_from(train, 5.0)[0] == 5.0


@pytest.mark.parametrize(("least", "which"), [(1.0, "all are likes"), (6.0, "none are likes")])
def test_likes_that_are_all_alike_are_refused(least, which):
    with pytest.raises(InputError, match=which):
        likes.like_from(train_and_test()[0], least)


def test_a_log_without_ratings_is_refused_with_the_flag():
    with pytest.raises(InputError, match="--rating-column"):
        likes.like_from(train_and_test(rated=False)[0], None)


def test_a_row_asks_about_a_users_last_item_after_the_marks_of_those_before():
    train, test = train_and_test()
    known = likes.Known.of(train, 3.5)
    assert known.item_ids.tolist() == ["p", "q"]  # r and s are not trained on: 3
    rows = known.last_rows(test)
    assert lists(rows.inputs["marks"]) == [[1, 1, -2, 3], [2, -2, 1, -3]]
    assert rows.labels.tolist() == [1, 0]
    assert rows.ids.tolist() == ["a: r", "b: s"]
    assert rows.class_names == ("not liked", "liked")
    assert lists(rows.facts["items"]) == [["p", "q", "r"], ["q", "p", "s"]]


def test_long_histories_are_trained_on_in_pieces_with_their_users_number():
    rows = [("a", item, 5 - k) for k, item in enumerate("pqrst")] + [("b", "p", 1), ("b", "q", 5)]
    train, _ = train_and_test([*rows, ("a", "y", 1), ("a", "z", 1)])
    known = likes.Known.of(train, 3.0)
    assert lists(known.train) == [[1, 2, 3, -4, -5], [-1, 2]]
    assert lists(known.sequences(2).inputs["marks"]) == [[1, -4, -5], [1, 2, 3], [1, 1], [2, -1, 2]]


def test_what_is_known_of_a_rating_is_what_came_before_it_and_what_others_said_of_the_item():
    marks = Ragged.of([[1, -2], [1], [-1], [1], [1], [2]])  # the last row is in the first one's fold
    counts = likes.Counts.of(marks, 2)
    share = 5 / 7
    smoothed = lambda liked, rated: (liked + 5 * share) / (rated + 5)  # noqa: E731
    first, second, *_ = counts.described(marks, trained_on=True)
    # Four others rated the first item, three of them liked it; of the second nobody in another fold said anything.
    np.testing.assert_allclose(first, [share, 0, smoothed(3, 4), np.log(5)], rtol=1e-6)
    np.testing.assert_allclose(second, [smoothed(1, 1), np.log(2), share, 0], rtol=1e-6)
    new = counts.described(Ragged.of([[-2, 1]]), trained_on=False)
    np.testing.assert_allclose(new[1], [smoothed(0, 1), np.log(2), smoothed(4, 5), np.log(6)], rtol=1e-6)


def test_a_rating_says_nothing_of_its_own_description():
    rng = np.random.default_rng(0)
    rows = [(rng.permutation(9) + 1) * rng.choice([-1, 1], 9) for _ in range(40)]
    changed = [row.copy() for row in rows]
    changed[7][4] *= -1
    before, after = (
        likes.Counts.of(Ragged.of(every), 9).described(Ragged.of(every), trained_on=True) for every in (rows, changed)
    )
    place = 7 * 9 + 4
    # Only the overall share, which all descriptions hold, has changed, by one like of 360.
    np.testing.assert_allclose(before[place], after[place], atol=5 / 360)
    assert (before[place, [1, 3]] == after[place, [1, 3]]).all()
    assert after[place + 1, 0] != pytest.approx(before[place + 1, 0], abs=5 / 360)


def test_the_exported_preparation_gives_the_numbers_of_training():
    train, test = train_and_test()
    known = likes.Known.of(train, 3.5)
    prepare = like_ids.LikePreparation(known.user_ids, known.item_ids, 2)
    served = prepare.serve_batch(
        np.array(["a", " b ", "new"]),
        np.array(["r", "s", "q"]),
        np.array([["p", "q"], ["q", "p"], [" ", ""]]),
        np.array([[True, False], [False, True], [True, True]]),
    )
    # An unknown item is 3, whatever it is; what is asked about stands there without a sign.
    assert served.numpy().tolist() == [[1, 1, -2, 3], [2, -2, 1, 3], [0, 2, 0, 0]]
    rows = known.last_rows(test).inputs["marks"]
    import tensorflow as tf

    ragged = tf.RaggedTensor.from_row_splits(rows.values, rows.offsets)
    assert prepare.collate(ragged).numpy().tolist() == [[1, 1, -2, 3], [2, -2, 1, -3]]
    shorter = like_ids.LikePreparation(known.user_ids, known.item_ids, 1)
    assert shorter.collate(ragged).numpy().tolist() == [[1, -2, 3], [2, 1, -3]]
