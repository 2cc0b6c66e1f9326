import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite.data.item_ids import HistoryPreparation
from kerasuite.errors import EnvironmentFault, InputError
from kerasuite.models import next_item
from kerasuite.models import recommender as models
from kerasuite.serving import recommender
from kerasuite.serving.recommender import Lists

ITEM_IDS = tuple(f"i{number}" for number in range(12))
POPULARITY = np.arange(12)[::-1]


@pytest.fixture(scope="module")
def scorer():
    keras.utils.set_random_seed(0)
    return next_item.scorer(next_item.trainer(models.encoder("lstm", 12, dim=4)))


@pytest.fixture(scope="module")
def served(scorer, tmp_path_factory):
    """The exported recommender, lists of five."""
    path = tmp_path_factory.mktemp("served") / "servable"
    recommender.export(path, recommender.ServableRecommender(scorer, HistoryPreparation(ITEM_IDS, 3), POPULARITY, 5))
    return recommender.Recommender(path)


def by_hand(scorer, history, k=5):
    """The list of a history, by sorting."""
    scores = scorer(tf.constant([[ITEM_IDS.index(item) + 1 for item in history[-3:]]])).numpy()[0]
    order = [ITEM_IDS[place] for place in np.argsort(-scores, kind="stable")]
    return [item for item in order if item not in history][:k]


def test_histories_of_unlike_lengths_get_the_lists_of_sorting_without_what_they_had(scorer, served):
    histories = [["i3"], ["i1", "i2", "i3", "i4", "i5"], ["i7", "i0"]]
    assert served(histories).items.tolist() == [by_hand(scorer, history) for history in histories]


def test_several_devices_share_the_histories_and_none_is_lost_or_moved(served, scorer, tmp_path):
    made = recommender.ServableRecommender(scorer, HistoryPreparation(ITEM_IDS, 3), POPULARITY, 5)
    recommender.export(tmp_path / "servable", made)
    histories = [[f"i{k % 12}", f"i{5 * k % 12}"] for k in range(23)]
    shared = recommender.Recommender(tmp_path / "servable", ["CPU:0", "CPU:1"])(histories, batch_size=3)
    np.testing.assert_array_equal(shared.items, served(histories).items)


def test_ids_that_are_not_known_are_counted_and_skipped(scorer, served):
    found = served([["i3", "never", "i7", "seen"], ["i3", "i7"]])
    assert found.unknown.tolist() == [2, 0]
    assert found.items[0].tolist() == found.items[1].tolist() == by_hand(scorer, ["i3", "i7"])


@pytest.mark.parametrize("histories", [[[]], [["nothing", "known"]], [[], ["i3"]]])
def test_who_has_no_history_gets_the_popular(served, histories):
    found = served(histories)
    assert found.items[0].tolist() == ["i0", "i1", "i2", "i3", "i4"]
    assert found.scores[0].tolist() == [11, 10, 9, 8, 7]


def test_a_list_ends_where_everything_was_had(served):
    found = served([[*ITEM_IDS[:10]]])
    assert sorted(found.items[0][:2]) == ["i10", "i11"]
    assert found.items[0][2:].tolist() == ["", "", ""]


def test_a_list_is_filled_up_where_the_catalogue_is_smaller(scorer, tmp_path):
    made = recommender.ServableRecommender(scorer, HistoryPreparation(ITEM_IDS, 3), POPULARITY, 20)
    recommender.export(tmp_path / "servable", made)
    found = recommender.Recommender(tmp_path / "servable")([["i3"]])
    assert found.items.shape == found.scores.shape == (1, 20)
    assert found.items[0].tolist() == [*by_hand(scorer, ["i3"], 11), *[""] * 9]


def test_items_may_come_again_where_that_was_asked_for(scorer, tmp_path):
    made = recommender.ServableRecommender(scorer, HistoryPreparation(ITEM_IDS, 3), POPULARITY, 12, repeats=True)
    recommender.export(tmp_path / "servable", made)
    assert set(recommender.Recommender(tmp_path / "servable")([["i3"]]).items[0]) == set(ITEM_IDS)


def test_the_catalogue_is_in_the_export(served):
    assert served.item_ids.tolist() == list(ITEM_IDS)
    assert served.titles == {}


def test_titles_travel_with_the_export_in_any_script(scorer, tmp_path):
    titles = ["Amélie", "影", *[""] * 10]
    made = recommender.ServableRecommender(scorer, HistoryPreparation(ITEM_IDS, 3), POPULARITY, 5, titles=titles)
    recommender.export(tmp_path / "servable", made)
    assert recommender.Recommender(tmp_path / "servable").titles == {"i0": "Amélie", "i1": "影"}


def test_another_saved_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no SavedModel"):
        recommender.Recommender(tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(InputError, match="recommender's run"):
        recommender.Recommender(tmp_path / "other")


# The export against the model in Python


def lists(items, scores):
    """By letters; '' is none."""
    return Lists(
        np.array([["abcdefghijklmnopqrstuvwxyz".find(item) if item else -1 for item in items]]), np.array([scores])
    )


SAID = lists(["a", "b", "c"], [3.0, 2.0, 1.0])


def test_the_same_lists_are_checked_and_the_difference_told():
    found = recommender.compare(lists(["a", "b", "c"], [3.0, 2.00005, 1.0]), SAID, ["u"])
    assert found["checked"] == 1
    assert found["max_difference"] == pytest.approx(5e-5)


def test_equal_scores_may_stand_in_either_order_and_such_lists_are_counted():
    tied = lists(["a", "b", "c"], [3.0, 3.0, 1.0])
    assert recommender.compare(lists(["b", "a", "c"], [3.0, 3.0, 1.0]), tied, ["u"])["label_disagreements"] == 1
    # Of two that are equal at the end, either may be the last.
    assert recommender.compare(lists(["a", "b", "d"], [3.0, 2.0, 1.0]), SAID, ["u"])["label_disagreements"] == 1


def test_large_scores_may_differ_by_more():
    large = lists(["a", "b", "c"], [900.0, 500.0, 499.99])
    assert recommender.compare(lists(["a", "c", "b"], [900.01, 500.0, 500.0]), large, ["u"])["checked"] == 1


@pytest.mark.parametrize(
    "other",
    [
        lists(["b", "a", "c"], [3.0, 2.0, 1.0]),  # the right scores with the wrong names
        lists(["x", "y", "z"], [3.0, 2.0, 1.0]),
        lists(["a", "b", "c"], [3.0, 2.0, 1.5]),
        lists(["a", "b", "c"], [np.nan, 2.0, 1.0]),
    ],
)
def test_other_lists_are_refused_by_the_users_name(other):
    with pytest.raises(EnvironmentFault, match="user 7"):
        recommender.compare(other, SAID, ["user 7"])


def test_who_is_known_gets_a_list_of_their_own_and_who_is_not_the_same_as_nobody(tmp_path):
    keras.utils.set_random_seed(0)
    encoder = models.encoder("lstm", 12, dim=4, num_users=2)
    prepare = HistoryPreparation(ITEM_IDS, 3, ["ann", "bob"])
    scorer = next_item.scorer(next_item.trainer(encoder))
    recommender.export(tmp_path / "servable", recommender.ServableRecommender(scorer, prepare, POPULARITY, 5))
    served = recommender.Recommender(tmp_path / "servable")
    found = served([["i3"]] * 5 + [[]], ["ann", " bob", "carl", "", "ann", "bob"])
    expected = scorer(tf.constant([[1, 4], [2, 4], [0, 4]])).numpy()
    for row, number in enumerate((0, 1, 2, 2, 0)):
        best = [place for place in np.argsort(-expected[number], kind="stable") if place != 3][:5]
        assert found.items[row].tolist() == [ITEM_IDS[place] for place in best]
    assert found.items[5].tolist() == ["i0", "i1", "i2", "i3", "i4"]
    assert served([["i3"]]).items.tolist() == [found.items[2].tolist()]


def test_rows_of_examples_become_their_last_items_with_the_older_ones_behind_them_if_asked_for():
    rows = tf.ragged.constant([[0, 1, 2, 3, 4], [5, 6]], dtype=tf.int32)
    told = lambda **options: HistoryPreparation(ITEM_IDS, 3, **options).collate(rows).numpy().tolist()  # noqa: E731
    assert told() == [[3, 4, 5], [6, 7, 0]]
    assert told(with_older=True) == [[3, 4, 5, -1, -2], [6, 7, 0, 0, 0]]
    # The first value is the user's number.
    assert told(user_ids=["ann"]) == [[0, 3, 4, 5], [5, 7, 0, 0]]
    assert told(user_ids=["ann"], with_older=True) == [[0, 3, 4, 5, -2], [5, 7, 0, 0, 0]]


@pytest.mark.parametrize("number", [7, 64 * 4 * 3, 64 * 4 * 3 + 1, 1000, 4096])
def test_the_best_are_those_of_putting_all_in_order_and_of_equal_ones_the_first(number):
    rng = np.random.default_rng(number)
    # Of few values many are equal, of many the best are apart; some items are left out.
    drawn = [rng.choice([-np.inf, *range(values)], (100, number)) for values in (5, number)]
    scores = np.concatenate(drawn).astype(np.float32)
    scores[0, 3:] = -np.inf
    found, places = recommender.top_k(tf.constant(scores), 3)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(found, np.take_along_axis(scores, expected, 1))
