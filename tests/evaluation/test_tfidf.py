import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from kerasuite.evaluation import baselines, tfidf
from kerasuite.evaluation.tfidf import TfidfLogisticRegression

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 240)
TEXTS = np.array(
    [" ".join(RNG.choice([f"w{label}", "the", "a", "film", f"n{k % 7}"], 8)) for k, label in enumerate(LABELS)], object
)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_it_says_what_scikit_learn_says(num_classes):
    rows = np.isin(LABELS, range(num_classes))
    texts, labels = TEXTS[rows], LABELS[rows]
    ours = TfidfLogisticRegression.fit(texts, labels, num_classes)
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, token_pattern=r"\w+")
    theirs = make_pipeline(vectorizer, LogisticRegression(C=4.0, tol=1e-8, max_iter=2000)).fit(texts, labels)
    expected = theirs.predict_proba(texts)
    found = ours.probabilities(texts)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_class_that_train_lacks_has_probability_0():
    found = TfidfLogisticRegression.fit(TEXTS, LABELS % 2, 4).probabilities(TEXTS)
    assert found[:, 2:].max() == 0
    np.testing.assert_allclose(found.sum(1), 1)


def test_characters_of_chinese_are_words():
    texts = np.array(["很好看", "不好看", "真好看", "不喜欢"], object)
    model = TfidfLogisticRegression.fit(texts, np.array([1, 0, 1, 0]), 2)
    assert {"不", "好", "好 看"} <= set(model.terms)


@pytest.mark.parametrize(("one", "other"), [("लड़का आया था घर", "लड़की आयी थी घर"), ("love it 😍", "love it 😡")])
def test_vowel_signs_and_emoji_tell_texts_apart(one, other):
    texts, labels = np.array([one, other] * 4, object), np.array([0, 1] * 4)
    model = TfidfLogisticRegression.fit(texts, labels, 2)
    assert model.probabilities(texts).argmax(1).tolist() == labels.tolist()


def test_texts_without_a_word_that_two_have_leave_the_frequencies_of_the_classes():
    texts = np.array([f"w{k}" for k in range(150)], object)
    labels = np.array([0, 0, 1] * 50)
    for some in (texts, np.full(150, "!?", object)):
        found = TfidfLogisticRegression.fit(some, labels, 2).probabilities(some)
        np.testing.assert_allclose(found, np.tile([2 / 3, 1 / 3], (150, 1)), atol=0.01)


def test_of_many_classes_the_terms_are_fewer(monkeypatch):
    monkeypatch.setattr(tfidf, "MOST_COEFFICIENTS", 30)
    assert len(TfidfLogisticRegression.fit(TEXTS, LABELS, 3).terms) == 10


def test_it_is_saved_and_read_again_with_the_others(tmp_path):
    fitted = baselines.fit_all({"words": TEXTS}, LABELS, 3, validation=({"words": TEXTS}, LABELS))
    baselines.save(tmp_path / "b.npz", fitted)
    again = baselines.load(tmp_path / "b.npz")
    before, after = (baselines.probabilities(each, {"words": TEXTS}) for each in (fitted, again))
    assert list(after) == ["majority", "words"]
    np.testing.assert_array_equal(before["words"], after["words"])
