import numpy as np
import pytest

from kerasuite.training import losses

LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]], np.float32)
SHARES = np.array([[0.3, 0.7, 0.0], [0.0, 0.4, 0.6]], np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_mixed_row_is_that_of_its_labels_in_their_shares(smoothing):
    loss = losses.cross_entropy(smoothing)
    of_class = np.stack([loss(np.full(2, k), LOGITS) for k in range(3)], axis=1)
    np.testing.assert_allclose(loss(SHARES, LOGITS), (SHARES * of_class).sum(1), rtol=1e-6)


def test_the_loss_of_a_mixed_row_is_the_cross_entropy_with_the_mixture():
    log_probabilities = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))
    np.testing.assert_allclose(losses.cross_entropy()(SHARES, LOGITS), -(SHARES * log_probabilities).sum(1), rtol=1e-6)


def test_a_mixed_row_counts_as_right_where_its_largest_share_is_named():
    assert losses.accuracy(SHARES, LOGITS).numpy().tolist() == [0, 1]
    assert losses.accuracy(np.array([0, 1]), LOGITS).numpy().tolist() == [1, 0]


def test_the_loss_of_several_labels_is_the_mean_over_the_classes():
    labels, logits = np.array([[1, 0], [1, 1]]), np.array([[0.0, 2.0], [-1.0, 1.0]], np.float32)
    sigmoid = 1 / (1 + np.exp(-logits))
    by_hand = -np.log(np.where(labels, sigmoid, 1 - sigmoid)).mean(axis=1)
    np.testing.assert_allclose(losses.binary_cross_entropy()(labels, logits), by_hand, rtol=1e-6)
    # Drawn by a tenth towards one half: 0.95 and 0.05.
    targets = np.where(labels, 0.95, 0.05)
    smooth = -(targets * np.log(sigmoid) + (1 - targets) * np.log(1 - sigmoid)).mean(axis=1)
    np.testing.assert_allclose(losses.binary_cross_entropy(0.1)(labels, logits), smooth, rtol=1e-6)


def test_the_accuracy_of_several_labels_is_the_share_of_classes_said_rightly():
    labels, logits = np.array([[1, 0], [1, 1]]), np.array([[0.5, 2.0], [1.0, 1.0]], np.float32)
    assert losses.label_accuracy(labels, logits).numpy().tolist() == [0.5, 1.0]
