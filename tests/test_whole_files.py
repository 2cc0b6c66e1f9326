import errno
import os

import pytest

from kerasuite import whole_files
from kerasuite.errors import EnvironmentFault


def test_a_write_leaves_the_whole_file_and_nothing_else(tmp_path):
    whole_files.write(tmp_path / "a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_full_disk_keeps_the_old_file_and_names_the_new_one(tmp_path, monkeypatch):
    whole_files.write(tmp_path / "a.txt", "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match=r"disk is full: .*a\.txt"):
        whole_files.write(tmp_path / "a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_that_failed_half_way_is_removed(tmp_path):
    def half():
        with whole_files.writing(tmp_path / "servable") as temporary:
            temporary.mkdir()
            (temporary / "half").touch()
            raise KeyError("broken")

    with pytest.raises(KeyError):
        half()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_takes_the_place_of_the_one_before(tmp_path):
    for text in ("one", "two"):
        with whole_files.writing(tmp_path / "servable") as temporary:
            temporary.mkdir()
            (temporary / text).touch()
    assert [path.name for path in (tmp_path / "servable").iterdir()] == ["two"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_damage_is_noticed_by_the_checksum(tmp_path, damage):
    path = tmp_path / "c"
    whole_files.write_checked(path, b"some bytes")
    assert whole_files.read_checked(path) == b"some bytes"
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
    path.write_bytes({"flip": bytes(content), "truncate": content[:-3], "empty": b""}[damage])
    assert whole_files.read_checked(path) is None
