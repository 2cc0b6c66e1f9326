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
