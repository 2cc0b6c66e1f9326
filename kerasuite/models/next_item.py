"""A recommender as it is trained: the loss of each history, with all items as candidates or with a sample of them."""

from __future__ import annotations

from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from kerasuite.models.recommender import USERS, ItemTable, LastState, table_of

_NEVER = -1e9
# exp of so much, a million times over, is a number still.
_LARGEST = 60.0
CUT = 10
CALIBRATION = 0.75


def trainer(
    encoder: keras.Model,
    *,
    loss: Literal["softmax", "gbce"] = "softmax",
    num_negatives: int | None = None,
    temperature: float = 0.1,
    repeats: bool = False,
    seed: int = 0,
) -> keras.Model:
    """The encoder with its loss: histories with their next item behind them, int32 (batch, items), to (batch, 2).

    Where the encoder takes users, each row's first number is the user's. An item's score is the cosine of its vector
    with the state, divided by the temperature: of the product of both, the lengths of vectors are learnt first, which
    tell how frequent an item is, and what items have in common late.

    In training the first number is the mean loss of a history's items, each foreseen from those before it (or of the
    last alone, where the encoder has one state a history), and the second is 0. Else they are the loss of the last
    item among all items, and its normalised discounted gain in a list of ten, from which what the user had is left out;
    what they had before the history that is read stands behind it as negative numbers.

    Args:
        loss: `softmax`, or `gbce`, a yes or no of each item, which takes a sample of them.
        num_negatives: items drawn at random, for each step anew, which stand for all others; None takes all.
        temperature: small ones spread the scores further apart, so that few items share the probability.
        repeats: whether what is in a history may come next.
        seed: of that draw.
    """
    ids = keras.Input((None,), dtype="int32", name="item_ids")
    states = encoder(WithoutLast(name="without_last")(ids))
    items = ids[:, 1:] if _takes_users(encoder) else ids
    settings = {"temperature": temperature, "last_alone": encoder.output_shape[1] == 1, "repeats": repeats}
    layer = NextItemLoss(table_of(encoder), loss, num_negatives, seed, **settings, name="loss")
    return keras.Model(ids, layer(states, items), name="trainer")


class WithoutLast(keras.layers.Layer):
    """Rows of ids (batch, items) without the last of each that is over 0, and without what is not over 0 in any."""

    def call(self, ids):
        """What may be read to foresee the last."""
        shown = tf.maximum(ids, 0)
        later = tf.cumsum(shown, axis=1, exclusive=True, reverse=True)
        width = tf.reduce_max(tf.reduce_sum(tf.cast(later > 0, tf.int32), 1))
        return tf.where(later > 0, shown, 0)[:, : tf.maximum(width, 1)]

    def compute_output_shape(self, shape):
        """As many as the longest needs."""
        return (shape[0], None)


class NextItemLoss(keras.layers.Layer):
    """The loss of the next item, by the table that the items are read with."""

    def __init__(
        self,
        table: ItemTable,
        loss: str,
        num_negatives: int | None,
        seed: int,
        *,
        temperature: float,
        last_alone: bool,
        repeats: bool,
        **kwargs,
    ):
        # On a GPU, where bfloat16 is Keras's policy, the many products are in it; what is added up of them is not.
        self.arithmetic = keras.config.dtype_policy().compute_dtype
        super().__init__(dtype="float32", **kwargs)
        if loss == "gbce" and num_negatives is None:
            raise ValueError("gbce takes a sample of items: num_negatives is None.")
        self.table, self.num_items, self.num_negatives = table, table.input_dim - 1, num_negatives
        self.temperature, self.last_alone, self.repeats = temperature, last_alone, repeats
        kinds = {"softmax": self._sampled if num_negatives else self._all_items, "gbce": self._gbce}
        self.losses_of = kinds[loss]
        self.draws = keras.random.SeedGenerator(seed)

    def call(self, states, ids, training=None):
        """States (batch, items or 1, dim) and ids (batch, items + 1) to (batch, 2)."""
        states = tf.math.l2_normalize(states, -1) / self.temperature
        return self._trained(states, tf.maximum(ids, 0)) if training else self._ranked(states, ids)

    def compute_output_shape(self, states_shape, ids_shape):
        """A pair of numbers a history."""
        return (ids_shape[0], 2)

    def _trained(self, states, ids):
        targets = last_of(ids)[:, None] if self.last_alone else ids[:, 1:]
        places = tf.where(targets != 0)
        wanted, known = tf.gather_nd(targets, places), tf.gather_nd(states, places)
        losses = self.losses_of(known, wanted)
        rows, number = places[:, 0], tf.cast(tf.shape(ids)[0], tf.int64)
        sums = tf.math.unsorted_segment_sum(losses, rows, number)
        counts = tf.math.unsorted_segment_sum(tf.ones_like(losses), rows, number)
        mean = tf.math.divide_no_nan(sums, counts)
        return tf.stack([mean, tf.zeros_like(mean)], axis=1)

    def _all_items(self, known, wanted):
        own = tf.reduce_sum(known * self._vectors(wanted), -1)
        return self._log_sum_exp(self._products(known, self._vectors()[1:])) - own

    def _sampled(self, known, wanted):
        """As if of all items, from some: each stands for as many as were not drawn.

        The sum over all other items, of which the sample's sum is an unbiased estimate once it is scaled up
        (Bengio and Senécal 2008, Adaptive importance sampling; uniform draws).
        """
        own, others, number = self._drawn(known, wanted)
        all_others = self._log_sum_exp(others) + tf.math.log((self.num_items - 1) / number)
        return tf.nn.softplus(all_others - own)

    def _gbce(self, known, wanted):
        """A yes of the next item and a no of each drawn one, the yes in a power that makes up for the draw.

        Petrov and Macdonald (2023), gSASRec, arXiv:2308.07192, equation 10, with t = 0.75. Scores are counted from
        what makes each of all items as likely as any: cosines alone could call few items unlikely.
        """
        own, others, number = self._drawn(known, wanted)
        own, others = (scores - np.log(self.num_items - 1) for scores in (own, others))
        share = number / (self.num_items - 1)
        power = share * (CALIBRATION * (1 - 1 / share) + 1 / share)
        return power * tf.nn.softplus(-own) + tf.reduce_sum(tf.nn.softplus(others), -1)

    def _drawn(self, known, wanted):
        """Scores of the next items (places,) and of some others (places, drawn), and how many these are (places,)."""
        drawn = keras.random.randint((self.num_negatives,), 1, self.num_items + 1, seed=self.draws)
        drawn, _ = tf.unique(drawn)
        own = tf.reduce_sum(known * self._vectors(wanted), -1)
        others = self._products(known, self._vectors(drawn))
        rows, hits, _ = tf.nn.compute_accidental_hits(tf.cast(wanted, tf.int64)[:, None], tf.cast(drawn, tf.int64), 1)
        # The next item itself is none of the others.
        others = tf.tensor_scatter_nd_add(
            others, tf.stack([rows, tf.cast(hits, tf.int32)], 1), tf.fill([tf.size(rows)], _NEVER)
        )
        number = tf.size(drawn) - tf.math.bincount(rows, minlength=tf.size(wanted), maxlength=tf.size(wanted))
        # Where nothing but the next item was drawn there is nothing to hold it against: the loss is 0.
        return own, others, tf.cast(tf.maximum(number, 1), tf.float32)

    def _ranked(self, states, ids):
        shown, every = tf.maximum(ids, 0), tf.abs(ids)
        lengths = tf.reduce_sum(tf.cast(shown != 0, tf.int32), -1)
        wanted = last_of(shown)
        at_last = states[:, 0] if self.last_alone else tf.gather(states, lengths - 2, batch_dims=1)
        scores = tf.matmul(at_last, self._vectors(), transpose_b=True)  # (batch, 1 + items)
        own = tf.gather(scores, wanted, batch_dims=1)
        losses = tf.reduce_logsumexp(scores[:, 1:], -1) - own
        # Places ahead: the items that are as good or better, but for itself, and for those that the history has.
        ahead = tf.reduce_sum(tf.cast(scores[:, 1:] >= own[:, None], tf.int32), -1) - 1
        if not self.repeats:
            is_ahead = tf.gather(scores, every, batch_dims=1) >= own[:, None]
            had = is_ahead & (every != 0) & (every != wanted[:, None])
            ahead -= tf.reduce_sum(tf.cast(had, tf.int32), -1)
        place = tf.cast(ahead, tf.float32)
        gain = tf.where(ahead < CUT, tf.math.log(2.0) / tf.math.log(place + 2), 0.0)
        return tf.stack([losses, gain], axis=1)

    def _vectors(self, ids=None):
        """Of unit length: those of the ids, or all."""
        vectors = tf.convert_to_tensor(self.table.embeddings) if ids is None else self.table(ids)
        return tf.math.l2_normalize(tf.cast(vectors, tf.float32), -1)

    def _log_sum_exp(self, scores):
        """Of each row, by its largest score only where exp could be infinite: a score is at most 1 / temperature."""
        return log_sum_exp(scores) if 1 / self.temperature <= _LARGEST else tf.reduce_logsumexp(scores, -1)

    def _products(self, known, vectors):
        known, vectors = (tf.cast(each, self.arithmetic) for each in (known, vectors))
        return tf.cast(tf.matmul(known, vectors, transpose_b=True), tf.float32)


@tf.custom_gradient
def log_sum_exp(scores: tf.Tensor) -> tf.Tensor:
    """The logarithm of the sum of exp(scores) of each row: (rows, items) to (rows,).

    Scores are gone through three times, the gradient included, by all cores; they must not be large.
    """
    powers = tf.exp(scores)
    sums = tf.reduce_sum(powers, -1)
    # Where nothing was drawn but what is left out the sum is 0, and nothing is to be learnt.
    return tf.math.log(sums), lambda upstream: powers * tf.math.divide_no_nan(upstream, sums)[:, None]


def last_of(ids: tf.Tensor) -> tf.Tensor:
    """The last item of each row of ids (batch, items), 0 where padded."""
    lengths = tf.reduce_sum(tf.cast(ids != 0, tf.int32), -1)
    return tf.gather(ids, lengths - 1, batch_dims=1)


def scorer(trainer: keras.Model) -> keras.Model:
    """The model to serve: item ids int32 (batch, items), 0 where padded, to scores of all items (batch, num_items).

    Where the encoder takes users, each row's first number is the user's. This brings the rows of the trainer's own
    table to unit length.
    """
    (encoder,) = (layer for layer in trainer.layers if isinstance(layer, keras.Model))
    items = encoder.input[:, 1:] if _takes_users(encoder) else encoder.input
    table = table_of(encoder)
    # They are read as if of unit length; once they are, their products with states are cosines.
    (vectors,) = table.get_weights()
    table.set_weights([vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)])
    states = LastState(name="last_state")(encoder.output, items)
    states = keras.layers.UnitNormalization(name="unit_state")(states)
    # Of states there are far fewer numbers than of scores.
    states = keras.layers.Rescaling(1 / trainer.get_layer("loss").temperature, name="over_temperature")(states)
    scores = table(states, reverse=True)
    return keras.Model(encoder.input, scores, name="scorer")


def _takes_users(encoder: keras.Model) -> bool:
    return any(layer.name == USERS for layer in encoder.layers)
