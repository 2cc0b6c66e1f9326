import numpy as np
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasuite.columns import Ragged
from kerasuite.contracts import Examples, Plan, Splits
from kerasuite.errors import InputError


def test_examples_name_their_rows_when_no_ids_are_given():
    assert list(Examples({"image": np.zeros((2, 4))}, np.array([0, 1])).ids) == ["row[0]", "row[1]"]


def test_taking_rows_takes_them_from_every_column():
    examples = Examples(
        {"image": np.arange(5)}, np.array([0, 1, 0, 1, 2]), np.array(list("abcde")), ("x", "y", "z"), np.arange(5) * 10
    )
    some = examples.take(np.array([4, 1]))
    assert some.inputs["image"].tolist() == [4, 1]
    assert some.labels.tolist() == [2, 1]
    assert some.ids.tolist() == ["e", "b"]
    assert some.groups.tolist() == [40, 10]


def test_columns_of_unequal_length_are_refused_with_their_lengths():
    with pytest.raises(InputError, match="'image': 3.*'labels': 2"):
        Examples({"image": np.zeros(3)}, np.array([0, 1]))


def test_labels_outside_the_class_names_are_refused():
    with pytest.raises(InputError, match="0 to 3, but there are 2 class names"):
        Examples({"image": np.zeros(2)}, np.array([0, 3]), class_names=("a", "b"))


def test_examples_are_made_from_a_frame_with_images_in_cells():
    frame = polars.DataFrame({"image": [[1, 2], [3, 4]], "kind": ["b", "a"], "name": ["p", "q"]})
    examples = Examples.from_frame(frame, label="kind", id="name")
    assert examples.class_names == ("a", "b")
    assert examples.labels.tolist() == [1, 0]
    assert list(examples.ids) == ["p", "q"]
    assert examples.inputs["image"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("kinds", [["a", None, "b"], [1.0, float("nan"), 2.0]])
def test_a_frame_with_rows_without_a_label_is_refused_and_the_first_is_named(kinds):
    with pytest.raises(InputError, match=r"1 row\(s\) of the frame have no kind, the first is row 1"):
        Examples.from_frame(polars.DataFrame({"image": [1, 2, 3], "kind": kinds}), label="kind")


def test_a_frame_without_the_label_column_is_refused_and_its_columns_are_named():
    with pytest.raises(InputError, match="no column kind; it has image, label"):
        Examples.from_frame(polars.DataFrame({"image": [1], "label": ["a"]}), label="kind")


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_of_a_plan_has_every_row_once_at_weight_one(num_rows, batch_size, seed, epoch):
    plan = Plan(num_rows, batch_size, seed)
    rows, weights = plan.epoch(epoch)
    assert rows.shape == weights.shape == (plan.steps_per_epoch, batch_size)
    assert sorted(rows[weights == 1]) == list(range(num_rows))
    assert set(weights[weights != 1]) <= {0.0}


def test_a_plan_depends_on_seed_and_epoch_alone():
    plan = Plan(100, 10, seed=4)
    np.testing.assert_array_equal(plan.epoch(3)[0], Plan(100, 10, seed=4).epoch(3)[0])
    assert (plan.epoch(3)[0] != plan.epoch(4)[0]).any()
    assert (plan.epoch(3)[0] != Plan(100, 10, seed=5).epoch(3)[0]).any()


def test_orders_of_different_epochs_do_not_correlate():
    first, second = (Plan(60_000, 1000, seed=0).epoch(epoch)[0].ravel() for epoch in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 5), st.integers(0, 9), st.integers(1, 6))
def test_as_many_epochs_as_views_show_every_view_of_every_row_once(num_rows, batch_size, seed, first, views):
    plan = Plan(num_rows, batch_size, seed, views=views)
    shown = []
    for epoch in range(first, first + views):
        indices, weights = plan.epoch(epoch)
        rows, expected_weights = Plan(num_rows, batch_size, seed).epoch(epoch)
        np.testing.assert_array_equal(indices % num_rows, rows)
        np.testing.assert_array_equal(weights, expected_weights)
        shown += indices[weights == 1].tolist()
    assert sorted(shown) == list(range(num_rows * views))


def test_views_do_not_change_how_long_an_epoch_is_and_every_epoch_has_some_of_each():
    plan = Plan(1000, 10, seed=4, views=5)
    assert plan.steps_per_epoch == 100
    for epoch in range(3):
        counts = np.bincount(plan.epoch(epoch)[0].ravel() // 1000)
        assert counts.min() > 150
        assert counts.max() < 250


def test_a_plan_of_one_view_keeps_the_orders_it_always_gave():
    assert Plan(10, 5, seed=3).epoch(2)[0].tolist() == [[7, 4, 1, 8, 6], [0, 2, 9, 3, 5]]
    assert Plan(4, 3, seed=0, shuffle=False).epoch(0)[0].tolist() == [[0, 1, 2], [3, 0, 1]]


def test_a_column_on_disk_has_the_digest_and_the_rows_of_the_one_in_memory(tmp_path):
    column = np.memmap(tmp_path / "column", np.int16, "w+", shape=(600, 3))
    column[:] = np.arange(1800).reshape(600, 3)
    held, stored = (Examples({"image": values}, np.zeros(600, int)) for values in (np.array(column), column))
    assert held.fingerprint() == stored.fingerprint()
    np.testing.assert_array_equal(stored.take(np.array([5, 2])).inputs["image"], column[[5, 2]])
    column[599, 2] += 1
    assert held.fingerprint() != stored.fingerprint()


def test_a_class_name_that_stands_twice_is_refused():
    with pytest.raises(InputError, match="stands twice in a, b, a"):
        Examples({"image": np.zeros(1)}, np.array([0]), class_names=("a", "b", "a"))


def test_labels_that_are_no_whole_numbers_are_refused():
    with pytest.raises(InputError, match="Labels are float64"):
        Examples({"image": np.zeros(2)}, np.array([0.7, 1.9]))


def test_an_empty_part_is_refused_by_name():
    some = Examples({"image": np.zeros(2)}, np.array([0, 1]))
    with pytest.raises(InputError, match="No rows for validation"):
        Splits(some, some.take(np.array([], int)), some)


def test_the_digest_of_a_ragged_column_tells_its_rows_and_their_ends():
    def digest(rows):
        return Examples({"ids": Ragged.of(rows)}, np.zeros(len(rows), int)).fingerprint()

    assert digest([[1, 2], [3]]) == digest([[1, 2], [3]])
    assert len({digest([[1, 2], [3]]), digest([[1], [2, 3]]), digest([[1, 2], [4]])}) == 3
