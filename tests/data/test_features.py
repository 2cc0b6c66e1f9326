"""Features of photos: worked out once, by content, and never stale."""

import errno
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasuite.data import duplicates, features, row_store, sources
from kerasuite.data.features import FeatureCache, FeaturePreparation, Network, examples_of
from kerasuite.data.images import ImagePreparation
from kerasuite.errors import EnvironmentFault, InputError

PREPARE = ImagePreparation((4, 4), 3)
GB = 2**30


class Counting:
    """The mean colour of each photo; counts the rows that it has seen."""

    def __init__(self, key="mean", shape=(3,)):
        self.rows, self.shape, self.key = 0, shape, key

    def network(self):
        return Network(self, self.shape, self.key)

    def __call__(self, x):
        self.rows += len(x)
        return tf.reduce_mean(x, (1, 2)) if len(self.shape) == 1 else x


class Brighter:
    """Adds the first of the numbers that are drawn."""

    draws_per_image = 2

    def __call__(self, x, y, draws):
        return x + draws[:, 0][:, None, None, None], y


@pytest.fixture
def photos(tmp_path):
    """Ten photos in two classes; the last two have the same content."""
    rng = np.random.default_rng(0)
    for k in range(10):
        folder = tmp_path / "photos" / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.full((6, 6, 3), 200, np.uint8) if k >= 8 else rng.integers(0, 255, (6, 6, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return tmp_path / "photos"


@pytest.fixture
def examples(photos):
    return sources.image_splits(photos).train


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache", GB)


def means(examples):
    """The same features, the plain way."""
    rows = [PREPARE.encode({"path": tf.constant(path)}).numpy() for path in examples.inputs["path"]]
    return np.stack(rows).astype(np.float32).mean((1, 2))


def test_features_are_those_of_the_network_row_by_row(cache, examples):
    column = cache.features(examples, PREPARE, Counting().network())
    np.testing.assert_allclose(column[:], means(examples), rtol=1e-6)


def test_each_content_passes_the_network_once(cache, examples):
    counting = Counting()
    cache.features(examples, PREPARE, counting.network())
    assert counting.rows == 9


def test_a_second_run_works_nothing_out(cache, examples):
    first = cache.features(examples, PREPARE, Counting().network())[:]
    counting = Counting()
    again = FeatureCache(cache.folder, GB).features(examples, PREPARE, counting.network())
    assert counting.rows == 0
    np.testing.assert_array_equal(again[:], first)


def test_another_split_of_the_same_photos_works_nothing_out_and_a_copy_under_another_name_neither(
    cache, examples, photos, tmp_path
):
    cache.features(examples, PREPARE, Counting().network())
    shutil.copytree(photos, tmp_path / "elsewhere")
    other = sources.image_splits(tmp_path / "elsewhere").train.take(np.array([7, 2, 5]))
    counting = Counting()
    column = cache.features(other, PREPARE, counting.network())
    assert counting.rows == 0
    np.testing.assert_allclose(column[:], means(other), rtol=1e-6)


def test_another_network_has_features_of_its_own(cache, examples):
    cache.features(examples, PREPARE, Counting().network())
    counting = Counting(key="other weights")
    cache.features(examples, PREPARE, counting.network())
    assert counting.rows == 9


def test_a_photo_that_changed_between_two_runs_is_worked_out_anew(cache, examples, photos):
    cache.features(examples, PREPARE, Counting().network())
    Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(photos / "a" / "0.png")
    now, counting = sources.image_splits(photos).train, Counting()
    column = cache.features(now, PREPARE, counting.network())
    assert counting.rows == 1
    np.testing.assert_array_equal(column[0], [0, 0, 0])


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_photo_that_changes_while_it_is_read_is_refused_and_not_kept(cache, examples, photos, change):
    path = photos / "b" / "3.png"
    if change == "replaced":
        Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(path)
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"3\.png.*after the run had looked at it"):
        cache.features(examples, PREPARE, Counting().network())
    assert not any(folder.glob("index.bin") and (folder / "index.bin").exists() for folder in cache.folder.iterdir())


def test_views_are_the_same_photo_changed_by_numbers_of_its_own(cache, examples):
    plain = means(examples)
    column = cache.features(examples, PREPARE, Counting().network(), views=range(3), augment=Brighter())
    shifts = column[:].reshape(3, 10, 3) - plain
    np.testing.assert_allclose(shifts.min(-1), shifts.max(-1), atol=1e-4)
    assert (np.abs(np.diff(shifts[:, :8, 0], axis=0)) > 1e-4).all()
    assert shifts.min() >= -1e-4
    assert shifts.max() < 1


def test_a_view_of_a_photo_is_the_same_whatever_else_is_asked_for(cache, examples, tmp_path):
    every = cache.features(examples, PREPARE, Counting().network(), views=range(3), augment=Brighter())
    other = FeatureCache(tmp_path / "other", GB)
    one = other.features(
        examples.take(np.array([4])), PREPARE, Counting().network(), views=range(2, 3), augment=Brighter()
    )
    np.testing.assert_array_equal(one[0], every[2 * 10 + 4])


def test_more_views_work_out_only_those_that_are_new(cache, examples):
    looks = {"augment": Brighter()}
    cache.features(examples, PREPARE, Counting().network(), views=range(2), **looks)
    counting = Counting()
    cache.features(examples, PREPARE, counting.network(), views=range(3), **looks)
    assert counting.rows == 9


def test_maps_are_kept_in_half_the_bytes_and_vectors_whole(cache, examples):
    assert cache.features(examples, PREPARE, Counting().network()).dtype == np.float32
    maps = cache.features(examples, PREPARE, Counting("map", (4, 4, 3)).network())
    assert (maps.dtype, maps.shape) == (np.float16, (10, 4, 4, 3))


def test_features_too_large_for_half_floats_are_refused(cache, examples):
    huge = Network(lambda x: x * 1e4, (4, 4, 3), "huge")
    with pytest.raises(InputError, match="--cache-gb 0"):
        cache.features(examples, PREPARE, huge)


def test_what_does_not_fit_the_limit_is_not_worked_out(examples, tmp_path):
    counting = Counting()
    assert FeatureCache(tmp_path / "cache", 9 * 12 - 1).features(examples, PREPARE, counting.network()) is None
    assert counting.rows == 0


def test_what_does_not_fit_the_disk_is_not_worked_out(cache, examples, monkeypatch):
    monkeypatch.setattr(features, "SPARE_BYTES", 2**60)
    assert cache.features(examples, PREPARE, Counting().network()) is None


def test_the_network_that_was_used_longest_ago_makes_room(examples, tmp_path):
    def rows_worked_out(key):
        counting = Counting(key)
        FeatureCache(tmp_path / "cache", 2 * 9 * (12 + 64)).features(examples, PREPARE, counting.network())
        return counting.rows

    assert [rows_worked_out(key) for key in ("old", "used again", "old", "new")] == [9, 9, 0, 9]
    assert [rows_worked_out(key) for key in ("new", "old", "used again")] == [0, 0, 9]


def test_what_a_cache_has_given_does_not_make_room_for_what_it_is_asked_for_next(examples, tmp_path):
    folder, room = tmp_path / "cache", 9 * (12 + 64)
    cache = FeatureCache(folder, room)
    first = cache.features(examples, PREPARE, Counting("first").network())
    assert cache.features(examples, PREPARE, Counting("second").network()) is None
    np.testing.assert_allclose(first[:], means(examples), rtol=1e-6)
    assert FeatureCache(folder, room).features(examples, PREPARE, Counting("second").network()) is not None


def test_nothing_is_deleted_for_what_has_no_room_even_so(examples, tmp_path):
    cache = FeatureCache(tmp_path / "cache", 10_000)
    cache.features(examples, PREPARE, Counting("kept").network())
    assert cache.features(examples, PREPARE, Counting("large", (40, 40, 3)).network()) is None
    counting = Counting("kept")
    cache.features(examples, PREPARE, counting.network())
    assert counting.rows == 0


@pytest.mark.parametrize("name", ["thesis", "0123456789abcdef01234567"])
def test_folders_of_other_things_in_the_cache_folder_stay(examples, tmp_path, name):
    text = tmp_path / "cache" / name / "text.txt"
    text.parent.mkdir(parents=True)
    text.write_text("years of work " * 1000)
    column = FeatureCache(tmp_path / "cache", 10_000).features(examples, PREPARE, Counting().network())
    np.testing.assert_allclose(column[:], means(examples), rtol=1e-6)
    assert text.exists()


def test_a_network_that_another_process_is_at_work_with_does_not_make_room(examples, tmp_path):
    cache = FeatureCache(tmp_path / "cache", 9 * (12 + 64))
    cache.features(examples, PREPARE, Counting("busy").network())
    (folder,) = cache.folder.iterdir()
    other = FeatureCache(cache.folder, cache.limit_bytes)
    with row_store.RowStore(folder, (3,), np.float32).locked():
        assert other.features(examples, PREPARE, Counting("new").network()) is None
    assert other.features(examples, PREPARE, Counting("new").network()) is not None
    assert not folder.exists()


def test_the_limit_counts_all_that_is_on_the_disk(examples, tmp_path):
    for limit, fits in ((9 * (12 + 64) - 1, False), (9 * (12 + 64), True)):
        cache = FeatureCache(tmp_path / str(limit), limit)
        assert (cache.features(examples, PREPARE, Counting().network()) is not None) is fits
        assert sum(path.stat().st_size for path in cache.folder.rglob("*.bin")) == (limit if fits else 0)


def test_photos_of_earlier_runs_make_room_for_others_of_the_same_network_and_those_of_this_run_do_not(
    examples, tmp_path, monkeypatch
):
    cache = FeatureCache(tmp_path / "cache", 5 * (12 + 64))
    first, others = examples.take(np.arange(4)), examples.take(np.arange(4, 8))
    cache.features(first, PREPARE, Counting().network())
    assert cache.features(others, PREPARE, Counting().network()) is None
    monkeypatch.setattr(features, "_BEGUN", time.time() + 1)
    column = cache.features(others, PREPARE, Counting().network())
    np.testing.assert_allclose(column[:], means(others), rtol=1e-6)
    counting = Counting()
    cache.features(others, PREPARE, counting.network())
    assert counting.rows == 0


@pytest.mark.parametrize("shape", [(3,), (4, 4, 3)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(cache, examples, shape, value):
    broken = Network(lambda x: tf.fill((len(x), *shape), value), shape, "broken")
    with pytest.raises(InputError, match=r"not all finite.*--weights"):
        cache.features(examples, PREPARE, broken)


def test_too_little_memory_is_not_taken_for_a_changed_photo(cache, examples):
    def fail(x):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    with pytest.raises(EnvironmentFault, match=r"memory does not suffice.*--image-size.*OOM"):
        cache.features(examples, PREPARE, Network(fail, (3,), "large"))


def test_a_full_disk_ends_with_what_to_do_and_the_rows_so_far_are_kept(cache, examples, monkeypatch):
    monkeypatch.setattr(features, "BATCH_SIZE", 4)
    written = []

    def failing(descriptor):
        written.append(descriptor)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(row_store.os, "fsync", failing)
    with pytest.raises(EnvironmentFault, match=r"disk is full.*--cache-gb 0"):
        cache.features(examples, PREPARE, Counting().network())
    monkeypatch.undo()
    counting = Counting()
    column = cache.features(examples, PREPARE, counting.network())
    assert counting.rows == 5
    np.testing.assert_allclose(column[:], means(examples), rtol=1e-6)


def test_a_folder_that_cannot_be_written_is_named(examples, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="--cache names another folder"):
        FeatureCache(tmp_path / "file", GB).features(examples, PREPARE, Counting().network())


def test_features_of_features_are_examples_with_labels_view_by_view(cache, examples):
    column = cache.features(examples, PREPARE, Counting().network(), views=range(2), augment=Brighter())
    made = examples_of(examples, column)
    assert made.labels.tolist() == [*examples.labels, *examples.labels]
    assert made.class_names == examples.class_names
    assert FeaturePreparation().is_encoded(made)


def test_progress_counts_to_the_end(cache, examples):
    calls = []
    cache.features(examples, PREPARE, Counting().network(), progress=lambda *numbers: calls.append(numbers))
    assert calls[-1] == (9, 9)


def test_the_folder_is_the_environments_or_the_users(monkeypatch):
    monkeypatch.setenv("KERASUITE_CACHE", "/somewhere")
    assert features.default_folder() == Path("/somewhere")
    monkeypatch.delenv("KERASUITE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert features.default_folder() == Path("/caches/kerasuite")


def test_a_user_without_a_home_names_the_folder(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("KERASUITE_CACHE", raising=False)
    with pytest.raises(EnvironmentFault, match="--cache FOLDER"):
        features.default_folder()
    monkeypatch.setenv("KERASUITE_CACHE", "/somewhere")
    assert features.default_folder() == Path("/somewhere")


def test_the_digest_is_that_of_the_file_also_after_it_was_decoded(examples):
    from kerasuite.data import cache as decoded

    np.testing.assert_array_equal(
        duplicates.digests_of(decoded.encoded_once(examples, PREPARE)), duplicates.digests_of(examples)
    )
