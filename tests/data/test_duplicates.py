import numpy as np

from kerasuite.contracts import Examples
from kerasuite.data.duplicates import across, conflicting, digest, digests, digests_of

ROWS = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)


def test_rows_of_test_that_are_in_train_are_found_with_their_first_place():
    in_test, in_train = across(digests(ROWS[[0, 1, 2, 1]]), digests(ROWS[[4, 1, 3, 0]]))
    assert in_test.tolist() == [1, 3]
    assert in_train.tolist() == [1, 0]


def test_nothing_is_shared_with_no_rows():
    assert [len(found) for found in across(digests(ROWS[:0]), digests(ROWS))] == [0, 0]
    assert [len(found) for found in across(digests(ROWS), digests(ROWS[:0]))] == [0, 0]


def test_equal_values_of_another_shape_are_other_content():
    flat = np.zeros((1, 2, 6, 1), np.uint8)
    assert digests(flat)[0] != digests(flat.reshape(1, 3, 4, 1))[0]


def test_an_array_and_a_picture_of_the_same_pixels_have_one_digest():
    assert digest(ROWS[3]) == digests(ROWS)[3]


def test_views_and_slices_have_the_digests_of_their_copies():
    wide = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)
    view = wide[::2, ::-1, 1:4]
    assert digests(view).tolist() == digests(view.copy()).tolist()


def test_rows_with_one_content_and_two_labels_are_named():
    found = conflicting(digests(ROWS[[0, 1, 0, 2, 1]]), np.array([0, 1, 0, 2, 0]))
    assert found.tolist() == [1, 4]


def test_digests_of_files_are_those_that_were_found_when_they_were_checked():
    facts = {"digest": np.array([digest(ROWS[1]), digest(ROWS[0])])}
    examples = Examples({"path": np.array(["p", "q"])}, facts=facts)
    assert digests_of(examples).tolist() == [digest(ROWS[1]), digest(ROWS[0])]
    assert digests_of(Examples({"image": ROWS})).tolist() == digests(ROWS).tolist()
