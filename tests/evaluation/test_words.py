import numpy as np
import pytest

from kerasuite.evaluation import text_sections
from kerasuite.evaluation.classification import Scores
from kerasuite.evaluation.drawing import png
from kerasuite.evaluation.report import Section
from kerasuite.evaluation.words import MOST_CHARACTERS, MOST_WORDS, Moved, WordsDisplay, occlusion

WEIGHTS = {"good": 2.0, "bad": -3.0, "not": -1.0, "好": 2.0}


def says(texts):
    """A model that adds up words: their effect on the odds is known."""
    scores = np.array([sum(weight for word, weight in WEIGHTS.items() if word in text) for text in texts])
    positive = 1 / (1 + np.exp(-scores))
    return np.stack([1 - positive, positive], axis=1)


def test_the_effect_of_a_word_is_the_probability_with_it_less_that_without():
    (moved,) = occlusion(["a good, bad one"], np.array([1]), says)
    assert moved.words == ["a", "good,", "bad", "one"]
    # Scores: -1 with all; -3 without good; 2 without bad.
    sigmoid = lambda score: 1 / (1 + np.exp(-score))  # noqa: E731
    np.testing.assert_allclose(moved.effects, [0, sigmoid(-1) - sigmoid(-3), sigmoid(-1) - sigmoid(2), 0], atol=1e-12)


def test_the_effect_is_on_the_class_that_is_asked_for():
    moved = occlusion(["good film", "good film"], np.array([1, 0]), says)
    np.testing.assert_allclose(moved[0].effects, -moved[1].effects)


def test_chinese_is_taken_character_by_character():
    (moved,) = occlusion(["很好看 ok"], np.array([1]), says)
    assert moved.words == ["很", "好", "看", "ok"]
    assert moved.effects.argmax() == 1


def test_a_long_text_is_looked_at_from_its_beginning():
    (moved,) = occlusion(["word " * 200], np.array([1]), says)
    assert len(moved.words) == MOST_WORDS


def test_of_a_text_of_a_megabyte_the_copies_are_short():
    asked = []
    occlusion(["good " * 200_000], np.array([1]), lambda texts: asked.extend(texts) or says(texts))
    assert len(asked) == 1 + MOST_WORDS
    assert max(map(len, asked)) == MOST_CHARACTERS


def test_a_text_without_words_has_no_effects():
    assert occlusion([" "], np.array([0]), says)[0].words == []


@pytest.mark.parametrize("words", [["so", "good"], ["$5", "x" * 300, "\u200b"], ["字"] * 100, []])
def test_any_words_are_drawn(words):
    display = WordsDisplay([Moved(words, np.linspace(-1, 1, len(words)))], ["a caption"])
    assert png(display).startswith(b"\x89PNG")
    assert len(display.frame()) == len(words)


def scores(texts):
    probabilities = says(texts)
    labels = np.array([1, 0, 1, 0] * (len(texts) // 4))
    ids = [f"a.csv[{row}]" for row in range(len(texts))]
    return Scores(labels, probabilities, {}, "", ids, ("negative", "positive"))


TEXTS = ["good", "good bad", "bad", "bad bad not"] * 10


def test_accuracy_by_length_counts_every_row_once():
    tokens = np.arange(40)
    (table,) = text_sections.by_length(scores(TEXTS), tokens, 128, "Two were cut.").tables
    assert [row[0] for row in table.rows] == ["0 to 7", "8 to 15", "16 to 23", "24 to 31", "32 to 39"]
    assert [(row[1].value, row[2]) for row in table.rows] == [(0.75, 8)] * 5


def test_texts_of_one_length_are_one_group():
    (table,) = text_sections.by_length(scores(TEXTS), np.full(40, 7), 128).tables
    assert [(row[0], row[2]) for row in table.rows] == [("7 to 7", 40)]


def test_words_of_wrong_and_of_right_answers_are_drawn():
    section = text_sections.words(scores(TEXTS), TEXTS, says)
    assert isinstance(section, Section)
    assert section.figures[0].name == "words"


def test_of_several_labels_the_surest_mistake_is_looked_at_and_what_is_denied_is_said():
    probabilities = np.array([[0.02, 0.9], [0.6, 0.45], [0.01, 0.02]])
    labels = np.array([[1, 1], [1, 0], [0, 0]])
    both = Scores(labels, probabilities, {}, "", ["a", "b", "c"], ("toxic", "spam"))
    answers, is_said, sureness = text_sections._asked_about(both)
    # Toxic is missed in the first; of what is right the least sure: spam is denied by 0.55, and by 0.98.
    assert answers.tolist() == [0, 1, 1]
    assert is_said.tolist() == [False, False, False]
    np.testing.assert_allclose(sureness, [0.98, 0.55, 0.98])


def test_of_several_labels_a_word_that_speaks_for_a_class_speaks_against_its_denial(monkeypatch):
    shown = []
    monkeypatch.setattr(text_sections, "png", lambda display: shown.append(display) or b"")
    denied = Scores(np.array([[1]]), np.array([[0.1]]), {}, "", ["a"], ("toxic",))
    text_sections.words(denied, ["bad film"], lambda texts: np.array([[0.1 if "bad" in t else 0.0] for t in texts]))
    assert shown[0].captions == ["Wrong: not toxic 0.90, is toxic"]
    np.testing.assert_allclose(shown[0].moved[0].effects, [-0.1, 0])
