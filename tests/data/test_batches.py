import numpy as np
import tensorflow as tf

from kerasuite.contracts import Examples, Plan
from kerasuite.data import batches, cache


class Numbers:
    """Rows are numbers; encoding adds a half, so that it shows."""

    encoded_column = "number"
    row_bytes = 4

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

    def __call__(self, x, draws):
        return x + draws[:, 0]


EXAMPLES = Examples({"number": np.arange(7, dtype=np.float32)}, np.array([0, 1, 0, 1, 0, 1, 1]))


def collect(**options):
    encoded = options.pop("encoded", True)
    dataset = batches.training(EXAMPLES, Numbers(encoded), Plan(7, 3, seed=2), **{"epochs": 2} | options)
    return [tuple(part.numpy() for part in batch) for batch in dataset]


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


def test_balanced_weights_make_the_classes_count_alike():
    weights = batches.class_weights("balanced", np.array([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(weights, [4 / 9, 0, 4 / 3])


def test_an_epoch_is_a_tensorflow_dataset_of_known_length():
    dataset = batches.training(EXAMPLES, Numbers(True), Plan(7, 3, seed=2), epochs=2, start_step=1)
    assert isinstance(dataset, tf.data.Dataset)
    assert int(dataset.cardinality()) == 5
