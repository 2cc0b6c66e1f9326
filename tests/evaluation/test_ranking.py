import numpy as np
import pytest

from kerasuite.columns import Ragged
from kerasuite.errors import InputError
from kerasuite.evaluation import ranking
from kerasuite.evaluation.intervals import wilson

RNG = np.random.default_rng(0)


def one_by_one(scores, history, target, cut):
    """A second implementation: sort all items, drop the history, look where the target stands."""
    order = [item for item in sorted(range(len(scores)), key=lambda item: (-scores[item], item)) if item not in history]
    place = order.index(target) + 1 if target in order else None
    hit = place is not None and place <= cut
    return {"ndcg": 1 / np.log2(place + 1) if hit else 0.0, "hit_rate": float(hit), "mrr": 1 / place if hit else 0.0}


@pytest.mark.parametrize("kind", ["distinct", "many equal", "all equal"])
def test_lists_and_their_measures_are_those_of_sorting_one_user_after_another(kind):
    scores = {
        "distinct": RNG.normal(size=(40, 60)),
        "many equal": RNG.integers(0, 4, (40, 60)),
        "all equal": np.ones((40, 60)),
    }
    scores = scores[kind].astype(np.float32)
    histories = Ragged.of([RNG.permutation(60)[: RNG.integers(0, 30)].tolist() for _ in range(40)])
    targets = RNG.integers(0, 60, 40)
    found = ranking.by_user(ranking.best(ranking.without(scores, histories), 20), targets)
    for user in range(40):
        for cut in ranking.CUTS:
            expected = one_by_one(scores[user], set(histories[user].tolist()), targets[user], cut)
            for name, value in expected.items():
                assert found[f"{name}@{cut}"][user] == pytest.approx(value), (user, name, cut)


def test_the_measures_of_a_target_in_each_place_are_those_worked_by_hand():
    lists = np.tile(np.arange(20), (4, 1))
    found = ranking.by_user(lists, np.array([0, 2, 7, 99]))
    np.testing.assert_allclose(found["ndcg@10"], [1, 0.5, 1 / np.log2(9), 0])
    np.testing.assert_allclose(found["mrr@5"], [1, 1 / 3, 0, 0])
    np.testing.assert_allclose(found["hit_rate@5"], [1, 1, 0, 0])


def test_of_equal_scores_the_first_item_comes_first():
    assert ranking.best(np.array([[0.0, 5.0, 5.0, 5.0, 1.0]]), 3).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("number", [5, 64 * 12, 64 * 12 + 63, 2000])
def test_the_best_of_many_are_those_of_putting_all_in_order(number):
    rng = np.random.default_rng(number)
    # Of few values many are equal, of many the best are apart; some items are left out, and of one row nearly all.
    scores = np.concatenate([rng.choice([-np.inf, *range(values)], (50, number)) for values in (5, 10 * number)])
    scores[0, 2:] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    expected = np.where(np.take_along_axis(scores, order, 1) > -np.inf, order, -1)
    np.testing.assert_array_equal(ranking.best(scores, 3), expected)


def test_a_list_is_short_where_there_are_too_few_items():
    assert ranking.best(ranking.without(np.zeros((1, 4)), Ragged.of([[0, 3]])), 4).tolist() == [[1, 2, -1, -1]]


def test_an_item_that_is_no_item_is_never_a_hit():
    assert ranking.by_user(np.full((1, 20), -1), np.array([3]))["hit_rate@20"].tolist() == [0]


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="NaN"):
        ranking.best(np.array([[0.0, np.nan]]), 1)


def test_lists_that_are_too_short_for_a_measure_are_refused():
    with pytest.raises(InputError, match="20 are needed"):
        ranking.by_user(np.zeros((2, 10), int), np.zeros(2, int))


def test_hit_rates_have_wilsons_interval_and_gains_a_bootstrapped_one():
    scores = ranking.by_user(np.tile(np.arange(20), (100, 1)), np.repeat([0, 50], [30, 70]))
    found = ranking.estimates(scores)
    assert found["hit_rate@10"] == wilson(30, 100)
    gain = found["ndcg@10"]
    assert (gain.value, gain.n) == (0.3, 100)
    assert gain.low == pytest.approx(0.3 - 1.96 * np.sqrt(0.3 * 0.7 / 100), abs=0.02)


def test_some_users_can_be_looked_at_alone():
    scores = ranking.by_user(np.tile(np.arange(20), (4, 1)), np.array([0, 0, 50, 50]))
    found = ranking.estimates(scores, np.array([0, 2]))
    assert (found["hit_rate@5"].value, found["hit_rate@5"].n) == (0.5, 2)


def test_head_middle_and_tail_have_a_third_of_the_interactions_each():
    counts = np.array([10, 10, 5, 5] + [1] * 30 + [0] * 3)
    groups = ranking.popularity_groups(counts)
    assert groups[:4].tolist() == [0, 0, 1, 1]  # 20 and 20 interactions ...
    assert [counts[groups == group].sum() for group in range(4)] == [20, 10 + 10, 20, 0]
    assert set(groups[counts == 0]) == {3}


def test_beyond_accuracy_is_what_is_worked_by_hand():
    found = ranking.beyond_accuracy(np.array([[0, 1], [0, 1]]), np.array([3, 1, 0, 0]), 2)
    assert found["coverage"] == 0.5
    assert found["popularity"] == 2.0
    # Shares with one more each: 4/8 and 2/8, that is one bit and two.
    assert found["novelty"] == pytest.approx(1.5)
    # Lorenz curve of 0, 0, 2, 2: the Gini coefficient is 0.5.
    assert found["gini"] == pytest.approx(0.5)
