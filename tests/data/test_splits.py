import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasuite.columns import RowIds
from kerasuite.contracts import Examples
from kerasuite.data import splits
from kerasuite.data.splits import Source
from kerasuite.errors import InputError


def examples(labels, groups=None, source="row"):
    labels = np.asarray(labels)
    n = len(labels)
    return Examples({"x": np.arange(n)}, labels, RowIds(source, np.arange(n)), groups=groups)


@given(st.lists(st.integers(2, 30), min_size=2, max_size=5), st.floats(0.05, 0.9), st.integers(0, 9))
def test_a_split_is_disjoint_and_complete_and_has_every_class_on_both_sides(sizes, fraction, seed):
    whole = examples(np.repeat(np.arange(len(sizes)), sizes))
    kept, held = splits.hold_out(whole, fraction, seed)
    assert sorted([*kept.ids.rows, *held.ids.rows]) == list(range(len(whole)))
    assert set(kept.labels) == set(held.labels) == set(range(len(sizes)))


def test_each_class_is_held_out_in_its_share():
    _, held = splits.hold_out(examples([0] * 80 + [1] * 20), 0.1, seed=0)
    assert np.bincount(held.labels).tolist() == [8, 2]


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    whole = examples([0, 1] * 50)
    first, again, other = (splits.hold_out(whole, 0.2, seed)[1].ids.rows.tolist() for seed in (1, 1, 2))
    assert first == again != other


@given(st.integers(2, 20), st.integers(1, 6), st.integers(0, 9))
def test_a_group_is_never_on_both_sides(num_groups, size, seed):
    groups = np.repeat(np.arange(num_groups), size)
    kept, held = splits.hold_out(examples(np.zeros(len(groups), int), groups), 0.4, seed)
    assert not set(kept.groups) & set(held.groups)
    assert sorted([*kept.ids.rows, *held.ids.rows]) == list(range(len(groups)))


def test_groups_without_any_label_are_held_out_in_their_share_too():
    labels = np.zeros((200, 2), np.uint8)
    labels[:20] = 1
    whole = Examples({"x": np.arange(200)}, labels, class_names=("a", "b"), groups=np.arange(200) // 2)
    _, held = splits.hold_out(whole, 0.25, 0)
    assert int((~held.labels.any(1)).sum()) == pytest.approx(45, abs=2)


def test_one_group_cannot_be_split():
    with pytest.raises(InputError, match=r"1 group\(s\) \(a\): too few to stand in 2 parts"):
        splits.hold_out(examples([0, 1, 0], np.array(["a"] * 3)), 0.3, 0)


@pytest.mark.parametrize("num_groups", range(3, 9))
def test_few_groups_that_are_each_more_than_the_share_are_held_out_one_by_one(num_groups):
    groups = np.repeat(np.arange(num_groups), 120)
    parts = splits.complete(
        Source(examples(np.arange(len(groups)) % 2, groups)), validation_fraction=0.1, test_fraction=0.1, seed=0
    )
    assert [len(np.unique(part.groups)) for part in (parts.validation, parts.test)] == [1, 1]
    assert (
        f"Groups: {num_groups - 2} for train ({(num_groups - 2) * 120:,} rows), 1 for validation (120 rows)"
        in parts.notes[0]
    )


def test_two_groups_cannot_stand_in_three_parts():
    whole = Source(examples([0, 1] * 4, np.repeat(["p", "q"], 4)))
    with pytest.raises(InputError, match=r"2 group\(s\) \(p, q\): too few to stand in 3 parts"):
        splits.complete(whole, validation_fraction=0.1, test_fraction=0.1, seed=0)


def test_of_groups_that_are_too_large_the_smallest_is_held_out():
    groups = np.repeat(["a", "b", "c"], [50, 20, 30])
    _, held = splits.hold_out(examples(np.arange(100) % 2, groups), 0.05, 0)
    assert set(held.groups) == {"b"}


def test_a_group_that_alone_has_a_class_is_not_held_out():
    labels = np.array([0] * 4 + [1] * 4)
    with pytest.raises(InputError, match="No group of 2 can be held out without emptying a class"):
        splits.hold_out(examples(labels, np.repeat(["a", "b"], 4)), 0.3, 0)


def test_a_class_with_one_row_cannot_be_split_and_is_named():
    with pytest.raises(InputError, match=r"Class '1' has 1 row\(s\), the first is row\[2\]: .* 2 parts"):
        splits.hold_out(examples([0, 0, 1]), 0.3, 0)
    with pytest.raises(InputError, match=r"Class '1' has 2 row\(s\), the first is row\[3\]: .* 3 parts"):
        splits.complete(Source(examples([0, 0, 0, 1, 1])), validation_fraction=0.1, test_fraction=0.1, seed=0)


def test_a_class_of_three_stands_in_each_part_however_large_test_is():
    whole = examples([0] * 20 + [1] * 3)
    made = splits.complete(Source(whole), validation_fraction=0.1, test_fraction=0.9, seed=0)
    assert [part.class_counts.tolist()[1] for part in (made.train, made.validation, made.test)] == [1, 1, 1]


def test_parts_that_are_given_are_kept_and_the_rest_is_held_out():
    train, test = examples([0, 1] * 50, source="a"), examples([0, 1] * 5, source="b")
    made = splits.complete(Source(train, test=test), validation_fraction=0.1, test_fraction=0.5, seed=0)
    assert made.test is test
    assert made.counts == {"train": 90, "validation": 10, "test": 10, "skipped": 0}


def test_a_row_in_two_parts_is_refused_and_named():
    a = examples([0, 1] * 5, source="a")
    with pytest.raises(InputError, match=r"3 row\(s\) stand both in train and in test, the first is a\[1\]"):
        splits.refuse_overlap(train=a, test=a.take(np.array([1, 2, 5])))


def test_a_file_in_two_parts_is_refused_and_named():
    one = Examples({"x": np.arange(2)}, np.array([0, 1]), np.array(["cat/1.png", "dog/1.png"]))
    with pytest.raises(InputError, match="dog/1.png"):
        splits.refuse_overlap(train=one, validation=one.take(np.array([1])))


def test_a_group_in_two_parts_is_refused():
    a = examples([0, 1], np.array(["p", "q"]), "a")
    b = examples([0, 1], np.array(["r", "q"]), "b")
    with pytest.raises(InputError, match=r"1 group\(s\) stand both in train and in test, the first is q"):
        splits.refuse_overlap(train=a, test=b)


def test_a_class_that_a_part_lacks_is_named():
    names = ("cat", "dog")
    whole = Examples({"x": np.arange(6)}, np.array([0, 0, 0, 0, 1, 1]), RowIds("a", np.arange(6)), names)
    test = Examples({"x": np.arange(2)}, np.array([0, 0]), RowIds("b", np.arange(2)), names)
    parts = splits.complete(Source(whole, test=test), validation_fraction=0.2, test_fraction=0.2, seed=0)
    assert parts.warnings == ("No row of test is of the class(es) 'dog': its numbers say nothing of them.",)
