"""The compiled part of training: several batches a call, on every replica of a strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from kerasuite import devices, workers
from kerasuite.training import dropout

SUM = tf.distribute.ReduceOp.SUM


class Steps:
    """Trains and evaluates one model, batch by batch. The model draws its dropout by bytes from then on.

    A batch's result is a row of sums over all replicas: weight, weight * loss, weight * each measure. What is held out
    has the same measures unless it is given others.

    Args:
        accumulate: the gradients of so many batches make one step, as if they were one batch. Batch normalisation
            goes by each batch alone.
        clip_norm: a gradient is made this long, over all variables together, if it is longer.
    """

    def __init__(
        self,
        model: keras.Model,
        groups: Sequence[tuple[keras.optimizers.Optimizer, Sequence[keras.Variable]]],
        loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        measures: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]],
        strategy: tf.distribute.Strategy,
        held_out_measures: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] | None = None,
        *,
        accumulate: int = 1,
        clip_norm: float | None = None,
    ):
        self.model, self._groups, self._loss, self.strategy = dropout.quicken(model), groups, loss, strategy
        self._measures = dict(measures)
        self._held_out_measures = self._measures if held_out_measures is None else dict(held_out_measures)
        self.num_sums = 2 + len(measures)
        self._variables = [variable for _, group in groups for variable in group]
        self.accumulate, self._clip_norm = accumulate, clip_norm
        # How many batches a call takes is a tensor, so that one trace serves all.
        # To rewrite Python's ifs and loops takes longer than to trace, and there is none that a tensor decides.
        repeat = partial(self._repeat, self._train_step)
        if accumulate > 1:
            with strategy.scope():
                self._total, *self._gathered = (_gatherer(v.shape) for v in (tf.zeros(()), *self._variables))
            repeat = self._repeat_parts
        self._train = tf.function(repeat, autograph=False)
        self._evaluate = tf.function(partial(self._repeat, self._evaluate_step), autograph=False)

    def distribute(self, dataset: tf.data.Dataset) -> tf.data.Dataset | tf.distribute.DistributedDataset:
        """This worker's dataset, each batch cut into the shares of its replicas."""
        team = workers.Team(self.strategy)
        if team.replicas == 1:
            return dataset
        if team.count > 1 or tf.nest.flatten(dataset.element_spec)[0].shape[0] is None:
            # Batches of unlike sizes are shared here: tf.distribute pairs rows of one with those of another.
            shares = dataset.flat_map(partial(_shares, team.replicas))
            return self.strategy.distribute_datasets_from_function(lambda context: shares)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return self.strategy.experimental_distribute_dataset(dataset.with_options(options))

    def train(self, iterator: Iterator, number: int) -> np.ndarray:
        """Train on `number` batches, the first that of a new step. Returns their sums, (number, num_sums) float64."""
        return self._train(iterator, tf.constant(number)).numpy().astype(np.float64)

    def evaluate(self, dataset, number: int) -> np.ndarray:
        """The sums over `number` batches of a dataset, from its start: float64, of each held-out measure.

        On a CPU worked out in float32, whatever the arithmetic of training; on a GPU layers keep that which they were
        built in.
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
        _, rows = tf.while_loop(
            lambda k, rows: k < number,
            lambda k, rows: self._one(step, iterator, k, rows),
            (0, tf.TensorArray(tf.float32, number)),
        )
        return rows.stack()

    def _repeat_parts(self, iterator, number):
        def step(k, rows):
            end = tf.minimum(k + self.accumulate, number)
            part = partial(self._one, self._gather_step, iterator)
            k, rows = tf.while_loop(lambda k, rows: k < end, part, (k, rows))
            self.strategy.run(self._gathered_step)
            return k, rows

        _, rows = tf.while_loop(lambda k, rows: k < number, step, (0, tf.TensorArray(tf.float32, number)))
        return rows.stack()

    def _one(self, step, iterator, k, rows):
        sums = self.strategy.run(step, (next(iterator),))
        return k + 1, rows.write(k, self.strategy.reduce(SUM, sums, axis=None))

    def _train_step(self, batch):
        # The share of a replica may weigh more or less than another's, so the divisor is everyone's.
        total_weight = tf.distribute.get_replica_context().all_reduce(SUM, tf.reduce_sum(batch[2]))
        gradients, sums = self._gradients(batch, total_weight)
        self._apply(gradients)
        return sums

    def _gather_step(self, batch):
        gradients, sums = self._gradients(batch, 1.0)
        self._total.assign_add(tf.reduce_sum(batch[2]))
        for gathered, gradient in zip(self._gathered, gradients):
            gathered.assign_add(gradient)
        return sums

    def _gathered_step(self):
        total_weight = tf.distribute.get_replica_context().all_reduce(SUM, self._total.read_value())
        self._apply([gathered.read_value() / total_weight for gathered in self._gathered])
        for gathered in (self._total, *self._gathered):
            gathered.assign(tf.zeros_like(gathered))

    def _gradients(self, batch, total_weight):
        """This replica's part of the gradient, and the batch's sums."""
        x, y, weight = batch
        with tf.GradientTape() as tape:
            logits = self.model(x, training=True)
            losses = self._loss(y, logits)
            objective = tf.reduce_sum(weight * losses) / total_weight
            if self.model.losses:
                objective += tf.add_n(self.model.losses) * (tf.reduce_sum(weight) / total_weight)
        gradients = tape.gradient(objective, [v.value for v in self._variables])
        # Of an embedding it comes by its rows: as many as the batch has, where replicas must exchange one shape.
        takes_rows = [getattr(optimizer, "takes_rows", False) for optimizer, group in self._groups for _ in group]
        alone = self.strategy.num_replicas_in_sync == 1 and self.accumulate == 1 and not self._clip_norm
        gradients = [
            gradient if by_rows and alone else tf.convert_to_tensor(gradient)
            for gradient, by_rows in zip(gradients, takes_rows)
        ]
        return gradients, _sums(self._measures, y, logits, losses, weight)

    def _apply(self, gradients):
        """A step along the sum of all replicas' parts, which the optimizers build."""
        if self._clip_norm:
            replicas = tf.distribute.get_replica_context()
            whole, _ = tf.clip_by_global_norm(replicas.all_reduce(SUM, gradients), self._clip_norm)
            gradients = [gradient / replicas.num_replicas_in_sync for gradient in whole]
        gradients = iter(gradients)
        for optimizer, group in self._groups:
            optimizer.apply([next(gradients) for _ in group], group)

    def _evaluate_step(self, batch):
        x, y, weight = batch
        logits = self.model(x, training=False)
        return _sums(self._held_out_measures, y, logits, self._loss(y, logits), weight)


def _gatherer(shape) -> tf.Variable:
    """A sum that each replica keeps for itself."""
    return tf.Variable(
        tf.zeros(shape),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )


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
