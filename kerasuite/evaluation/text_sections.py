"""What a report says of texts: accuracy by length, and what the words did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasuite.evaluation import multilabel
from kerasuite.evaluation.classification import Scores
from kerasuite.evaluation.drawing import png
from kerasuite.evaluation.intervals import bootstrap, wilson
from kerasuite.evaluation.report import Figure, Section, Table
from kerasuite.evaluation.words import Probabilities, WordsDisplay, occlusion

LENGTH_GROUPS = 5
EXPLAINED = 4


def by_length(scores: Scores, tokens: np.ndarray, max_length: int | None, cut: str = "") -> Section:
    """Accuracy in five groups of texts, from the shortest to the longest.

    Args:
        tokens: of each text before it was cut, int (n,).
        max_length: of a text; None where the model makes tokens by itself, and words are counted.
        cut: a sentence on what was cut.
    """
    right = scores.right
    edges = np.unique(np.quantile(tokens, np.arange(1, LENGTH_GROUPS) / LENGTH_GROUPS, method="higher"))
    groups = np.searchsorted(edges, tokens, "right")
    rows = []
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        rows.append([f"{tokens[mine].min()} to {tokens[mine].max()}", _accuracy(right, mine, scores.groups), len(mine)])
    text = f"The model reads {max_length} tokens of a text at most. {cut}".strip() if max_length else ""
    unit = "tokens" if max_length else "words"
    table = Table("Small print is the 95% interval.", [unit, "accuracy", "rows"], rows)
    return Section("By length of the text", text, [], [table])


def _accuracy(right: np.ndarray, rows: np.ndarray, groups: np.ndarray | None):
    if groups is None:
        return wilson(int(right[rows].sum()), len(rows))
    return bootstrap(lambda some: right[rows][some].mean(), len(rows), groups=groups[rows])


def words(scores: Scores, texts: Sequence[str], probabilities: Probabilities) -> Section:
    """What each word did to the prediction, in the worst mistakes and in some right answers."""
    wrong = ~scores.right
    answers = _asked_about(scores)
    # Right answers that were nearly wrong have words on both sides: they tell more than those without a doubt.
    rows = [*_most_confident(scores, wrong)[:EXPLAINED], *_most_confident(scores, ~wrong)[::-1][:EXPLAINED]]
    moved = occlusion([texts[row] for row in rows], answers[rows], probabilities)
    names = scores.class_names
    captions = [
        f"{'Wrong' if wrong[row] else 'Right'}: {names[answers[row]]} {scores.probabilities[row, answers[row]]:.2f}"
        + (f", is {scores.true_name(row) or 'none'}" if wrong[row] else "")
        for row in rows
    ]
    text = (
        "Each word was left out once, and the model asked again. Blue words spoke for what it said, orange ones "
        "against it; the deeper, the more its probability changed, within each text."
    )
    picture = Figure(
        "The most confident mistakes, and the least confident right answers.",
        png(WordsDisplay(moved, captions)),
        "words",
    )
    return Section("What the words did", text, [picture])


def _asked_about(scores: Scores) -> np.ndarray:
    """The class whose probability is looked at: what was said; of several labels the surest mistake, or the surest."""
    if not scores.multi_label:
        return scores.probabilities.argmax(1)
    said = scores.probabilities >= multilabel.THRESHOLD
    sure = np.maximum(scores.probabilities, 1 - scores.probabilities)
    mistaken = np.where(said != (scores.labels > 0), sure, 0)
    return np.where(mistaken.any(1), mistaken.argmax(1), scores.probabilities.argmax(1))


def _most_confident(scores: Scores, where: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(where)
    return rows[np.argsort(-scores.probabilities[rows].max(1), kind="stable")]
