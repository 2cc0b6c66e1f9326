import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasuite.models import next_item, recommender

NUM_ITEMS, DIM = 30, 8
RNG = np.random.default_rng(0)
CAUSAL = ("lstm", "gru", "transformer")


def made(kind, **options):
    keras.utils.set_random_seed(0)
    return recommender.encoder(kind, NUM_ITEMS, dim=DIM, num_layers=2, dropout=0.0, **options)


def ids(*rows):
    """Rows of item ids, 0 behind the shorter ones."""
    return tf.ragged.constant(rows, dtype=tf.int32).to_tensor()


def table(model):
    return next(layer for layer in model.layers if layer.name == recommender.ITEMS).get_weights()[0]


def scored(states, encoder, temperature=0.1):
    """Cosines with every item's vector, divided by the temperature, by hand."""
    states, vectors = np.asarray(states, np.float64), table(encoder)[1:].astype(np.float64)
    cosines = states @ vectors.T / np.linalg.norm(states, axis=-1)[..., None] / np.linalg.norm(vectors, axis=1)
    return cosines / temperature


@pytest.mark.parametrize("kind", CAUSAL)
def test_a_state_knows_nothing_of_what_comes_after_it(kind):
    encoder = made(kind)
    first, second = encoder(ids([3, 4, 5, 6])), encoder(ids([3, 4, 9, 1]))
    np.testing.assert_allclose(first[:, :2], second[:, :2], atol=1e-6)
    assert np.abs(first[:, 2:] - second[:, 2:]).min() > 0


@pytest.mark.parametrize("kind", recommender.KINDS)
def test_the_order_of_a_history_counts(kind):
    scorer = next_item.scorer(next_item.trainer(made(kind)))
    assert np.abs(scorer(ids([3, 4, 5])) - scorer(ids([4, 3, 5]))).max() > 1e-5


@pytest.mark.parametrize("kind", recommender.KINDS)
def test_padding_changes_no_score(kind):
    scorer = next_item.scorer(next_item.trainer(made(kind)))
    alone, beside = scorer(ids([3, 4])), scorer(ids([3, 4], [5, 6, 7, 8, 9, 10]))
    assert alone.shape == (1, NUM_ITEMS)
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-5)


def log_softmax(scores):
    scores = np.asarray(scores, np.float64)
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


@pytest.mark.parametrize("kind", CAUSAL)
def test_the_loss_is_the_mean_over_a_histories_items_of_the_cross_entropy_among_all_items(kind):
    encoder = made(kind)
    trainer = next_item.trainer(encoder)
    history = [3, 7, 2, 9]
    chances = log_softmax(scored(encoder(ids(history[:-1]))[0], encoder))
    expected = -np.mean([chances[place, item - 1] for place, item in enumerate(history[1:])])
    found = trainer(ids(history, [5, 6]), training=True)
    assert float(found[0, 0]) == pytest.approx(expected, rel=1e-4)


def test_what_reads_both_ways_is_trained_on_its_last_item():
    encoder = made("bidirectional")
    history = [3, 7, 2, 9]
    chances = log_softmax(scored(encoder(ids(history[:-1]))[0, 0], encoder))
    found = next_item.trainer(encoder)(ids(history, [5, 6]), training=True)
    assert float(found[0, 0]) == pytest.approx(-chances[8], rel=1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", recommender.KINDS)
def test_what_is_to_be_foreseen_is_not_read_beside_a_longer_history(kind, training):
    trainer = next_item.trainer(made(kind))
    alone = trainer(ids([3, 7, 2]), training=training)[0]
    beside = trainer(ids([3, 7, 2], [1, 2, 3, 4, 5, 6]), training=training)[0]
    np.testing.assert_allclose(alone, beside, rtol=1e-5)


@pytest.mark.parametrize("kind", recommender.KINDS)
def test_items_before_those_that_are_read_are_left_out_of_the_list(kind):
    encoder = made(kind)
    trainer, scores = next_item.trainer(encoder), next_item.scorer(next_item.trainer(encoder))(ids([3, 7]))[0].numpy()
    best = [item for item in np.argsort(-scores) + 1 if item not in (3, 7)]
    rows = ids([3, 7, best[2]], [3, 7, best[2], -best[0]], [3, 7, best[2], -best[0], -best[1], -best[5]])
    found = trainer(rows, training=False).numpy()
    np.testing.assert_allclose(found[:, 1], 1 / np.log2([4, 3, 2]), rtol=1e-5)
    np.testing.assert_allclose(found[:, 0], found[0, 0], rtol=1e-5)


def test_older_items_are_not_counted_among_those_that_are_read():
    trainer = next_item.trainer(made("transformer", longest=3))
    alone = trainer(ids([3, 7, 2, 4]), training=False)
    beside = trainer(ids([3, 7, 2, 4, *range(-30, -9)]), training=False)
    np.testing.assert_allclose(alone[:, 0], beside[:, 0], rtol=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "gbce"])
def test_a_sample_that_holds_nothing_but_the_next_item_does_no_harm(loss):
    trainer = next_item.trainer(made("lstm"), loss=loss, num_negatives=1, seed=3)
    draw = tf.function(lambda: trainer(ids([3, 7, 2, 9, 11]), training=True))
    assert np.isfinite([draw()[0, 0].numpy() for _ in range(200)]).all()


def test_a_history_with_nothing_to_foresee_has_no_loss():
    found = next_item.trainer(made("lstm"))(ids([3], [5, 6]), training=True)
    assert found[0].numpy().tolist() == [0, 0]


def test_the_loss_of_a_sample_is_on_average_nearly_that_of_all_items():
    encoder = made("lstm")
    history = ids([3, 7, 2, 9])
    exact = float(next_item.trainer(encoder, temperature=0.5)(history, training=True)[0, 0])
    sampled = next_item.trainer(encoder, num_negatives=15, temperature=0.5, seed=1)
    draw = tf.function(lambda: sampled(history, training=True)[0, 0])
    draws = [float(draw()) for _ in range(400)]
    assert np.std(draws) > 0
    # The logarithm of an unbiased sum is a little too small; without the correction it would be log 2 too small.
    assert exact - 0.1 < np.mean(draws) < exact + 0.02


def test_where_everything_is_drawn_the_loss_is_that_of_all_items():
    encoder = made("lstm")
    every = next_item.trainer(encoder, num_negatives=2000, seed=1)(ids([3, 7, 2]), training=True)
    exact = next_item.trainer(encoder)(ids([3, 7, 2]), training=True)
    assert float(every[0, 0]) == pytest.approx(float(exact[0, 0]), rel=1e-5)


def test_a_yes_or_no_of_each_item_is_weighed_as_in_the_paper():
    encoder = made("lstm")
    # Scores of 0 make each of the 29 others as likely as any.
    scores = scored(encoder(ids([3]))[0, 0], encoder) - np.log(29)
    softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
    # Where everything is drawn, the power of the yes is 1.
    every = next_item.trainer(encoder, loss="gbce", num_negatives=2000, seed=1)(ids([3, 7]), training=True)
    expected = softplus(-scores[6]) + softplus(np.delete(scores, 6)).sum()
    assert float(every[0, 0]) == pytest.approx(expected, rel=1e-4)
    # One item drawn of the 29 others: the power is 0.75 * (1/29 - 1) + 1, and the no is that of one of them.
    one = next_item.trainer(encoder, loss="gbce", num_negatives=1, seed=1)(ids([3, 7]), training=True)
    rest = float(one[0, 0]) - (0.75 * (1 / 29 - 1) + 1) * softplus(-scores[6])
    assert np.abs(softplus(np.delete(scores, 6)) - rest).min() < 1e-4


def test_the_temperature_of_training_is_that_of_the_model_that_is_served():
    encoder, history = made("lstm"), ids([3, 7, 2, 9])
    expected = scored(encoder(history)[0], encoder, temperature=0.37)
    trainer = next_item.trainer(encoder, temperature=0.37)
    losses = [-log_softmax(expected[place])[item - 1] for place, item in enumerate((7, 2, 9))]
    assert float(trainer(history, training=True)[0, 0]) == pytest.approx(np.mean(losses), rel=1e-4)
    assert float(trainer(history, training=False)[0, 0]) == pytest.approx(losses[-1], rel=1e-4)
    np.testing.assert_allclose(next_item.scorer(trainer)(history)[0], expected[3], rtol=1e-3, atol=1e-4)


def test_the_loss_of_a_sample_needs_a_sample():
    with pytest.raises(ValueError, match="num_negatives"):
        next_item.trainer(made("lstm"), loss="gbce")


def test_where_items_come_again_those_of_the_history_stand_in_the_way():
    encoder = made("lstm")
    gains = {
        repeats: next_item.trainer(encoder, repeats=repeats)(ids([*range(1, 26), 26]), training=False)[0, 1].numpy()
        for repeats in (False, True)
    }
    scores = next_item.scorer(next_item.trainer(encoder))(ids([*range(1, 26)]))[0].numpy()
    place = int((scores > scores[25]).sum())
    assert gains[True] == pytest.approx(1 / np.log2(place + 2) if place < 10 else 0, abs=1e-5)
    assert gains[False] > gains[True]


def test_out_of_training_the_numbers_are_those_of_the_last_item_among_all_others():
    encoder = made("lstm")
    trainer, scorer = next_item.trainer(encoder), next_item.scorer(next_item.trainer(encoder))
    histories = [RNG.permutation(NUM_ITEMS)[: RNG.integers(2, 9)] + 1 for _ in range(40)]
    found = trainer(ids(*[each.tolist() for each in histories]), training=False).numpy()
    for history, (loss, gain) in zip(histories, found):
        scores = scorer(ids(history[:-1].tolist()))[0].numpy()
        assert loss == pytest.approx(-log_softmax(scores)[history[-1] - 1], rel=1e-4)
        scores[history[:-1] - 1] = -np.inf
        place = int((scores > scores[history[-1] - 1]).sum())
        assert gain == pytest.approx(1 / np.log2(place + 2) if place < 10 else 0, abs=1e-5)


@pytest.mark.parametrize("kind", recommender.KINDS)
def test_the_scorer_is_saved_with_its_one_table(kind, tmp_path):
    scorer = next_item.scorer(next_item.trainer(made(kind)))
    scorer.save(tmp_path / "scorer.keras")
    loaded = keras.models.load_model(tmp_path / "scorer.keras")
    np.testing.assert_allclose(loaded(ids([3, 4, 5])), scorer(ids([3, 4, 5])), atol=1e-6)
    assert sum(weight.shape[0] == NUM_ITEMS + 1 for weight in loaded.weights) == 1


@pytest.mark.parametrize("kind", recommender.KINDS)
def test_with_users_a_vector_of_the_user_is_added_to_each_state_and_items_are_foreseen_as_without(kind):
    encoder = made(kind, num_users=5)
    history, users = ids([3, 4, 5], [6, 7]), encoder.get_layer(recommender.USERS).get_weights()[0]
    rows = tf.concat([[[2], [0]], history], 1)
    inner = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    np.testing.assert_allclose(encoder(rows) - inner(history), users[[2, 0]][:, None] + 0 * inner(history), atol=1e-6)
    trainer = next_item.trainer(encoder)
    scores = next_item.scorer(trainer)(rows)
    assert scores.shape == (2, NUM_ITEMS)
    last = inner(history).numpy()[range(2), [0, 0] if kind == "bidirectional" else [2, 1]]
    np.testing.assert_allclose(scores, scored(last + users[[2, 0]], inner), rtol=1e-4, atol=1e-4)
    targets = ids([3, 4, 5, 9], [6, 7, 1])
    losses = trainer(tf.concat([[[2], [0]], targets], 1))[:, 0]
    chances = [log_softmax(row)[target] for row, target in zip(scores, (8, 0))]
    np.testing.assert_allclose(losses, [-chance for chance in chances], rtol=1e-4)


def test_a_share_of_the_ids_is_forgotten_in_training_alone_and_no_padding():
    layer = recommender.Forgetting(share=0.5, unknown=9, seed=0)
    found = layer(np.array([[3, 1, 0]] * 200, np.int32), training=True).numpy()
    assert [set(column) for column in found.T] == [{3, 9}, {1, 9}, {0}]
    assert 0.4 < (found[:, 0] == 9).mean() < 0.6
    assert layer(np.array([[3, 1, 0]], np.int32), training=False).numpy().tolist() == [[3, 1, 0]]


def test_the_logarithm_of_a_sum_of_powers_and_its_gradient_are_tensorflows_own():
    scores, upstream = tf.random.stateless_normal((5, 9), (1, 2), stddev=10.0), tf.range(1.0, 6.0)
    found = []
    for function in (next_item.log_sum_exp, lambda each: tf.reduce_logsumexp(each, -1)):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            sums = function(scores)
        found.append((sums, tape.gradient(sums, scores, upstream)))
    for own, expected in zip(*found):
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-6)


def test_scores_that_are_far_apart_have_a_finite_loss():
    trainer = next_item.trainer(made("lstm"), num_negatives=4, temperature=1e-3)
    assert np.isfinite(trainer(ids([3, 4, 5]), training=True)).all()


def test_a_row_of_which_every_score_is_left_out_has_no_gradient():
    scores = tf.constant([[-1e9, -1e9], [0.0, -1e9]])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = tf.nn.softplus(next_item.log_sum_exp(scores))
    np.testing.assert_allclose(tape.gradient(loss, scores), [[0, 0], [0.5, 0]])
