import numpy as np
import pytest

from kerasuite.columns import Ragged, RowIds
from kerasuite.contracts import Examples
from kerasuite.data import kept


def examples(seed=0):
    rng = np.random.default_rng(seed)
    inputs = {
        "image": rng.integers(0, 255, (5, 3, 3, 1), np.uint8),
        "ids": Ragged.of([[1], [2, 3], [], [4], [5, 6, 7]]),
        "text": np.array(["a", "b", "ü", "", "long " * 30], object),
    }
    return Examples(inputs, np.arange(5) % 2, RowIds("a.csv", np.arange(5)), facts={"digest": np.arange(5.0)})


def test_what_was_kept_is_read_as_it_was_from_disk(tmp_path):
    made = examples()
    kept.save(tmp_path / "rows", (made, "a note"))
    read, note = kept.load(tmp_path / "rows")
    assert (read.fingerprint(), list(read.ids), note) == (made.fingerprint(), list(made.ids), "a note")
    assert not read.inputs["image"].flags.writeable


def test_rows_are_mapped_not_read(tmp_path):
    kept.save(tmp_path / "rows", np.zeros((1000, 1000)))
    base = kept.load(tmp_path / "rows")
    while base is not None and not isinstance(base, np.memmap):
        base = base.obj if isinstance(base, memoryview) else base.base
    assert isinstance(base, np.memmap)


def test_nothing_is_made_twice_within_sharing(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return examples(1)

    with kept.sharing(tmp_path / "shared"):
        first, second = kept.once(examples(), "key", make), kept.once(examples(), "key", make)
        assert len(calls) == 1
        assert first.fingerprint() == second.fingerprint() == examples(1).fingerprint()
        kept.once(examples(), "another key", make)
        kept.once(examples(2), "key", make)
    assert len(calls) == 3


def test_what_is_made_need_not_be_examples(tmp_path):
    with kept.sharing(tmp_path):
        assert [kept.once(examples(), "key", lambda made=made: made) for made in (["a", "b"], ["c"])] == [
            ["a", "b"]
        ] * 2


def test_it_is_made_each_time_outside(tmp_path):
    calls = []
    for _ in range(2):
        kept.once(examples(), "key", lambda: calls.append(1))
    assert len(calls) == 2


def test_the_names_of_rows_are_those_of_who_asks(tmp_path):
    named = Examples(examples().inputs, examples().labels, ["p", "q", "r", "s", "t"], facts=examples().facts)
    with kept.sharing(tmp_path):
        kept.once(examples(), "key", examples)
        assert list(kept.once(named, "key", examples).ids) == ["p", "q", "r", "s", "t"]


def test_two_processes_that_make_the_same_do_not_harm_each_other(tmp_path):
    kept.save(tmp_path / "rows", 1)
    kept.save(tmp_path / "rows", 1)
    assert kept.load(tmp_path / "rows") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "rows").write_text("a file")
    with pytest.raises(NotADirectoryError):
        kept.save(tmp_path / "rows", 1)
