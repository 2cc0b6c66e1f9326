import numpy as np

from kerasuite.contracts import Examples, Splits
from kerasuite.data.duplicates import across, conflicting, digest, digests, digests_of, remembered, seen, warnings

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


RNG = np.random.default_rng(0)
HASHES = RNG.integers(0, 256, (9, 2, 32), np.uint8)
HASHES[:, :, 0] &= 0x7F


def photos(name, contents, signs=0):
    """Photos of some contents, whose hashes differ by some signs from those of others of the same content."""
    hashes = HASHES[contents].copy()
    hashes[:, :, 20] ^= np.uint8(2**signs - 1)
    ids = np.array([f"{name}/{content}.jpg" for content in contents])
    facts = {"digest": np.array([b"%d %d" % (content, signs) for content in contents]), "perceptual_hash": hashes}
    return Examples({"path": ids}, np.zeros(len(ids), int), ids, ("cat",), facts=facts)


def joined(*parts):
    columns = lambda name: np.concatenate([part.facts[name] for part in parts])  # noqa: E731
    ids = np.concatenate([part.ids for part in parts])
    facts = {name: columns(name) for name in parts[0].facts}
    return Examples({"path": ids}, np.zeros(len(ids), int), ids, ("cat",), facts=facts)


SPLITS = Splits(
    photos("train", [0, 1, 2]),
    photos("validation", [3, 4], signs=2),
    joined(photos("test", [5, 1]), photos("test", [2, 4, 6], signs=3)),
)


def test_near_copies_are_named_beside_the_exact_and_without_them():
    exact, near_train, near_validation = warnings(SPLITS, near=True)
    assert exact == "1 of 5 test images are also in train: test/1.jpg = train/1.jpg."
    assert near_train.startswith("1 of 5 test images are nearly the same as some in train")
    assert near_train.endswith(": test/2.jpg ~ train/2.jpg.")
    assert near_validation.startswith("1 of 5 test images are nearly the same as some in validation")
    assert near_validation.endswith(": test/4.jpg ~ validation/4.jpg.")


def test_what_is_validated_on_and_was_trained_on_is_named_too():
    source = Splits(photos("train", [0, 1, 2]), photos("validation", [1, 3, 2]), photos("test", [5]))
    assert warnings(source, near=True) == [
        "2 of 3 validation images are also in train: validation/1.jpg = train/1.jpg; validation/2.jpg = train/2.jpg."
    ]


def test_near_copies_are_not_looked_for_unless_asked_nor_among_arrays():
    assert len(warnings(SPLITS)) == 1
    arrays = [Examples({"image": ROWS[rows]}, np.zeros(len(rows), int)) for rows in ([0, 1], [2], [1, 3])]
    assert warnings(Splits(*arrays), near=True) == ["1 of 2 test images are also in train: row[0] = row[1]."]


def test_rows_that_were_trained_on_are_known_again_from_a_file(tmp_path):
    np.savez(tmp_path / "seen.npz", **remembered(SPLITS.train, SPLITS.validation))
    with np.load(tmp_path / "seen.npz", allow_pickle=False) as known:
        found = seen(known, SPLITS.test, near=True)
        assert (found.exact.tolist(), found.near.tolist()) == ([1], [2, 3])
        assert len(seen(known, SPLITS.test, near=False).near) == 0


def test_arrays_are_remembered_by_their_digests_alone():
    known = remembered(Examples({"image": ROWS[[1]]}), Examples({"image": ROWS[[4]]}))
    assert list(known) == ["digest"]
    found = seen(known, Examples({"image": ROWS}), near=True)
    assert (found.exact.tolist(), found.near.tolist()) == ([1, 4], [])
