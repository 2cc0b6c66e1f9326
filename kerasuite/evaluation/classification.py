"""The whole evaluation of a classifier: the numbers of metrics.json and the sections of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars

from kerasuite.evaluation import metrics, multilabel
from kerasuite.evaluation.curve_display import PrecisionRecallDisplay, RocDisplay
from kerasuite.evaluation.display import ConfusionMatrixDisplay, ReliabilityDisplay
from kerasuite.evaluation.drawing import png
from kerasuite.evaluation.intervals import Estimate
from kerasuite.evaluation.report import Figure, Section, Table, metric_words
from kerasuite.evaluation.run_display import HistoryDisplay, MistakesDisplay

HEADLINE = "accuracy"
RELIABILITY = "Reliability: of the answers given with this confidence, how many are right."
MOST_LISTED, MOST_LETTERS = 20, 400


@dataclass(frozen=True)
class Scores:
    """The answers of a model, and of its baselines, on one set of labelled rows.

    Args:
        labels: int array (n,), or 0 and 1 (n, classes) where a row may be of several.
        probabilities: (n, classes), the model's.
        baselines: the same of each baseline, by name.
        best_baseline: the name of the one that was best on validation.
        ids: n names.
        class_names: one a class.
        groups: what rows belong together, (n,), or None.
        seen: positions of rows whose content is also among the training rows, exactly or nearly.
        near_seen: those of them whose content is only nearly the same; None where these were not looked for.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    baselines: Mapping[str, np.ndarray]
    best_baseline: str
    ids: Sequence[str]
    class_names: Sequence[str]
    groups: np.ndarray | None = None
    seen: np.ndarray = field(default_factory=lambda: np.array([], int))
    near_seen: np.ndarray | None = None

    @property
    def multi_label(self) -> bool:
        """Whether a row may be of several classes, or of none."""
        return np.ndim(self.labels) == 2

    @property
    def right(self) -> np.ndarray:
        """Which rows are answered rightly, of several labels with all of them: bool (n,)."""
        if self.multi_label:
            return (multilabel.answers(self.probabilities) == (self.labels > 0)).all(axis=1)
        return self.probabilities.argmax(1) == self.labels

    def true_name(self, row: int) -> str:
        """The class of a row; of several labels all of them."""
        if self.multi_label:
            return multilabel.named(self.labels[row], self.class_names)
        return str(self.class_names[self.labels[row]])

    def said_name(self, row: int) -> str:
        """What the model says of a row; of several labels all of them."""
        if self.multi_label:
            return multilabel.named(multilabel.answers(self.probabilities[row]), self.class_names)
        return str(self.class_names[self.probabilities[row].argmax()])


def numbers(scores: Scores) -> dict[str, Any]:
    """The part of metrics.json that is about quality: headline, test, baselines, verdict.

    `seen` counts the rows that were seen in training. Where there are some, and others, `without_seen` has test,
    baselines and verdict without them; where there are no others, nothing is shown of new rows.
    """
    measure = multilabel.multilabel_metrics if scores.multi_label else metrics.classification_metrics
    measured = lambda probabilities, rows: {  # noqa: E731
        name: estimate.as_dict()
        for name, estimate in measure(
            scores.labels[rows], probabilities[rows], groups=None if scores.groups is None else scores.groups[rows]
        ).items()
    }

    def on(rows: np.ndarray) -> dict[str, Any]:
        word, p = _verdict(scores, rows)
        return {
            "headline": "micro_f1" if scores.multi_label else HEADLINE,
            "test": measured(scores.probabilities, rows),
            "baselines": {name: measured(baseline, rows) for name, baseline in scores.baselines.items()},
            "best_baseline": scores.best_baseline,
            "verdict": word,
            "p_value": p,
        }

    everything = np.arange(len(scores.labels))
    unseen = np.setdiff1d(everything, scores.seen)
    found = on(everything) | {"seen": len(scores.seen)}
    if not len(unseen):
        return found | {"verdict": "not shown", "p_value": None}
    return found | ({"without_seen": on(unseen)} if len(scores.seen) else {})


def _verdict(scores: Scores, rows: np.ndarray) -> tuple[str, float]:
    """The model against the best baseline on the same rows, by the headline."""
    labels, said, best = (
        each[rows] for each in (scores.labels, scores.probabilities, scores.baselines[scores.best_baseline])
    )
    groups = None if scores.groups is None else scores.groups[rows]
    if scores.multi_label:
        return multilabel.verdict(labels, said, best, groups=groups)
    return metrics.verdict(said.argmax(1) == labels, best.argmax(1) == labels, groups=groups)


def displays(scores: Scores) -> dict[str, Any]:
    """The displays of one set of scores, by the name of their picture."""
    labels, probabilities, names = scores.labels, scores.probabilities, scores.class_names
    if scores.multi_label:
        said = multilabel.answers(probabilities)
        return {
            "confusion_matrix": multilabel.LabelMatricesDisplay.from_predictions(labels, said, names),
            "roc": RocDisplay.from_predictions(labels, probabilities, names, groups=scores.groups),
            "precision_recall": PrecisionRecallDisplay.from_predictions(
                labels, probabilities, names, groups=scores.groups
            ),
            "mistakes": multilabel.MistakesTable.from_predictions(labels, probabilities, scores.ids, names),
        }
    return {
        "confusion_matrix": ConfusionMatrixDisplay.from_predictions(labels, probabilities.argmax(1), names),
        "roc": RocDisplay.from_predictions(labels, probabilities, names, groups=scores.groups),
        "precision_recall": PrecisionRecallDisplay.from_predictions(labels, probabilities, names, groups=scores.groups),
        "reliability": ReliabilityDisplay.from_predictions(labels, probabilities),
        "mistakes": MistakesDisplay.from_predictions(labels, probabilities, scores.ids, names),
    }


def predictions(scores: Scores) -> polars.DataFrame:
    """A row each example: id, label, prediction, p(class) for each class, and whether it was seen in training."""
    rows = range(len(scores.labels))
    seen = np.full(len(rows), "", object)
    seen[scores.seen] = "exactly"
    seen[[] if scores.near_seen is None else scores.near_seen] = "nearly"
    columns = {
        "id": [str(scores.ids[row]) for row in rows],
        "label": [scores.true_name(row) for row in rows],
        "prediction": [scores.said_name(row) for row in rows],
    }
    probabilities = {f"p({name})": scores.probabilities[:, k] for k, name in enumerate(scores.class_names)}
    return polars.DataFrame(columns | probabilities | {"seen_in_training": seen.tolist()})


def pictures(shown: Mapping[str, Any], images: Sequence[np.ndarray] | None = None) -> dict[str, bytes]:
    """PNG bytes of each display, by name; the confusion matrix in counts and in shares.

    Args:
        images: thumbnails of the mistakes, in their order.
    """
    drawn = {name: png(display) for name, display in shown.items() if name != "mistakes"}
    drawn["confusion_matrix_normalized"] = png(shown["confusion_matrix"], normalize=True)
    if isinstance(shown["mistakes"], MistakesDisplay):
        drawn["mistakes"] = png(shown["mistakes"], images=images)
    return drawn


def mistaken_texts(display: MistakesDisplay | multilabel.MistakesTable, texts: Sequence[str]) -> Table:
    """The mistakes as a table, for rows that can be read: each with its text, which may be shortened.

    Args:
        texts: one a mistake, in their order.
    """
    short = [text if len(text) <= MOST_LETTERS else text[:MOST_LETTERS].rstrip() + " …" for text in texts]
    told = display.frame().select("label", "prediction", "confidence", "id").rows()
    return Table(
        display.title, ["text", "class", "prediction", "confidence", "row"], [[t, *row] for t, row in zip(short, told)]
    )


def _seen_section(scores: Scores, found: Mapping[str, Any]) -> Section:
    """The numbers with and without the rows whose content was trained on, and which rows these are."""
    near = np.intersect1d(scores.seen, [] if scores.near_seen is None else scores.near_seen)
    how = "nearly the same were not looked for" if scores.near_seen is None else f"{len(near):,} nearly"
    text = (
        "Some test rows have the same content as rows of train or validation, which a model may know by heart or was "
        f"chosen by: {len(scores.seen) - len(near):,} exactly; {how}."
    )
    tables = []
    if "without_seen" in found:
        whole, without = found["test"], found["without_seen"]["test"]
        rows = [
            [metric_words(name), Estimate.from_dict(whole[name]), Estimate.from_dict(without[name])] for name in without
        ]
        columns = ["metric", f"all {len(scores.labels):,} rows", f"without the {len(scores.seen):,} seen in training"]
        tables.append(Table("The same model, scored both ways.", columns, rows))
    return Section("Rows seen in training", text, [], [*tables, _seen_table(scores, near)])


def _seen_table(scores: Scores, near: np.ndarray) -> Table:
    listed = scores.seen[:MOST_LISTED]
    rows = [
        [str(scores.ids[row]), scores.true_name(row), scores.said_name(row), "nearly" if row in near else "exactly"]
        for row in listed
    ]
    more = f", the first {len(listed)} of {len(scores.seen):,}" if len(listed) < len(scores.seen) else ""
    return Table(f"The rows seen in training{more}.", ["row", "class", "prediction", "the same"], rows)


def sections(
    scores: Scores,
    found: Mapping[str, Any],
    drawn: Mapping[str, bytes],
    history: Sequence[Mapping[str, float]] | None = None,
    extra: Sequence[Section] = (),
    mistakes: Table | None = None,
) -> list[Section]:
    """The report's sections, most telling first.

    Args:
        found: what `numbers` gave, and with a history `kept`, as `Fitted` has it.
        drawn: what `pictures` gave.
        extra: a pipeline's own, after the probabilities.
        mistakes: stands for the picture of the mistakes.
    """

    def figure(caption: str, name: str) -> Figure:
        return Figure(caption, drawn[name], name)

    made = [_seen_section(scores, found)] if len(scores.seen) else []
    made += [
        Section(
            "Which classes are taken for which",
            "Each class by itself: whether a row is of it, and whether that was said."
            if scores.multi_label
            else "Rows are the true classes, columns the predicted ones.",
            [
                figure("Confusion matrix, counts.", "confusion_matrix"),
                figure("Confusion matrix, share of each true class.", "confusion_matrix_normalized"),
            ],
            [_class_table(scores)],
        ),
        Section(
            "The most confident mistakes",
            "Often wrong labels, always instructive. predictions.csv has every row.",
            [] if mistakes else [figure("Prediction, true class and confidence of each.", "mistakes")],
            [mistakes] if mistakes else [],
        ),
        Section(
            "Probabilities",
            "How well the scores tell the classes apart, and whether they can be taken at their word.",
            [
                figure("Receiver operating characteristic, each class against the rest.", "roc"),
                figure("Precision and recall, each class against the rest.", "precision_recall"),
                *([figure(RELIABILITY, "reliability")] if "reliability" in drawn else []),
            ],
            [],
        ),
        *extra,
    ]
    if history:
        made.append(_training_section(history, found["kept"]["by"].removeprefix("val_")))
    return made


def _training_section(history: Sequence[Mapping[str, float]], by: str) -> Section:
    """The course of the training, and by what measure of validation its epoch was kept."""
    curves = png(HistoryDisplay.from_history([{"epoch": k} | dict(row) for k, row in enumerate(history, 1)]))
    text = f"The weights of the epoch with the {'lowest' if by == 'loss' else 'highest'} validation {by} were kept."
    if any("stage" in row for row in history):
        text = (
            "Dotted lines part the stages. Each stage goes on from the best epoch of those before it, by the "
            "validation loss; one that did not lower it was undone."
        )
    return Section("Training", text, [Figure("Loss and accuracy by epoch.", curves)], [])


def _class_table(scores: Scores) -> Table:
    columns = ["class", "precision", "recall", "F1", "rows"]
    caption = "Each class by itself; small print is the 95% interval."
    if scores.multi_label:
        said = multilabel.answers(scores.probabilities)
        return Table(caption, columns, multilabel.class_rows(scores.labels, said, scores.class_names, scores.groups))
    answers = scores.probabilities.argmax(1)
    found = metrics.class_estimates(scores.labels, answers, len(scores.class_names), groups=scores.groups)
    support = np.bincount(scores.labels, minlength=len(scores.class_names))
    rows = [
        [name, *(found[measure][k] for measure in ("precision", "recall", "f1")), int(support[k])]
        for k, name in enumerate(scores.class_names)
    ]
    return Table(caption, columns, rows)
