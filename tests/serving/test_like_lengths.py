import numpy as np
import pytest
import tensorflow as tf

from kerasuite.serving import like_lengths


def sum_and_width(rows):
    """Of padded rows the sum of each, and how wide they are together."""
    width = tf.fill([tf.shape(rows)[0]], tf.shape(rows)[1])
    return tf.cast(tf.stack([tf.reduce_sum(rows, 1), width], 1), tf.float32)


@tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)])
def asked(rows):
    return like_lengths.answers(sum_and_width, rows, lambda some: some.to_tensor(0), 2)


def ones(lengths):
    return tf.RaggedTensor.from_row_lengths(tf.ones([sum(lengths)], tf.int32), lengths)


@pytest.mark.parametrize("number", [1, 2, 16, 17, 33, 128, 129, 1000])
def test_each_row_has_its_own_answer_in_the_order_of_the_rows(number):
    lengths = np.random.default_rng(0).integers(1, 50, number)
    found = asked(ones(lengths)).numpy()
    np.testing.assert_array_equal(found[:, 0], lengths)
    assert len(np.unique(found[:, 1])) <= 8


def test_rows_are_padded_to_the_longest_of_their_part_not_of_all():
    lengths = np.random.default_rng(0).permutation(np.arange(1, 65))
    widths = asked(ones(lengths)).numpy()[:, 1]
    np.testing.assert_array_equal(widths, -(-lengths // 16) * 16)


def test_no_rows_have_no_answers():
    assert asked(ones([])).shape == (0, 2)


def test_the_number_of_classes_is_known_before_any_row_is():
    assert asked.get_concrete_function().structured_outputs.shape.as_list() == [None, 2]
