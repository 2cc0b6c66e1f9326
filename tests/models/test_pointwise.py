import keras
import numpy as np
import pytest

from kerasuite.models import pointwise, saved

ROWS = np.array([[1, 1, -2, 3, -4], [2, 2, 1, 0, 0], [0, -5, 0, 0, 0]], np.int32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return pointwise.build(2, 4, dim=8, num_layers=2, dropout=0.5)


def logits(model, rows):
    return model(rows, training=False).numpy()[..., 0]


def test_a_logit_depends_on_what_came_before_and_not_on_its_own_mark_or_those_after(model):
    found = logits(model, ROWS)
    for place in range(4):
        changed = ROWS.copy()
        changed[0, 1 + place] *= -1
        other = logits(model, changed)
        np.testing.assert_allclose(found[0, : place + 1], other[0, : place + 1], rtol=1e-6)
        assert place == 3 or (found[0, place + 1 :] != other[0, place + 1 :]).all()


def test_padding_changes_nothing(model):
    np.testing.assert_allclose(logits(model, ROWS)[1, :2], logits(model, ROWS[1:2, :3])[0], rtol=1e-5)


def test_user_and_item_each_matter(model):
    rows = np.array([[1, 1], [2, 1], [1, 3]], np.int32)
    assert len(np.unique(logits(model, rows))) == 3


def test_the_loss_is_the_mean_over_a_rows_marks_and_out_of_training_that_of_the_last(model):
    layer = pointwise.LikeLoss()
    scores = np.array([[[2.0], [-1.0], [9.0]], [[0.5], [9.0], [9.0]]], np.float32)
    rows = np.array([[1, 3, 4, 0], [2, -1, 0, 0]], np.int32)
    cross = lambda score, liked: np.log1p(np.exp(-score if liked else score))  # noqa: E731
    first, second = (cross(2, True) + cross(-1, True)) / 2, cross(0.5, False)
    np.testing.assert_allclose(layer(scores, rows, training=True), [[first, 0], [second, 0]], rtol=1e-5)
    np.testing.assert_allclose(layer(scores, rows, training=False), [[cross(-1, True), 0], [second, 0]], rtol=1e-5)


def test_the_score_is_of_the_last_mark_and_survives_saving(model, tmp_path):
    scorer = pointwise.scorer(pointwise.trainer(model))
    found = scorer(ROWS, training=False).numpy()
    expected = logits(model, ROWS)[[0, 1, 2], [3, 1, 0]]
    np.testing.assert_allclose(found, np.stack([np.zeros(3), expected], 1), rtol=1e-6)
    scorer.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(saved.load(tmp_path / "model.keras")(ROWS, training=False), found)
