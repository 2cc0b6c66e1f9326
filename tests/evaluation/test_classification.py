import dataclasses

import numpy as np
import pytest
from PIL import Image

from kerasuite.evaluation import classification, results
from kerasuite.evaluation.classification import Scores
from kerasuite.evaluation.report import Figure, Section, verdict_sentence, without_seen_sentence

# Four rows of two classes, of which rows 0 and 3 are right.
LABELS = np.array([0, 0, 1, 1])
PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
EVEN = np.full((4, 2), 0.5)


def scores(**changes):
    given = {
        "labels": LABELS,
        "probabilities": PROBABILITIES,
        "baselines": {"majority": EVEN},
        "best_baseline": "majority",
        "ids": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
        "class_names": ("cat", "dog"),
    }
    return Scores(**given | changes)


def sections(given, kept_by="val_loss", **options):
    drawn = classification.pictures(classification.displays(given))
    found = classification.numbers(given) | {"kept": {"epoch": 1, "by": kept_by}}
    return classification.sections(given, found, drawn, **options)


def test_the_numbers_without_seen_rows_are_over_the_others():
    found = classification.numbers(scores(seen=np.array([1, 2]), near_seen=np.array([2])))
    assert found["test"]["accuracy"]["value"] == 0.5
    assert found["without_seen"]["test"]["accuracy"]["value"] == 1.0
    assert found["without_seen"]["test"]["accuracy"]["n"] == 2
    assert (found["seen"], classification.numbers(scores())["seen"]) == (2, 0)


def test_where_all_rows_were_seen_nothing_is_shown_of_new_ones():
    many = scores(
        labels=np.tile([0, 1], 20),
        probabilities=np.tile(np.eye(2), (20, 1)),
        baselines={"majority": np.full((40, 2), [0.6, 0.4])},
        ids=[f"{k}.jpg" for k in range(40)],
    )
    assert classification.numbers(many)["verdict"] == "better"
    found = classification.numbers(dataclasses.replace(many, seen=np.arange(40)))
    assert (found["seen"], found["verdict"], found["p_value"]) == (40, "not shown", None)
    assert "without_seen" not in found
    assert without_seen_sentence(found, "photos") == (
        "All of these photos are also in train or validation: nothing is shown of new ones."
    )
    assert verdict_sentence(found).startswith("Not shown to be better than majority: 100.0% against 50%")


def test_each_row_says_whether_it_was_seen_in_training():
    table = classification.predictions(scores(seen=np.array([1, 2]), near_seen=np.array([2])))
    assert table["seen_in_training"].to_list() == ["", "exactly", "nearly", ""]
    assert set(classification.predictions(scores())["seen_in_training"]) == {""}


def test_where_nearly_the_same_rows_were_not_looked_for_that_is_said():
    assert "2 exactly; nearly the same were not looked for" in sections(scores(seen=np.array([1, 2])))[0].text


def test_seen_rows_are_counted_and_named():
    first = sections(scores(seen=np.array([1, 2]), near_seen=np.array([2])))[0]
    assert first.title == "Rows seen in training"
    assert "1 exactly; 1 nearly" in first.text
    both, rows = first.tables
    assert both.columns == ["metric", "all 4 rows", "without the 2 seen in training"]
    assert [(cell.value, cell.n) for cell in both.rows[0][1:]] == [(0.5, 4), (1.0, 2)]
    assert rows.rows == [["b.jpg", "cat", "dog", "exactly"], ["c.jpg", "dog", "cat", "nearly"]]


def test_where_every_row_was_seen_the_rows_are_still_named():
    first = sections(scores(seen=np.arange(4)))[0]
    assert [len(table.rows) for table in first.tables] == [4]


def test_of_many_seen_rows_the_first_twenty_are_named():
    many = scores(
        labels=np.tile(LABELS, 10),
        probabilities=np.tile(PROBABILITIES, (10, 1)),
        baselines={"majority": np.tile(EVEN, (10, 1))},
        ids=[f"{k}.jpg" for k in range(40)],
        seen=np.arange(30),
    )
    named = sections(many)[0].tables[-1]
    assert len(named.rows) == 20
    assert named.caption == "The rows seen in training, the first 20 of 30."


def test_the_class_table_has_an_interval_for_every_number():
    table = sections(scores())[0].tables[0]
    assert table.columns == ["class", "precision", "recall", "F1", "rows"]
    name, *estimates, rows = table.rows[0]
    assert (name, rows) == ("cat", 2)
    assert [estimate.value for estimate in estimates] == [0.5, 0.5, 0.5]
    assert all(estimate.low < estimate.value < estimate.high for estimate in estimates)


def test_a_pipelines_own_sections_stand_between_the_probabilities_and_the_training():
    own = Section("What it was trained on", figures=[Figure("Augmented.", b"", "augmented")])
    history = [{"loss": 1.0, "val_loss": 1.0, "accuracy": 0.5, "val_accuracy": 0.5}]
    titles = [section.title for section in sections(scores(), history=history, extra=[own])]
    assert titles[-3:] == ["Probabilities", "What it was trained on", "Training"]


@pytest.mark.parametrize(
    ("by", "words"), [("val_loss", "lowest validation loss"), ("val_accuracy", "highest validation accuracy")]
)
def test_the_report_says_what_the_epoch_was_told_by(by, words):
    history = [{"loss": 1.0, "val_loss": 1.0, "accuracy": 0.5, "val_accuracy": 0.5}]
    assert words in sections(scores(), by, history=history)[-1].text


def test_every_named_picture_is_written_as_a_file_and_the_numbers_are_printed(tmp_path, capsys):
    own = Section("Own", figures=[Figure("named", b"bytes", "augmented"), Figure("unnamed", b"others")])
    given = scores(seen=np.array([1]), near_seen=np.array([1]))
    results.write(tmp_path, given, title="t", summary="s", facts={}, extra=[own])
    assert (tmp_path / "augmented.png").read_bytes() == b"bytes"
    pictures = {path.stem for path in tmp_path.glob("*.png")} - {"augmented"}
    assert pictures == {
        "confusion_matrix", "confusion_matrix_normalized", "mistakes", "precision_recall", "reliability", "roc",
    }  # fmt: skip
    assert Image.open(tmp_path / "roc.png").width > 300
    line = capsys.readouterr().out
    assert "Accuracy 50% on 4 test rows" in line
    assert "Without the one row that is also in train or validation: accuracy 67% on 3 rows" in line


@pytest.mark.parametrize("name", ["roc", "precision_recall"])
def test_curves_take_the_groups_into_account(name):
    repeated = {
        "labels": np.repeat(LABELS, 10),
        "probabilities": np.repeat(PROBABILITIES, 10, axis=0),
        "baselines": {"majority": np.repeat(EVEN, 10, axis=0)},
        "ids": [f"{k}.jpg" for k in range(40)],
    }
    alone = classification.displays(scores(**repeated))[name].curves[0].area
    grouped = classification.displays(scores(**repeated, groups=np.arange(40) // 8))[name].curves[0].area
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_mistakes_that_can_be_read_are_a_table_of_their_texts():
    shown = classification.displays(scores())["mistakes"]
    texts = [f"text {row} " + "long " * 100 for row in shown.index]
    table = classification.mistaken_texts(shown, texts)
    assert table.caption == shown.title
    for row, cells in zip(shown.index, table.rows):
        text, label, prediction, confidence, name = cells
        assert text.startswith(f"text {row} ")
        assert text.endswith("…")
        assert name == scores().ids[row]
        assert (label, confidence) == (("cat", "dog")[LABELS[row]], pytest.approx(PROBABILITIES[row].max()))
        assert prediction != label
    made = {section.title: section for section in sections(scores(), mistakes=table)}
    assert made["The most confident mistakes"].tables == [table]
    assert not made["The most confident mistakes"].figures
