from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from kerasuite.contracts import Examples, Plan
from kerasuite.data import batches, cache


class Numbers:
    """Rows are numbers; encoding adds a half, so that it shows."""

    encoded_column = "number"
    row_bytes, key = 4, "numbers"

    def __init__(self, encoded):
        self.encoded = encoded

    def is_encoded(self, examples):
        return self.encoded

    def encode(self, row):
        return row["number"] + 0.5

    def collate(self, rows):
        return 10 * rows


class AddDraw:
    draws_per_image = 1

    def __call__(self, x, y, draws):
        return x + draws[:, 0], y


class Swap:
    """A mixed label: all of it the other class's."""

    draws_per_image = 0

    def __call__(self, x, y, draws):
        return x, tf.one_hot(1 - y, 2)


class Stored:
    """A column that is no array, and may not be read but for a batch's rows."""

    def __init__(self, values):
        self.values, self.dtype, self.shape = values, values.dtype, values.shape

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        assert rows.dtype == np.int64
        assert len(rows) <= 3
        return self.values[rows]


EXAMPLES = Examples({"number": np.arange(7, dtype=np.float32)}, np.array([0, 1, 0, 1, 0, 1, 1]))


def collect(examples=EXAMPLES, **options):
    encoded = options.pop("encoded", True)
    dataset = batches.training(examples, Numbers(encoded), Plan(7, 3, seed=2), **{"epochs": 2} | options)
    return [tuple(part.numpy() for part in batch) for batch in dataset]


def on_disk(tmp_path):
    column = np.memmap(tmp_path / "numbers", np.float32, "w+", shape=(7,))
    column[:] = EXAMPLES.inputs["number"]
    return column


def test_batches_follow_the_plan():
    rows, weights = Plan(7, 3, seed=2).epoch(1)
    for (x, y, weight), planned, expected in zip(collect()[3:], rows, weights, strict=True):
        np.testing.assert_array_equal(x, 10 * planned)
        np.testing.assert_array_equal(y, EXAMPLES.labels[planned])
        np.testing.assert_array_equal(weight, expected)


def test_rows_that_are_streamed_are_encoded_and_in_the_same_order():
    for (x, _, _), (streamed, _, _) in zip(collect(), collect(encoded=False), strict=True):
        np.testing.assert_array_equal(streamed, x + 5)


def test_starting_at_a_step_gives_the_same_batches_as_coming_to_it():
    whole = collect(augment=AddDraw())
    for start in (1, 3, 5):
        for a, b in zip(collect(augment=AddDraw(), start_step=start), whole[start:], strict=True):
            np.testing.assert_array_equal(a[0], b[0])


def test_no_two_steps_draw_the_same_numbers():
    plain, changed = collect(), collect(augment=AddDraw())
    draws = np.concatenate([b[0] - a[0] for a, b in zip(plain, changed)])
    assert len(set(draws.round(5))) == len(draws)
    assert ((draws >= 0) & (draws < 1)).all()


def test_the_shares_of_the_workers_make_up_the_batch():
    whole = collect(augment=AddDraw())
    shares = [collect(augment=AddDraw(), rank=rank, workers=2) for rank in (0, 1)]
    for (x, _, _), (first, _, _), (second, _, _) in zip(whole, *shares, strict=True):
        np.testing.assert_array_equal(x[0::2], first)
        np.testing.assert_array_equal(x[1::2], second)


def test_class_weights_multiply_and_fillers_stay_at_zero():
    for (_, y, weight), (_, _, plain) in zip(collect(class_weights=np.array([2.0, 3.0])), collect(), strict=True):
        np.testing.assert_array_equal(weight, plain * np.where(y == 0, 2, 3))


def test_a_mixed_row_weighs_what_its_label_did_before():
    weights = np.array([2.0, 3.0])
    mixed = collect(augment=Swap(), class_weights=weights)
    for (_, y, weight), (_, before, expected) in zip(mixed, collect(class_weights=weights), strict=True):
        np.testing.assert_array_equal(y, np.eye(2)[1 - before])
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("kind", ["memmap", "object", "large"])
def test_a_column_that_is_not_held_in_memory_gives_the_same_batches(kind, encoded, tmp_path, monkeypatch):
    numbers = EXAMPLES.inputs["number"]
    column = {"memmap": on_disk(tmp_path), "object": Stored(numbers), "large": numbers}[kind]
    expected = collect(encoded=encoded), list(batches.inference(EXAMPLES, Numbers(encoded), 3))

    def gather(values, rows):
        assert values.dtype == tf.int32 or len(values) < 7, "the column was made a tensor"
        return gathered(values, rows)

    gathered = tf.gather
    monkeypatch.setattr(tf, "gather", gather)
    if kind == "large":
        monkeypatch.setattr(batches, "LARGEST_COPY", 27)
    examples = replace(EXAMPLES, inputs={"number": column})
    found = collect(examples, encoded=encoded), list(batches.inference(examples, Numbers(encoded), 3))
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_keep_their_shape_where_they_come_from_disk(tmp_path):
    maps = np.memmap(tmp_path / "maps", np.float16, "w+", shape=(7, 2, 3))
    dataset = batches.training(replace(EXAMPLES, inputs={"number": maps}), Numbers(True), Plan(7, 3, seed=2))
    assert dataset.element_spec[0] == tf.TensorSpec((3, 2, 3), tf.float16)


def test_views_of_rows_are_taken_from_where_they_stand_with_the_label_of_their_row():
    views = Examples({"number": np.arange(14, dtype=np.float32)}, np.tile(EXAMPLES.labels, 2))
    dataset = batches.training(views, Numbers(True), Plan(7, 3, seed=2, views=2), epochs=2)
    x, y, weight = (np.concatenate(parts) for parts in zip(*dataset))
    places = (x / 10).astype(int)
    np.testing.assert_array_equal(y, views.labels[places])
    assert sorted(places[weight == 1]) == list(range(14))
    for epoch in (slice(0, 9), slice(9, 18)):
        assert sorted(places[epoch][weight[epoch] == 1] % 7) == list(range(7))


def test_inference_says_how_many_batches_there_are():
    assert [int(batches.inference(EXAMPLES, Numbers(kind), 3).cardinality()) for kind in (True, False)] == [3, 3]


def test_without_an_end_the_batches_go_on():
    dataset = batches.training(EXAMPLES, Numbers(True), Plan(7, 3, seed=2))
    assert len(list(dataset.take(50))) == 50


def test_inference_keeps_every_row_in_order():
    for encoded, shift in ((True, 0), (False, 5)):
        x = [part.numpy() for part in batches.inference(EXAMPLES, Numbers(encoded), 3)]
        assert [len(part) for part in x] == [3, 3, 1]
        np.testing.assert_array_equal(np.concatenate(x), 10 * np.arange(7) + shift)


def test_rows_are_encoded_once_and_held_where_they_fit():
    held = cache.encoded_once(EXAMPLES, Numbers(False), limit_bytes=28)
    np.testing.assert_array_equal(held.inputs["number"], np.arange(7) + 0.5)
    assert cache.encoded_once(EXAMPLES, Numbers(False), limit_bytes=27) is EXAMPLES


def test_rows_that_are_encoded_once_are_copied_a_piece_at_a_time(monkeypatch):
    taken = []

    class Watched(np.ndarray):
        def __getitem__(self, rows):
            taken.append(rows)
            return np.asarray(self)[rows]

    column = EXAMPLES.inputs["number"].view(Watched)
    monkeypatch.setattr(batches, "LARGEST_PIECE", 3 * column.itemsize)
    held = cache.encoded_once(replace(EXAMPLES, inputs={"number": column}), Numbers(False))
    assert [rows.tolist() for rows in taken] == [[0, 1, 2], [3, 4, 5], [6]]
    np.testing.assert_array_equal(held.inputs["number"], np.arange(7) + 0.5)


def test_balanced_weights_make_the_classes_count_alike():
    weights = batches.class_weights("balanced", np.array([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(weights, [4 / 9, 0, 4 / 3])


def test_an_epoch_is_a_tensorflow_dataset_of_known_length():
    dataset = batches.training(EXAMPLES, Numbers(True), Plan(7, 3, seed=2), epochs=2, start_step=1)
    assert isinstance(dataset, tf.data.Dataset)
    assert int(dataset.cardinality()) == 5
