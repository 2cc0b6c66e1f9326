"""The compiled part of training: several steps a call, on every replica of a strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from kerasuite import devices

SUM = tf.distribute.ReduceOp.SUM


class Steps:
    """Runs training and evaluation steps of one model.

    A step's result is a row of sums over all replicas: weight, weight * loss, weight * each measure. What is held out
    has the same measures unless it is given others.
    """

    def __init__(
        self,
        model: keras.Model,
        groups: Sequence[tuple[keras.optimizers.Optimizer, Sequence[keras.Variable]]],
        loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        measures: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]],
        strategy: tf.distribute.Strategy,
        held_out_measures: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] | None = None,
    ):
        self.model, self._groups, self._loss, self._strategy = model, groups, loss, strategy
        self._measures = dict(measures)
        self._held_out_measures = self._measures if held_out_measures is None else dict(held_out_measures)
        self.num_sums = 2 + len(measures)
        # How many steps a call takes is a tensor, so that one trace serves all.
        # To rewrite Python's ifs and loops takes longer than to trace, and there is none that a tensor decides.
        self._train = tf.function(partial(self._repeat, self._train_step), autograph=False)
        self._evaluate = tf.function(partial(self._repeat, self._evaluate_step), autograph=False)

    def distribute(self, dataset: tf.data.Dataset) -> tf.data.Dataset | tf.distribute.DistributedDataset:
        """The dataset, each batch cut into the replicas' shares."""
        replicas = self._strategy.num_replicas_in_sync
        if replicas == 1:
            return dataset
        if tf.nest.flatten(dataset.element_spec)[0].shape[0] is None:
            # Batches of unlike sizes are shared here: tf.distribute pairs rows of one with those of another.
            shares = dataset.flat_map(partial(_shares, replicas))
            return self._strategy.distribute_datasets_from_function(lambda context: shares)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return self._strategy.experimental_distribute_dataset(dataset.with_options(options))

    def train(self, iterator: Iterator, number: int) -> np.ndarray:
        """Take `number` steps. Returns their sums, (number, num_sums) float64."""
        return self._train(iterator, tf.constant(number)).numpy().astype(np.float64)

    def evaluate(self, dataset, number: int) -> np.ndarray:
        """The sums over `number` batches of a dataset, from its start: float64, of each held-out measure.

        Worked out in float32, as every evaluation is, whatever the arithmetic of training.
        """
        with devices.precision("float32"):
            sums = self._evaluate(iter(dataset), tf.constant(number))
        return sums.numpy().astype(np.float64).sum(0)

    def means(self, sums: np.ndarray) -> dict[str, float]:
        """Weighted means by name, from sums of training."""
        return _means(self._measures, sums)

    def held_out_means(self, sums: np.ndarray) -> dict[str, float]:
        """Weighted means by name, from sums of what is held out."""
        return {f"val_{name}": value for name, value in _means(self._held_out_measures, sums).items()}

    def _repeat(self, step, iterator, number):
        def once(k, rows):
            sums = self._strategy.run(step, (next(iterator),))
            return k + 1, rows.write(k, self._strategy.reduce(SUM, sums, axis=None))

        _, rows = tf.while_loop(lambda k, rows: k < number, once, (0, tf.TensorArray(tf.float32, number)))
        return rows.stack()

    def _train_step(self, batch):
        x, y, weight = batch
        replicas = tf.distribute.get_replica_context()
        # The share of a replica may weigh more or less than another's, so the divisor is everyone's.
        total_weight = replicas.all_reduce(SUM, tf.reduce_sum(weight))
        with tf.GradientTape() as tape:
            logits = self.model(x, training=True)
            losses = self._loss(y, logits)
            objective = tf.reduce_sum(weight * losses) / total_weight
            if self.model.losses:
                objective += tf.add_n(self.model.losses) / replicas.num_replicas_in_sync
        variables = [variable for _, group in self._groups for variable in group]
        gradients = iter(tape.gradient(objective, [v.value for v in variables]))
        for optimizer, group in self._groups:
            own = [next(gradients) for _ in group]
            # Of an embedding it comes by its rows: as many as the batch has, where replicas must exchange one shape.
            if replicas.num_replicas_in_sync > 1 or not getattr(optimizer, "takes_rows", False):
                own = [tf.convert_to_tensor(gradient) for gradient in own]
            optimizer.apply(own, group)
        return _sums(self._measures, y, logits, losses, weight)

    def _evaluate_step(self, batch):
        x, y, weight = batch
        logits = self.model(x, training=False)
        return _sums(self._held_out_measures, y, logits, self._loss(y, logits), weight)


def _sums(measures, y, logits, losses, weight) -> tf.Tensor:
    columns = [tf.ones_like(weight), losses, *(measure(y, logits) for measure in measures.values())]
    return tf.stack([tf.reduce_sum(weight * column) for column in columns])


def _means(measures, sums) -> dict[str, float]:
    return {name: float(total / sums[0]) for name, total in zip(["loss", *measures], sums[1:])}


def _shares(replicas: int, *batch: tf.Tensor) -> tf.data.Dataset:
    """The share of each replica, one after another."""
    return tf.data.Dataset.range(replicas).map(
        lambda replica: tf.nest.map_structure(lambda column: column[replica::replicas], batch)
    )
