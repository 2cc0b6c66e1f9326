import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Classifier

from kerasuite.errors import InputError
from kerasuite.evaluation import baselines
from kerasuite.evaluation.baselines import LogisticRegression, Majority
from kerasuite.evaluation.metrics import log_loss


def clusters(num_classes=3, n=150, width=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % num_classes
    centres = rng.normal(size=(num_classes, width)) * 4
    return (centres[labels] + rng.normal(size=(n, width))).astype(np.float32), labels


def test_majority_gives_the_training_frequencies_to_every_row():
    model = Majority.fit(np.zeros((5, 2)), np.array([0, 2, 2, 2, 0]), 4)
    assert model.probabilities(np.ones((2, 2))).tolist() == [[0.4, 0, 0.6, 0]] * 2


@pytest.mark.parametrize("num_classes", [2, 3])
def test_logistic_regression_gives_scikit_learns_probabilities(num_classes):
    features, labels = clusters(num_classes)
    model = LogisticRegression.fit(features, labels, num_classes, tol=1e-6)
    standardised = (features - model.mean) / model.scale
    expected = Classifier(tol=1e-6).fit(standardised, labels).predict_proba(standardised)
    np.testing.assert_allclose(model.probabilities(features), expected, atol=1e-3)
    assert model.converged


def test_a_class_absent_from_train_gets_no_mass():
    features, labels = clusters(2)
    probabilities = LogisticRegression.fit(features, labels * 3, 5).probabilities(features)
    assert probabilities.shape == (150, 5)
    assert (probabilities[:, [1, 2, 4]] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == labels * 3).mean() > 0.95


def test_one_class_in_train_gets_all_mass():
    model = LogisticRegression.fit(np.ones((4, 2)), np.full(4, 1), 3)
    assert model.probabilities(np.zeros((2, 2))).tolist() == [[0, 1, 0]] * 2


def test_constant_features_do_no_harm():
    features, labels = clusters()
    with_constant = np.column_stack((features, np.full(150, 7.0)))
    probabilities = LogisticRegression.fit(with_constant, labels, 3).probabilities(with_constant)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.95
    even = LogisticRegression.fit(np.ones((6, 3)), np.arange(6) % 2, 2).probabilities(np.ones((1, 3)))
    np.testing.assert_allclose(even, 0.5, atol=1e-6)


def test_running_out_of_iterations_is_recorded_and_not_printed():
    features, labels = clusters()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not LogisticRegression.fit(features, labels, 3, max_iter=1, tol=1e-9).converged


def test_saved_baselines_load_equal(tmp_path):
    features, labels = clusters()
    held = {
        "majority": Majority.fit(features, labels, 3),
        "pixels/linear": LogisticRegression.fit(features, labels, 3),
    }
    baselines.save(tmp_path / "baselines.tmp", held)  # the name stays as it is
    loaded = baselines.load(tmp_path / "baselines.tmp")
    assert list(loaded) == list(held)
    for name, baseline in held.items():
        assert type(loaded[name]) is type(baseline)
        np.testing.assert_array_equal(loaded[name].probabilities(features), baseline.probabilities(features))
    assert loaded["pixels/linear"].converged is True


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    for name in ("text.npz", "other.npz"):
        with pytest.raises(InputError, match="does not hold baselines"):
            baselines.load(tmp_path / name)


def test_best_is_chosen_by_accuracy_and_majority_on_a_tie():
    features, labels = clusters()
    held = {
        "linear": LogisticRegression.fit(features, labels, 3),
        "majority": Majority.fit(features, labels, 3),
    }
    own = {"linear": features}
    assert baselines.best(held, own, labels) == "linear"
    only_first = labels == 0
    held["linear"] = LogisticRegression.fit(features[only_first], labels[only_first], 3)
    assert baselines.best(held, own, labels) == "majority"


def test_each_linear_baseline_has_features_of_its_own():
    good, labels = clusters()
    poor = np.random.default_rng(1).normal(size=(150, 7))
    features = {"on_noise": poor, "on_clusters": good}
    held = baselines.fit_all(features, labels, 3)
    assert list(held) == ["majority", "on_noise", "on_clusters"]
    answers = baselines.probabilities(held, features)
    np.testing.assert_array_equal(answers["on_clusters"], held["on_clusters"].probabilities(good))
    np.testing.assert_array_equal(answers["on_noise"], held["on_noise"].probabilities(poor))
    assert answers["majority"].shape == (150, 3)
    assert baselines.best(held, features, labels) == "on_clusters"


def test_a_baseline_without_its_features_is_named():
    features, labels = clusters()
    held = baselines.fit_all({"on_colours": features}, labels, 3)
    with pytest.raises(InputError, match=r"on_colours lack their features: got those of \['pixels'\]"):
        baselines.probabilities(held, {"pixels": features})
    with pytest.raises(InputError, match="expected at least one set"):
        baselines.fit_all({}, labels, 3)


def test_the_penalty_with_the_lowest_log_loss_on_validation_is_taken():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 60))
    labels = (features[:, 0] + rng.normal(size=120) > 0).astype(int)  # sixty columns, one of use: a strong one is best
    train, rest = slice(60), slice(60, None)
    chosen = baselines.fit_all(
        {"linear": features[train]}, labels[train], 2, validation=({"linear": features[rest]}, labels[rest])
    )["linear"]
    losses = {
        penalty: log_loss(
            labels[rest],
            LogisticRegression.fit(features[train], labels[train], 2, inverse_penalty=penalty).probabilities(
                features[rest]
            ),
        )
        for penalty in baselines.INVERSE_PENALTIES
    }
    assert min(losses, key=losses.get) == 0.01
    assert log_loss(labels[rest], chosen.probabilities(features[rest])) == losses[0.01]


@pytest.mark.parametrize("shape", [(4,), (4, 2, 2)])
def test_features_that_are_not_rows_of_numbers_are_refused(shape):
    with pytest.raises(InputError, match="expected \\(n, d\\)"):
        LogisticRegression.fit(np.zeros(shape), np.zeros(4, int), 2)


def test_features_of_another_width_and_nan_are_refused():
    features, labels = clusters()
    model = LogisticRegression.fit(features, labels, 3)
    with pytest.raises(InputError, match="5 columns, but the baseline was fitted on 4"):
        model.probabilities(np.zeros((1, 5)))
    features[7, 2] = np.nan
    with pytest.raises(InputError, match="Row 7"):
        model.probabilities(features)
