import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kerasuite import run_directory
from kerasuite.errors import InputError


def test_a_directory_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(InputError, match="not empty"):
        run_directory.create(str(tmp_path), tmp_path)


def test_an_output_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--output .*file/run cannot be written"):
        run_directory.create(str(tmp_path / "file" / "run"), tmp_path)


def test_runs_that_begin_together_get_a_directory_each(tmp_path):
    together = threading.Barrier(8)

    def begin(_):
        together.wait()
        return run_directory.create(None, tmp_path / "runs")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(begin, range(8)))) == 8


def test_an_unfinished_run_is_not_opened_and_the_way_on_is_named(tmp_path):
    with pytest.raises(InputError, match=r"has no config\.json"):
        run_directory.open_finished(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="kerasuite resume"):
        run_directory.open_finished(tmp_path)


def test_what_a_kill_left_of_a_start_is_no_reason_to_refuse_a_directory(tmp_path):
    (tmp_path / "run" / "workers").mkdir(parents=True)
    for name in (".config.json.12.partial", ".partial.model.keras", ".probe"):
        (tmp_path / "run" / name).write_text("{")
    assert run_directory.create(str(tmp_path / "run"), tmp_path) == tmp_path / "run"
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="it is not empty"):
        run_directory.create(str(tmp_path / "run"), tmp_path)


def test_a_run_is_one_processs_as_long_as_it_lives(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    again = run_directory.locked(tmp_path)
    with run_directory.locked(tmp_path), pytest.raises(InputError, match="under way in another process"):
        again.__enter__()
    with run_directory.locked(tmp_path):
        pass


def test_settings_are_held_against_those_of_the_start_by_name(tmp_path):
    run_directory.require_same_settings(tmp_path, {"--epochs": 3, "--data": ("a", "b")})
    run_directory.require_same_settings(tmp_path, {"--data": ("a", "b"), "--epochs": 3})
    with pytest.raises(InputError, match=r"started otherwise: --data was \['a', 'b'\], is \['a'\]; --old was None"):
        run_directory.require_same_settings(tmp_path, {"--epochs": 3, "--data": ("a",), "--old": 1})
