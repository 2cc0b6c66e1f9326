import time
from contextlib import nullcontext

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasuite.errors import InputError
from kerasuite.evaluation import metrics
from kerasuite.evaluation.curves import precision_area, resampled_areas, roc_area

# Three classes, seven rows: rows true, columns predicted.
MATRIX = np.array([[2, 1, 0], [0, 1, 0], [1, 0, 2]])


def random_rows(n=400, num_classes=6, seed=0, absent=()):
    """Labels and probabilities on a coarse grid, so that many scores are tied."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.setdiff1d(np.arange(num_classes), absent), size=n)
    scores = rng.integers(1, 6, size=(n, num_classes)).astype(float)
    scores[np.arange(n), labels] += rng.integers(0, 4, size=n)
    return labels, scores / scores.sum(axis=1, keepdims=True)


def test_confusion_matrix_has_true_classes_as_rows():
    matrix = metrics.confusion_matrix(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert matrix.dtype == np.int64


def test_confusion_matrix_names_the_row_of_a_label_that_is_no_class():
    with pytest.raises(InputError, match="Row 1 of the predictions is 3: expected a class from 0 to 2"):
        metrics.confusion_matrix(np.array([0, 1]), np.array([0, 3]), 3)
    with pytest.raises(InputError, match="Row 0 of the labels is -1"):
        metrics.confusion_matrix(np.array([-1, 1]), np.array([0, 1]), 3)


def test_averages_by_hand():
    assert metrics.accuracy(MATRIX) == pytest.approx(5 / 7)
    assert metrics.balanced_accuracy(MATRIX) == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert metrics.macro_f1(MATRIX) == pytest.approx((4 / 6 + 2 / 3 + 4 / 5) / 3)


def test_per_class_by_hand():
    scores = metrics.per_class(MATRIX)
    np.testing.assert_allclose(scores["precision"], [2 / 3, 1 / 2, 1])
    np.testing.assert_allclose(scores["recall"], [2 / 3, 1, 2 / 3])
    assert scores["support"].tolist() == [3, 1, 3]


def test_class_intervals_by_hand():
    labels, predictions = np.repeat([0, 0, 1], [8, 2, 10]), np.repeat([0, 1, 1], [8, 2, 10])
    found = metrics.class_estimates(labels, predictions, 3)
    assert found["precision"][0] == metrics.wilson(8, 8)
    assert found["recall"][0] == metrics.wilson(8, 10)
    # Of class 1: 10 hits among the 12 rows that are it or called it.
    share = metrics.wilson(10, 12)
    expected = [2 * s / (1 + s) for s in (share.value, share.low, share.high)]
    f1 = found["f1"][1]
    assert [f1.value, f1.low, f1.high] == pytest.approx(expected)
    assert f1.value == pytest.approx(2 * 10 / (10 + 12))
    assert all(np.isnan(found[name][2].value) for name in found)


def test_the_f1_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth, covered = 2 * 0.6 / (2 * 0.6 + 0.1 + 0.1), 0
    for _ in range(400):
        cell = rng.choice(4, size=150, p=[0.6, 0.1, 0.1, 0.2])  # true and called so, only true, only called so, neither
        estimate = metrics.class_estimates((cell < 2) + 0, np.isin(cell, (0, 2)) + 0, 2)["f1"][1]
        covered += estimate.low <= truth <= estimate.high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_class_intervals_of_groups_are_wider_and_one_group_has_none():
    labels, probabilities = random_rows(40, 3)
    labels, predictions = np.repeat(labels, 10), np.repeat(probabilities.argmax(axis=1), 10)
    alone = metrics.class_estimates(labels, predictions, 3)
    grouped = metrics.class_estimates(labels, predictions, 3, groups=np.arange(400) // 10)
    for name, estimates in alone.items():
        for one, other in zip(estimates, grouped[name]):
            assert one.value == pytest.approx(other.value)
            assert other.high - other.low > 1.8 * (one.high - one.low)
    single = metrics.class_estimates(labels, predictions, 3, groups=np.zeros(400))
    assert np.isnan(single["f1"][0].low)


@pytest.mark.parametrize("absent", [(), (2,), (0, 5)])
def test_averages_agree_with_scikit_learn_also_with_absent_classes(absent):
    labels, probabilities = random_rows(absent=absent)
    predictions = probabilities.argmax(axis=1)
    matrix = metrics.confusion_matrix(labels, predictions, 6)
    assert (matrix == sklearn.metrics.confusion_matrix(labels, predictions, labels=range(6))).all()
    with pytest.warns(UserWarning, match="y_pred contains classes") if absent else nullcontext():
        balanced = sklearn.metrics.balanced_accuracy_score(labels, predictions)
    assert metrics.balanced_accuracy(matrix) == pytest.approx(balanced)
    expected = sklearn.metrics.f1_score(labels, predictions, average="macro", zero_division=0)
    assert metrics.macro_f1(matrix) == pytest.approx(expected)


def test_a_class_that_never_occurs_is_left_out_of_the_averages():
    matrix = np.array([[2, 0, 0], [0, 3, 0], [0, 0, 0]])
    assert metrics.balanced_accuracy(matrix) == 1
    assert metrics.macro_f1(matrix) == 1
    assert np.isnan(metrics.per_class(matrix)["f1"][2])


def test_log_loss_agrees_with_scikit_learn_and_is_finite_at_zero():
    labels, probabilities = random_rows()
    expected = sklearn.metrics.log_loss(labels, probabilities, labels=range(6))
    assert metrics.log_loss(labels, probabilities) == pytest.approx(expected)
    assert metrics.log_loss(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(-np.log(1e-7))


@pytest.mark.parametrize("bad", [[[2.0, -1.0]], [[3.0, 1.0]], [[np.nan, 1.0]]])
def test_values_that_are_no_probabilities_are_refused_by_row(bad):
    with pytest.raises(InputError, match="Row 0 has values"):
        metrics.log_loss(np.array([0]), np.array(bad))


def test_calibration_error_by_hand():
    # Confidences 0.9, 0.9, 0.9, 0.6, 0.6; right 2 of 3 and 2 of 2: (3 |0.9 - 2/3| + 2 |0.6 - 1|) / 5.
    first = np.array([0.9, 0.9, 0.9, 0.6, 0.6])
    probabilities = np.column_stack((first, 1 - first))
    labels = np.array([0, 0, 1, 0, 0])
    assert metrics.calibration_error(labels, probabilities) == pytest.approx((3 * (0.9 - 2 / 3) + 2 * 0.4) / 5)
    bins = metrics.reliability(labels, probabilities, 10)
    assert bins.count.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 3, 0]
    assert bins.accuracy[8] == pytest.approx(2 / 3)
    assert np.isnan(bins.confidence[0])


def test_reliability_counts_every_row_at_the_ends():
    bins = metrics.reliability(np.array([0, 0]), np.array([[1.0, 0.0], [0.5, 0.5]]), 2)
    assert bins.count.tolist() == [1, 1]


def test_a_tied_class_counts_against_the_model_in_top_k():
    even = np.full((4, 4), 0.25)
    labels = np.arange(4)
    assert [metrics.top_k_accuracy(labels, even, k) for k in (1, 3, 4)] == [0, 0, 1]


def test_top_k_agrees_with_scikit_learn_without_ties():
    rng = np.random.default_rng(1)
    labels, probabilities = rng.integers(12, size=300), rng.dirichlet(np.ones(12), 300)
    for k in (1, 2, 5):
        expected = sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=k, labels=range(12))
        assert metrics.top_k_accuracy(labels, probabilities, k) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_areas_agree_with_scikit_learn_whatever_the_ties(rows):
    positive, scores = (np.array(column) for column in zip(*rows))
    if positive.all() or not positive.any():
        assert np.isnan(metrics.roc_auc(positive, scores))
        assert np.isnan(metrics.average_precision(positive, scores))
        return
    assert metrics.roc_auc(positive, scores) == pytest.approx(sklearn.metrics.roc_auc_score(positive, scores))
    expected = sklearn.metrics.average_precision_score(positive, scores)
    assert metrics.average_precision(positive, scores) == pytest.approx(expected)


@pytest.mark.parametrize("groups", [None, np.arange(120) // 7])
@pytest.mark.parametrize(("area", "direct"), [(roc_area, metrics.roc_auc), (precision_area, metrics.average_precision)])
def test_resampled_areas_are_those_of_the_resampled_rows(area, direct, groups):
    labels, scores = random_rows(120, 3)
    fast = resampled_areas(labels[:, None] == np.arange(3), scores, area, groups=groups)
    drawn = []  # row numbers; the first are all of them
    metrics.bootstrap(lambda rows: drawn.append(rows) or 0.0, 120, groups=groups)
    for k in range(3):
        slow = [direct(labels[rows] == k, scores[rows, k]) for rows in drawn[1:]]
        np.testing.assert_allclose(fast[:, k], slow, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(8)))
def test_curves_do_not_depend_on_the_order_of_rows(order):
    positive, scores = np.array([1, 1, 0, 1, 0, 0, 1, 0]), np.array([3, 2, 2, 2, 1, 1, 0, 0])
    for curve in (metrics.roc_curve, metrics.precision_recall_curve):
        for ours, shuffled in zip(curve(positive, scores), curve(positive[list(order)], scores[list(order)])):
            np.testing.assert_array_equal(ours, shuffled)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe (1998), Two-sided confidence intervals for the single proportion, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(successes, n, low, high):
    estimate = metrics.wilson(successes, n)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_stays_inside_zero_and_one_around_the_value(counts):
    estimate = metrics.wilson(*counts)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.low < estimate.high


def test_wilson_of_no_rows_is_unknown():
    assert metrics.wilson(0, 0).as_dict() == {"value": None, "low": 0.0, "high": 1.0, "n": 0}


def test_bootstrap_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(0).normal(size=2000)
    estimate = metrics.bootstrap(lambda rows: values[rows].mean(), 2000)
    width = 2 * 1.96 * values.std() / np.sqrt(2000)
    assert estimate.high - estimate.low == pytest.approx(width, rel=0.1)
    assert estimate == metrics.bootstrap(lambda rows: values[rows].mean(), 2000)


def test_bootstrap_over_groups_draws_whole_groups():
    groups = np.array(["b", "a", "b", "a", "c", "d", "e"])
    seen = []
    metrics.bootstrap(lambda rows: seen.append(rows) or 0.0, 7, groups=groups, resamples=200)
    for rows in seen:
        counts = np.bincount(rows, minlength=7)
        assert counts[0] == counts[2]
        assert counts[1] == counts[3]
    assert len({len(rows) for rows in seen}) > 1  # groups of unequal size: the number of rows varies


def test_fewer_than_five_groups_say_nothing_of_others():
    right = np.arange(60) % 5 < 3
    few, enough = (metrics.bootstrap(lambda rows: right[rows].mean(), 60, groups=np.arange(60) % n) for n in (4, 5))
    assert np.isnan([few.low, few.high]).all()
    assert few.value == enough.value == 0.6
    assert enough.low < enough.value < enough.high


def test_rows_of_one_group_give_a_wider_interval_than_independent_rows():
    groups = np.repeat(np.arange(20), 50)
    right = np.repeat(np.arange(20) % 2, 50)
    alone = metrics.bootstrap(lambda rows: right[rows].mean(), 1000)
    grouped = metrics.bootstrap(lambda rows: right[rows].mean(), 1000, groups=groups)
    assert (grouped.high - grouped.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(50), rel=0.15)


def test_one_group_has_no_interval():
    estimate = metrics.bootstrap(lambda rows: 0.5, 4, groups=np.zeros(4))
    assert estimate.as_dict() == {"value": 0.5, "low": None, "high": None, "n": 4}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 5))
def test_mcnemar_is_the_exact_binomial_test(only_first, only_second, both):
    first = np.repeat([True, False, True], [only_first, only_second, both + 1])
    second = np.repeat([False, True, True], [only_first, only_second, both + 1])
    differing = only_first + only_second
    expected = scipy.stats.binomtest(only_first, differing, 0.5).pvalue if differing else 1.0
    assert metrics.mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_does_not_overflow_at_ten_thousand_differing_rows():
    first = np.arange(10_000) < 5_100
    expected = scipy.stats.binomtest(5_100, 10_000, 0.5).pvalue
    assert metrics.mcnemar(first, ~first) == pytest.approx(expected, rel=1e-8)


def test_verdict_is_better_worse_or_not_shown():
    always, never = np.ones(6, bool), np.zeros(6, bool)
    assert metrics.verdict(always, never) == ("better", pytest.approx(0.03125))
    assert metrics.verdict(never, always) == ("worse", pytest.approx(0.03125))
    assert metrics.verdict(always, always) == ("not shown", 1.0)
    assert metrics.verdict(always[:5], never[:5]) == ("not shown", pytest.approx(0.0625))


def test_verdict_with_groups_does_not_count_one_groups_rows_as_evidence():
    model, baseline = np.ones(100, bool), np.repeat([False, True], [40, 60])
    assert metrics.verdict(model, baseline)[0] == "better"
    # All forty differing rows are of one patient among six.
    groups = np.repeat([0, 1, 2, 3, 4, 5], [40, 12, 12, 12, 12, 12])
    assert metrics.verdict(model, baseline, groups=groups)[0] == "not shown"


def test_verdict_compares_scores_that_are_not_yes_or_no():
    rng = np.random.default_rng(0)
    model = rng.random(200)
    assert metrics.verdict(model + 0.1, model + rng.normal(0, 0.05, 200))[0] == "better"
    assert metrics.verdict(model, model[::-1])[0] == "not shown"


def test_classification_metrics_holds_each_value_within_its_interval():
    labels, probabilities = random_rows(num_classes=12)
    for groups in (None, np.arange(400) // 8):
        estimates = metrics.classification_metrics(labels, probabilities, groups=groups)
        assert list(estimates) == [
            "accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error", "top_5_accuracy",
        ]  # fmt: skip
        for estimate in estimates.values():
            assert estimate.low < estimate.value < estimate.high
            assert estimate.n == 400


def test_matrix_bootstrap_agrees_with_the_bootstrap_of_rows():
    labels, probabilities = random_rows()
    predictions = probabilities.argmax(axis=1)
    fast = metrics.classification_metrics(labels, probabilities)["balanced_accuracy"]
    slow = metrics.bootstrap(
        lambda rows: metrics.balanced_accuracy(metrics.confusion_matrix(labels[rows], predictions[rows], 6)), 400
    )
    assert fast.value == slow.value
    assert fast.high - fast.low == pytest.approx(slow.high - slow.low, rel=0.12)


def test_ten_thousand_rows_of_ten_classes_take_less_than_a_second():
    labels, probabilities = random_rows(10_000, 10)
    start = time.process_time()
    metrics.classification_metrics(labels, probabilities)
    assert time.process_time() - start < 1


def test_an_empty_test_set_is_refused():
    with pytest.raises(InputError, match="at least one row"):
        metrics.classification_metrics(np.zeros(0, int), np.zeros((0, 3)))
