import numpy as np
import pytest

from kerasuite.columns import Ragged
from kerasuite.evaluation import recommenders
from kerasuite.evaluation.ranking import best, without
from kerasuite.evaluation.recommenders import Past

RNG = np.random.default_rng(0)
SEQUENCES = Ragged.of([RNG.permutation(25)[: RNG.integers(2, 12)].tolist() for _ in range(80)])
HISTORIES = Ragged.of([RNG.permutation(25)[: RNG.integers(1, 9)].tolist() for _ in range(30)])
PAST = Past(SEQUENCES, 25)


def had(sequences, number=25):
    """A dense matrix of who had what."""
    matrix = np.zeros((len(sequences), number))
    for row in range(len(sequences)):
        matrix[row, sequences[row]] = 1
    return matrix


def test_the_most_popular_come_in_order_without_what_was_had():
    past = Past(Ragged.of([[0, 1, 2], [1, 2], [2], [3, 2]]), 5)
    lists = recommenders.most_popular(past)(Ragged.of([[4], [2, 1]]), 4)
    assert lists.tolist() == [[2, 1, 0, 3], [0, 3, 4, -1]]


@pytest.mark.parametrize("name", ["most_popular", "most_popular_recently"])
def test_what_was_had_takes_no_item_from_the_lists_of_others_among_many_items(name):
    # Popular items have low numbers here, so that most of what was had lies far beyond those that are recommended.
    popularity = 1 / np.arange(1, 601)
    draw = lambda size: RNG.choice(600, size, replace=False, p=popularity / popularity.sum())  # noqa: E731
    sequences, histories = (Ragged.of([draw(RNG.integers(2, 30)).tolist() for _ in range(200)]) for _ in range(2))
    times = Ragged(np.zeros(len(sequences.values)), sequences.offsets)
    past = Past(sequences, 600, times)
    scores = np.tile(past.counts.astype(np.float32), (200, 1))
    expected = best(without(scores, histories), 10)
    assert recommenders.fit_all(past)[name](histories, 10).tolist() == expected.tolist()


def test_where_items_may_come_again_they_are_recommended_again():
    past = Past(Ragged.of([[0, 1], [1]]), 3, repeats=True)
    assert recommenders.most_popular(past)(Ragged.of([[1]]), 2).tolist() == [[1, 0]]


def test_where_items_may_come_again_what_a_user_had_most_often_is_a_baseline():
    past = Past(Ragged.of([[0, 1], [1, 1, 3]]), 5, repeats=True)
    assert recommenders.fit_all(past)["own_most_frequent"](Ragged.of([[4, 0, 4], []]), 4).tolist() == [
        [4, 0, 1, 3],
        [1, 0, 3, 2],
    ]
    assert "own_most_frequent" not in recommenders.fit_all(Past(past.sequences, 5))


def test_what_was_popular_long_ago_is_not_popular_recently():
    sequences = Ragged.of([[0, 1]] * 5 + [[2]] * 2)
    times = Ragged.of([[0.0, 1.0]] * 5 + [[9.0]] * 2, float)
    past = Past(sequences, 3, times)
    assert recommenders.most_popular(past)(Ragged.of([[]]), 1).tolist() == [[0]]
    assert recommenders.most_popular_recently(past)(Ragged.of([[]]), 1).tolist() == [[2]]


def test_markov_counts_what_came_after_the_last_item():
    past = Past(Ragged.of([[0, 1], [0, 1], [0, 2], [3, 4], [5], [4, 4]]), 6)
    lists = recommenders.markov(past)(Ragged.of([[3, 0], [0, 3], [5], []]), 3)
    assert lists[0, :2].tolist() == [1, 2]
    assert lists[1, 0] == 4
    # Nothing ever came after 5: what is popular does (0 and 4 three times, the first of them first).
    assert lists[2].tolist() == lists[3].tolist() == [0, 4, 1]


def shrunk_cosines():
    both = had(SEQUENCES).T @ had(SEQUENCES)
    norms = np.sqrt(np.diag(both))
    cosines = both / np.outer(norms, norms) * both / (both + recommenders.SHRINK)
    np.fill_diagonal(cosines, 0)
    return cosines


@pytest.mark.parametrize("cells", [2**24, 150])
def test_neighbours_are_those_of_dense_cosines_in_blocks_of_any_size(monkeypatch, cells):
    monkeypatch.setattr(recommenders, "_BLOCK_CELLS", cells)
    # What is linked to nothing comes by popularity, which is too little to change the order of links.
    scores = had(HISTORIES) @ shrunk_cosines() + 1e-9 * had(SEQUENCES).sum(0)
    expected = best(without(scores, HISTORIES), 8)
    assert recommenders.item_knn(PAST)(HISTORIES, 8).tolist() == expected.tolist()


@pytest.mark.parametrize("cells", [2**24, 150])
def test_of_an_items_neighbours_the_nearest_alone_count(monkeypatch, cells):
    monkeypatch.setattr(recommenders, "_BLOCK_CELLS", cells)
    monkeypatch.setattr(recommenders, "NEIGHBOURS", 5)
    popularity = had(SEQUENCES).sum(0)
    found = recommenders.item_knn(PAST)(Ragged.of([[item] for item in range(25)]), 8)
    for item, (cosines, near) in enumerate(zip(shrunk_cosines(), found)):
        np.testing.assert_allclose(cosines[near[:5]], np.sort(cosines)[::-1][:5], rtol=1e-5)
        # Behind them come the most popular.
        others = [other for other in np.argsort(-popularity, kind="stable") if other not in {item, *near[:5]}]
        assert near[5:].tolist() == others[:3]


def test_ease_solves_the_ridge_regression_of_each_item_on_all_others():
    matrix = had(SEQUENCES)
    weights = np.zeros((25, 25))
    for item in range(25):
        others = np.delete(np.arange(25), item)
        # With a ridge R the zero-diagonal least squares of a column on the others.
        a = matrix[:, others]
        weights[others, item] = np.linalg.solve(a.T @ a + recommenders.RIDGE * np.eye(24), a.T @ matrix[:, item])
    expected = best(without(had(HISTORIES) @ weights, HISTORIES), 8)
    assert recommenders.ease(PAST)(HISTORIES, 8).tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["most_popular", "item_knn", "markov"])
def test_a_history_that_is_much_longer_than_others_changes_no_list(monkeypatch, name):
    sequences = Ragged.of([*(SEQUENCES[row] for row in range(80))])
    many = Ragged.of([*(HISTORIES[row] for row in range(30)), np.arange(24)])
    past = Past(sequences, 25)
    expected = recommenders.fit_all(past)[name](HISTORIES, 8)
    monkeypatch.setattr(recommenders, "_BLOCK_CELLS", 3000)
    found = recommenders.fit_all(past)[name](many, 8)
    assert found[:30].tolist() == expected.tolist()
    assert found[30].tolist() == [24, *[-1] * 7]


@pytest.mark.parametrize("name", ["most_popular", "item_knn", "markov", "ease"])
def test_nobody_is_recommended_what_they_had_or_anything_twice(name):
    lists = recommenders.fit_all(PAST)[name](HISTORIES, 20)
    for row, history in enumerate(HISTORIES[k] for k in range(len(HISTORIES))):
        items = lists[row][lists[row] >= 0].tolist()
        assert not set(items) & set(history.tolist())
        assert len(set(items)) == len(items) == min(20, 25 - len(history))


@pytest.mark.parametrize("repeats", [False, True])
def test_histories_and_what_is_fitted_on_stay_as_they_are(repeats):
    unordered = Ragged.of([[3, 1, 3], [2, 0]]), Ragged.of([[4, 2], [1, 0, 1]])
    before = [each.values.copy() for each in unordered]
    for lists in recommenders.fit_all(Past(unordered[0], 5, repeats=repeats)).values():
        lists(unordered[1], 3)
    for each, values in zip(unordered, before):
        np.testing.assert_array_equal(each.values, values)


def test_what_the_data_do_not_permit_is_left_out(monkeypatch):
    assert "most_popular_recently" not in recommenders.fit_all(PAST)
    monkeypatch.setattr(recommenders, "MOST_ITEMS_OF_EASE", 24)
    assert "ease" not in recommenders.fit_all(PAST)


def test_a_block_holds_what_its_rows_are_linked_to_and_for_each_as_much_as_its_first_needs(monkeypatch):
    monkeypatch.setattr(recommenders, "_BLOCK_CELLS", 16)
    blocks = recommenders._blocks(np.array([5, 5, 5, 1, 40, 1]), np.array([3, 3, 1, 1, 1, 1]))
    assert [block.tolist() for block in blocks] == [[0, 1], [2, 3], [4], [5]]
