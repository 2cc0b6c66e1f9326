import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasuite.data.near_texts import ALIKE, NUM_HASHES, across, minima

WORDS = [f"word{k}" for k in range(500)]
SENTENCE = " ".join(WORDS[:40])


def near(train, test):
    rows, places, _ = across(minima(train), minima(test))
    return list(zip(rows.tolist(), places.tolist()))


@pytest.mark.parametrize(
    "changed",
    [
        SENTENCE.upper(),
        SENTENCE.replace(" ", ",  ") + "!",
        SENTENCE + " and more",
        " ".join(WORDS[1:40]),
    ],
)
def test_a_text_with_little_changed_is_found(changed):
    assert near(["something else entirely", SENTENCE], [changed]) == [(0, 1)]


@pytest.mark.parametrize("other", [" ".join(WORDS[20:60]), " ".join(reversed(WORDS[:40])), "", "!?", "word0"])
def test_another_text_is_not(other):
    assert near([SENTENCE], [other]) == []


def test_short_texts_are_near_where_all_their_words_are_the_same():
    assert near(["Good film.", "bad film"], ["good film", "film good", "bad"]) == [(0, 0)]


def test_texts_without_words_are_like_nothing():
    assert near(["", "..."], ["", "..."]) == []
    assert near([], [SENTENCE]) == []


def test_of_equal_ones_the_first_in_train_is_named():
    assert near(["x y z", SENTENCE, SENTENCE], [SENTENCE]) == [(0, 1)]


@given(st.integers(0, 40), st.integers(0, 9))
def test_shared_minima_estimate_how_many_runs_of_words_two_texts_share(shared, seed):
    rng = np.random.default_rng(seed)
    words = rng.permutation(WORDS)[:100].tolist()
    one, other = words[:50], words[50 - shared : 100 - shared]
    runs = [{tuple(text[k : k + 3]) for k in range(len(text) - 2)} for text in (one, other)]
    exact = len(runs[0] & runs[1]) / len(runs[0] | runs[1])
    a, b = minima([" ".join(one), " ".join(other)])
    assert abs((a == b).mean() - exact) < 5 * np.sqrt(0.25 / NUM_HASHES)


def test_pairs_above_the_threshold_are_found_among_many():
    rng = np.random.default_rng(0)
    train = [" ".join(rng.choice(WORDS, 60)) for _ in range(2000)]
    test = [f"{text} with an end of its own" for text in train[:200]]
    found = near(train, test)
    # 58 shared runs of 64 in all: 0.91, far enough above 0.8 for an estimate with an error of 0.05.
    assert ALIKE == 0.8
    assert [row for row, place in found if row == place] == list(range(200))


def test_texts_without_spaces_are_compared_by_their_characters():
    train = ["这部电影非常好看演员的表演也很出色我会推荐给我的朋友们一起去看真的很不错", "完全不同的一句话"]
    test = ["这部电影非常好看演员的表演也很出色我会推荐给我的同事们一起去看真的很不错"]
    rows, places, _ = across(minima(train), minima(test))
    assert (rows.tolist(), places.tolist()) == ([0], [0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("मेरा लड़का अच्छा खाना खाता है और गाना गाता है", "मेरी लड़की अच्छी खाना खाती है और गाना गाती है"),
        ("great 😀", "great 😡"),
        ("un café très bon", "un cafe tres bon"),
    ],
)
def test_vowel_signs_accents_and_emoji_count(one, other):
    one, other = (unicodedata.normalize("NFD", text) for text in (one, other))
    assert near([one], [one]) == [(0, 0)]
    assert near([one], [other]) == []


def test_of_texts_that_stand_there_many_times_the_first_is_named():
    train = minima(["another text altogether", *["ok then", "ok, then!"] * 500])
    rows, places, shared = across(train, minima(["quite new words", *["OK then"] * 300]))
    assert rows.tolist() == list(range(1, 301))
    assert set(places.tolist()) == {1}
    assert set(shared.tolist()) == {NUM_HASHES}
