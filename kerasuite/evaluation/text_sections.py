"""What a report says of texts: accuracy by length, and what the words did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasuite.evaluation import multilabel
from kerasuite.evaluation.classification import Scores
from kerasuite.evaluation.drawing import png
from kerasuite.evaluation.intervals import bootstrap, wilson
from kerasuite.evaluation.report import Figure, Section, Table
from kerasuite.evaluation.words import Moved, Probabilities, WordsDisplay, occlusion

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
    text = (
        f"The model reads {max_length} tokens of a text at most. {cut}".strip()
        if max_length
        else "The encoder makes tokens by itself, and cuts texts where it does: --max-length has no say."
    )
    measure = "all labels right" if scores.multi_label else "accuracy"
    table = Table("Small print is the 95% interval.", ["tokens" if max_length else "words", measure, "rows"], rows)
    return Section("By length of the text", text, [], [table])


def _accuracy(right: np.ndarray, rows: np.ndarray, groups: np.ndarray | None):
    if groups is None:
        return wilson(int(right[rows].sum()), len(rows))
    return bootstrap(lambda some: right[rows][some].mean(), len(rows), groups=groups[rows])


def words(scores: Scores, texts: Sequence[str], probabilities: Probabilities) -> Section:
    """What each word did to the prediction, in the worst mistakes and in some right answers."""
    wrong, (answers, is_said, sureness) = ~scores.right, _asked_about(scores)
    surest = np.argsort(-sureness, kind="stable")
    # Right answers that were nearly wrong have words on both sides: they tell more than those without a doubt.
    rows = [*surest[wrong[surest]][:EXPLAINED], *surest[~wrong[surest]][::-1][:EXPLAINED]]
    moved = [
        each if is_said[row] else Moved(each.words, -each.effects)
        for row, each in zip(rows, occlusion([texts[row] for row in rows], answers[rows], probabilities))
    ]
    captions = [
        f"{'Wrong' if wrong[row] else 'Right'}: {'' if is_said[row] else 'not '}{scores.class_names[answers[row]]} "
        f"{sureness[row]:.2f}" + (f", is {scores.true_name(row) or 'none'}" if wrong[row] else "")
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


def _asked_about(scores: Scores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row the class that is looked at, whether the model says it or denies it, and how sure it is of that.

    It is what was said; of several labels the surest mistake, or in a right answer what was least sure.
    """
    if not scores.multi_label:
        answers = scores.probabilities.argmax(1)
        return answers, np.ones(len(answers), bool), scores.probabilities.max(1)
    said = multilabel.answers(scores.probabilities)
    sure = np.where(said, scores.probabilities, 1 - scores.probabilities)
    is_wrong = said != (scores.labels > 0)
    answers = np.where(is_wrong.any(1), np.where(is_wrong, sure, -1).argmax(1), sure.argmin(1))
    rows = np.arange(len(answers))
    return answers, said[rows, answers], sure[rows, answers]
