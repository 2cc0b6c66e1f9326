import numpy as np
import pytest
from sklearn import metrics as theirs

from kerasuite.errors import InputError
from kerasuite.evaluation.drawing import png
from kerasuite.evaluation.intervals import bootstrap
from kerasuite.evaluation.multilabel import (
    LabelMatricesDisplay,
    MistakesTable,
    answers,
    class_rows,
    macro_f1,
    micro_f1,
    multilabel_metrics,
    verdict,
)

LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]])
PROBABILITIES = np.array([[0.9, 0.6, 0.1], [0.4, 0.5, 0.2], [0.1, 0.2, 0.3], [0.2, 0.8, 0.1]])
# By hand: said are (1, 1, 0), (0, 1, 0), (0, 0, 0), (0, 1, 0).


def test_the_numbers_are_those_worked_by_hand():
    found = multilabel_metrics(LABELS, PROBABILITIES)
    # 3 said rightly; 4 said; 4 are so.
    assert found["micro_f1"].value == pytest.approx(2 * 3 / 8)
    # Of the first 2 / (1 + 2), of the second 4 / (3 + 2); the third is nowhere.
    assert found["macro_f1"].value == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["exact_match_accuracy"].value == 0.5
    own = np.where(LABELS, PROBABILITIES, 1 - PROBABILITIES)
    assert found["log_loss"].value == pytest.approx(-np.log(own).mean())
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in found.values())


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels, probabilities = rng.integers(0, 2, (30, 4)), rng.random((30, 4))
    found, said = multilabel_metrics(labels, probabilities), probabilities >= 0.5
    assert found["micro_f1"].value == pytest.approx(theirs.f1_score(labels, said, average="micro"))
    assert found["macro_f1"].value == pytest.approx(theirs.f1_score(labels, said, average="macro"))
    assert found["exact_match_accuracy"].value == pytest.approx(theirs.accuracy_score(labels, said))


@pytest.mark.parametrize("groups", [None, np.arange(60) // 3])
def test_intervals_are_of_the_same_numbers_on_each_resample(groups):
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 2, (60, 3)), rng.random((60, 3))
    said = probabilities >= 0.5
    found = multilabel_metrics(labels, probabilities, groups=groups)
    for name, of in (("micro_f1", micro_f1), ("macro_f1", macro_f1)):
        assert found[name] == bootstrap(lambda rows, of=of: of(labels[rows], said[rows]), 60, groups=groups)


def test_a_matrix_for_each_class_is_that_of_scikit_learn():
    display = LabelMatricesDisplay.from_predictions(LABELS, answers(PROBABILITIES), ("a", "b", "c"))
    np.testing.assert_array_equal(display.matrices, theirs.multilabel_confusion_matrix(LABELS, answers(PROBABILITIES)))
    assert display.frame().rows()[1] == ("b", 1, 1, 0, 2)


def test_each_class_has_its_precision_recall_and_rows():
    (name, precision, recall, f1, rows), *_ = class_rows(LABELS, answers(PROBABILITIES), ("a", "b", "c"))
    assert (name, precision.value, recall.value, rows) == ("a", 1.0, 0.5, 2)
    assert f1.value == pytest.approx(2 / 3)


def test_groups_widen_nothing_but_are_drawn_whole():
    # Six groups of four rows that are all right, or all wrong.
    right = (answers(PROBABILITIES) == LABELS).all(1)
    rows = np.concatenate([np.repeat(np.flatnonzero(right == k)[0], 12) for k in (True, False)])
    found = multilabel_metrics(LABELS[rows], PROBABILITIES[rows], groups=np.arange(24) // 4)["exact_match_accuracy"]
    alone = multilabel_metrics(LABELS[rows], PROBABILITIES[rows])["exact_match_accuracy"]
    assert found.value == alone.value == 0.5
    assert found.high - found.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize("number", [1, 3, 20])
@pytest.mark.parametrize("normalize", [False, True])
def test_any_number_of_classes_is_drawn(number, normalize):
    rng = np.random.default_rng(0)
    names = [f"class $ {k}" for k in range(number)]
    display = LabelMatricesDisplay.from_predictions(
        rng.integers(0, 2, (9, number)), rng.integers(0, 2, (9, number)), names
    )
    assert png(display, normalize=normalize).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("labels", "probabilities", "words"),
    [
        (LABELS[:0], PROBABILITIES[:0], "at least one row"),
        (LABELS, PROBABILITIES[:, :2], "shape"),
        (LABELS * 2, PROBABILITIES, "0 or 1"),
        (LABELS, PROBABILITIES * 9, "sigmoid"),
    ],
)
def test_wrong_arrays_are_refused(labels, probabilities, words):
    with pytest.raises(InputError, match=words):
        multilabel_metrics(labels, probabilities)


def test_a_model_that_is_right_more_often_is_better_and_its_copy_is_not_shown_to_be():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (200, 3))
    good = np.clip(labels * 0.8 + rng.normal(0.1, 0.2, labels.shape), 0, 1)
    assert verdict(labels, good, np.full(labels.shape, 0.6))[0] == "better"
    assert verdict(labels, np.full(labels.shape, 0.6), good)[0] == "worse"
    assert verdict(labels, good, good)[0] == "not shown"


def test_the_surest_mistakes_come_first_with_all_their_labels():
    table = MistakesTable.from_predictions(LABELS, PROBABILITIES, ["r0", "r1", "r2", "r3"], ("a", "b", "c"))
    # The first row is said to be of b with 0.6, the second not of a with 0.6: as sure, so by their order.
    assert table.frame().rows() == [("a", "a|b", 0.6, "r0"), ("a|b", "b", 0.6, "r1")]
    assert table.title == "The 2 surest of 2 rows with a mistake"
