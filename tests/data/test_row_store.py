"""Rows under keys on disk."""

import errno
import shutil
import threading

import numpy as np
import pytest

from kerasuite.data import row_store
from kerasuite.data.row_store import KEY, Column, RowStore

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
KEYS = np.array([b"a/0", b"b/0", b"a/1", b"c/0"])


@pytest.fixture
def store(tmp_path):
    store = RowStore(tmp_path / "store", (3,), np.float32)
    with store.locked():
        store.append(KEYS[:3], ROWS[:3])
        store.append(KEYS[3:], ROWS[3:])
    return store


def test_rows_come_back_under_their_keys_in_any_order_and_as_often_as_asked(store):
    np.testing.assert_array_equal(store.column(KEYS[[3, 0, 0]])[:], ROWS[[3, 0, 0]])


def test_a_store_opened_again_has_the_same_rows(store):
    np.testing.assert_array_equal(RowStore(store.folder, (3,), np.float32).column(KEYS)[:], ROWS)


def test_what_is_missing_is_named_once_and_in_order(store):
    assert store.missing(np.array([b"z/0", b"a/0", b"y/0", b"z/0"])).tolist() == [0, 2]


def test_an_empty_store_misses_everything(tmp_path):
    assert RowStore(tmp_path / "none", (3,), np.float32).missing(KEYS).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("file", ["rows.bin", "index.bin"])
@pytest.mark.parametrize("lost", [1, 5, 13])
def test_a_row_that_a_killed_process_left_half_written_is_missing_and_written_anew(store, file, lost):
    path = store.folder / file
    path.write_bytes(path.read_bytes()[:-lost])
    missing = store.missing(KEYS)
    assert 3 in missing
    with store.locked():
        store.append(KEYS[missing], ROWS[missing])
    np.testing.assert_array_equal(store.column(KEYS)[:], ROWS)
    assert (store.folder / "rows.bin").stat().st_size == ROWS.nbytes
    assert (store.folder / "index.bin").stat().st_size == 4 * KEY.itemsize


def test_a_key_without_a_row_is_an_error(store):
    with pytest.raises(KeyError, match="z/9"):
        store.column(np.array([b"a/0", b"z/9"]))


def test_a_column_is_indexed_as_an_array_is(store):
    column = store.column(KEYS).followed_by(store.column(KEYS[:2]))
    whole = np.concatenate([ROWS, ROWS[:2]])
    assert (len(column), column.shape, column.dtype, column.ndim) == (6, (6, 3), np.float32, 2)
    for index in (np.array([5, 0, 3, 0]), slice(1, 5, 2), np.array([], int), -1, np.array([-1, 4])):
        np.testing.assert_array_equal(column[index], whole[index])
    np.testing.assert_array_equal(np.asarray(column), whole)


def test_a_column_reads_only_the_rows_that_are_asked_for():
    class Guarded(np.ndarray):
        def __getitem__(self, rows):
            assert rows.tolist() == [2]
            return super().__getitem__(rows)

    np.testing.assert_array_equal(Column([(ROWS.view(Guarded), np.array([3, 2, 1]))])[np.array([1])], ROWS[[2]])


def test_what_could_not_be_written_whole_takes_no_space(store, monkeypatch):
    def failing(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(row_store.os, "fsync", failing)
    with pytest.raises(OSError, match="No space"), store.locked():
        store.append(np.array([b"d/0"]), ROWS[:1])
    assert (store.folder / "rows.bin").stat().st_size == ROWS.nbytes
    assert store.missing(KEYS).tolist() == []


def test_a_key_that_lost_its_row_never_stands_for_another(store, monkeypatch):
    path = store.folder / "rows.bin"
    path.write_bytes(path.read_bytes()[: store.row_bytes])
    write = RowStore._write

    def killed_before_the_index(self, name, at, values):
        if name == "index.bin" and len(values):
            raise KeyboardInterrupt
        write(self, name, at, values)

    monkeypatch.setattr(RowStore, "_write", killed_before_the_index)
    with pytest.raises(KeyboardInterrupt), store.locked():
        store.append(np.array([b"d/0", b"e/0"]), ROWS[2:])
    assert store.missing(KEYS).tolist() == [1, 2, 3]


def test_a_cleared_store_begins_anew_and_columns_in_use_keep_their_rows(store):
    column = store.column(KEYS)
    with store.locked():
        store.clear()
        assert store.missing(KEYS).tolist() == [0, 1, 2, 3]
        store.append(KEYS[:1], ROWS[3:])
    np.testing.assert_array_equal(column[:], ROWS)
    np.testing.assert_array_equal(store.column(KEYS[:1])[:], ROWS[3:])


def test_a_deleted_store_is_gone_and_columns_in_use_keep_their_rows(store):
    column = store.column(KEYS)
    assert row_store.delete(store.folder)
    assert not store.folder.exists()
    assert row_store.delete(store.folder)
    np.testing.assert_array_equal(column[:], ROWS)


def test_a_store_in_which_a_process_is_at_work_is_not_deleted(store):
    with store.locked():
        assert not row_store.delete(store.folder)
    np.testing.assert_array_equal(store.column(KEYS)[:], ROWS)


def test_who_waited_for_a_store_that_was_deleted_makes_it_anew_and_says_that_it_waits(store, monkeypatch, capsys):
    waits, flock = threading.Event(), row_store.fcntl.flock

    def told(file, how):
        if how == row_store.fcntl.LOCK_EX:
            waits.set()
        flock(file, how)

    def add():
        with store.locked():
            store.append(KEYS[:1], ROWS[:1])

    waiting = threading.Thread(target=add)
    with store.locked():
        monkeypatch.setattr(row_store.fcntl, "flock", told)
        waiting.start()
        assert waits.wait(10)
        shutil.rmtree(store.folder)
    waiting.join(10)
    assert f"at work in {store.folder}" in capsys.readouterr().err
    np.testing.assert_array_equal(store.column(KEYS[:1])[:], ROWS[:1])


@pytest.mark.parametrize("other", ["thesis.txt", "folder"])
def test_a_folder_with_anything_else_in_it_is_no_store(store, other):
    assert row_store.is_store(store.folder)
    (store.folder / other).mkdir() if other == "folder" else (store.folder / other).write_text("")
    assert not row_store.is_store(store.folder)
    assert not row_store.is_store(store.folder / other)
    assert not row_store.is_store(store.folder / "none")
