import numpy as np
import pytest

from kerasuite.columns import Ragged
from kerasuite.evaluation import ranking_report
from kerasuite.evaluation.ranking_report import Rankings

# Three users; of 25 items those from 20 on were never seen in training.
ITEMS = tuple(f"i{number:02d}" for number in range(25))
COUNTS = np.array([10, 9, 8, *[1] * 17, *[0] * 5])


def lists(*firsts):
    """A list of twenty for each user that begins with these items."""
    rows = [[*first, *(item for item in range(25) if item not in first)][:20] for first in firsts]
    return np.array(rows, np.int32)


def rankings(targets=(0, 1, 22), said=None, **options):
    said = lists([0], [5, 1], [3, 4]) if said is None else said
    baselines = {"most_popular": lists([0], [0], [0])}
    histories = Ragged.of([[3], [3, 4], [5, 6, 7]])
    users = ["a", "b", "c"]
    return Rankings(
        np.array(targets), said, baselines, "most_popular", users, histories, ITEMS, list(ITEMS), COUNTS, **options
    )


def test_users_whose_item_training_never_had_count_and_are_told_apart():
    found = ranking_report.numbers(rankings())
    assert found["never_in_training"] == pytest.approx(1 / 3)
    assert found["test"]["hit_rate@10"]["value"] == pytest.approx(2 / 3)
    assert found["test_of_known_items"]["hit_rate@10"]["value"] == 1
    assert found["test_of_known_items"]["hit_rate@10"]["n"] == 2
    assert found["test"]["ndcg@10"]["value"] == pytest.approx((1 + 1 / np.log2(3)) / 3)


def test_how_far_the_model_came_of_what_was_possible_is_told_where_that_is_known():
    best = lists([0], [1], [2])
    found = ranking_report.numbers(rankings(optimum=best))
    # The best lists have two of three users first; the third's item they do not know.
    assert found["optimum"]["ndcg@10"]["value"] == pytest.approx(2 / 3)
    assert found["share_of_optimum"] == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert "optimum" not in ranking_report.numbers(rankings())


def test_the_confusion_is_of_the_groups_of_what_came_and_of_the_first_that_was_recommended():
    groups = np.array(["drama", "crime", ""] + ["drama"] * 22)
    frame = ranking_report.group_confusion(rankings(item_groups=groups)).frame()
    assert frame.columns[1:] == ["crime", "drama", "no group"]
    # a: drama as drama; b: crime as drama; c: drama as drama.
    assert frame.drop(frame.columns[0]).rows() == [(0, 1, 0), (0, 2, 0), (0, 0, 0)]


def test_who_was_recommended_nothing_is_in_no_group():
    said = lists([0], [1], [3])
    said[1] = -1
    frame = ranking_report.group_confusion(rankings(said=said)).frame()
    assert sum(sum(row) for row in frame.drop(frame.columns[0]).rows()) == 2


def test_of_very_many_groups_the_smallest_are_one():
    groups = np.array([f"g{number:02d}" for number in range(25)])
    display = ranking_report.group_confusion(rankings(item_groups=groups))
    names = display.frame().columns[1:]
    assert len(names) == ranking_report.MOST_GROUPS
    assert {"g00", "g01", "g02"} <= set(names)
    assert "g24" not in names


def test_a_list_that_ends_early_has_no_names_behind_its_end():
    said = lists([0], [5, 1], [3, 4])
    said[1, 1:] = -1
    frame = ranking_report.predictions(rankings(said=said))
    assert frame["item_1"].to_list() == ["i00", "i05", "i03"]
    assert frame["item_2"].to_list()[1] in ("", None)
    assert frame["rank"].to_list()[1] in ("", None)
