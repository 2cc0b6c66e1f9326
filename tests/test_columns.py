"""Columns that are no arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasuite.columns import Ragged, RowIds

RAGGED = Ragged.of([[7, 8], [], [9], [1, 2, 3]])


def test_row_ids_keep_their_numbers_through_selection():
    ids = RowIds("x_train", np.arange(10))[np.array([7, 2])]
    assert (ids[0], ids[1], len(ids)) == ("x_train[7]", "x_train[2]", 2)


@given(st.lists(st.integers(0, 3), max_size=9))
def test_rows_of_a_ragged_column_are_taken_as_those_of_a_list(rows):
    taken = RAGGED[np.array(rows, int)]
    assert [row.tolist() for row in taken] == [RAGGED[row].tolist() for row in rows]


def test_a_ragged_column_is_sliced_masked_and_counted_from_its_end():
    assert RAGGED[1:3].values.tolist() == [9]
    assert RAGGED[1:3].lengths.tolist() == [0, 1]
    assert RAGGED[np.array([True, False, False, True])].values.tolist() == [7, 8, 1, 2, 3]
    assert RAGGED[-1].tolist() == [1, 2, 3]
    with pytest.raises(IndexError):
        RAGGED[4]
