"""How an encoder of texts is fitted: all of it or its last layers, or a head on its vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasuite import __version__, config, frozen, progress, run_directory
from kerasuite.contracts import Examples, Plan

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from kerasuite.data.features import Network
    from kerasuite.data.lengths import LengthPlan
    from kerasuite.data.text import TextPreparation
    from kerasuite.models.encoders import Encoder
    from kerasuite.training.fit import Fitted

# From a model and the steps that its optimizers take to (optimizer, variables) pairs.
Groups = Callable[[Any, int], Sequence[tuple[Any, Sequence[Any]]]]
BATCH_SIZE, ENOUGH_STEPS = 64, 1000
# What suits Adam goes with 1 / width: Yang et al. (2022), Tensor Programs V, arXiv:2203.03466.
BASE_RATE, BASE_WIDTH = 1e-4, 768


@dataclass(frozen=True)
class TextTuning:
    """One run's training: the settings, the encoder, and the tokenised texts."""

    config: config.Settings
    base: Encoder
    prepare: TextPreparation
    train: Examples
    validation: Examples
    run_dir: Path

    def fit(self, strategy: tf.distribute.Strategy) -> Fitted:
        """Train a head, and of the encoder what the settings name."""
        return self.fit_head(strategy) if self.config.layers_tuned == 0 else self.fit_encoder(strategy)

    def fit_encoder(self, strategy: tf.distribute.Strategy) -> Fitted:
        """Train a new head and what the settings name of the encoder, on batches of like lengths."""
        from kerasuite.data import batches
        from kerasuite.models import encoder_tuning, fused, transfer
        from kerasuite.training import precision

        config, prepare, head = self.config, self.prepare, self.new_head()

        def build() -> keras.Model:
            network = encoder_tuning.copied(self.base.model)
            if config.tuning == "lora":
                encoder_tuning.add_lora(network, config.lora_rank)
            else:
                encoder_tuning.freeze_below(network, config.layers_tuned)
            return transfer.joined([network], transfer.copied(head, in_policy=False))

        replicas = strategy.num_replicas_in_sync
        planned = self.plan(self.train, 1, replicas, shuffle=True)
        training = batches.starting_at(self.train, prepare, planned, class_weights=self.class_weights())
        held_out = self.plan(self.validation, 4, replicas, shuffle=False)
        arithmetic = run_directory.remember(
            self.run_dir,
            "precision",
            lambda: precision.choose(config.precision, build, training, self.objective()["loss"], replicas),
        )
        fitted = self.fitted(
            build,
            training,
            batches.starting_at(self.validation, prepare, held_out, epochs=1),
            planned.steps_per_epoch,
            self.rate_groups,
            strategy=strategy,
            precision=arithmetic["used"],
            # The loss rises as a network grows too sure of itself, while it still gets better at telling classes apart:
            # Guo et al. (2017), On Calibration of Modern Neural Networks, arXiv:1706.04599.
            monitor="loss" if config.multi_label else "accuracy",
        )
        *_, network, tuned = fitted.model.layers
        head.set_weights(tuned.get_weights())
        network = encoder_tuning.merged(self.base.model, network) if config.tuning == "lora" else network
        return replace(fitted, model=transfer.joined([fused.fuse(network)], head))

    def fit_head(self, strategy: tf.distribute.Strategy) -> Fitted:
        """Run the encoder once over every text, and train a head on the vectors."""
        from kerasuite.data import batches
        from kerasuite.data.features import FeaturePreparation, examples_of
        from kerasuite.models import fused, transfer

        encoder, head = fused.fuse(self.base.model), self.new_head()
        network = self.frozen_network(encoder)
        found = [self.vectors(part, network) for part in (self.train, self.validation)]
        transfer.standardise(head, found[0])

        def build() -> keras.Model:
            return transfer.joined([], transfer.copied(head, in_policy=False))

        plan, own = Plan(len(self.train), self.config.batch_size, self.config.seed), FeaturePreparation()
        held_out = Plan(len(self.validation), 1024, 0, shuffle=False)
        train, validation = (examples_of(part, column) for part, column in zip((self.train, self.validation), found))
        fitted = self.fitted(
            build,
            batches.starting_at(train, own, plan, class_weights=self.class_weights()),
            batches.starting_at(validation, own, held_out, epochs=1),
            plan.steps_per_epoch,
            lambda model, num_updates: [self.group(self.config.head_rate, model.trainable_variables, num_updates)],
            strategy=strategy,
        )
        head.set_weights(fitted.model.layers[-1].get_weights())
        return replace(fitted, model=transfer.joined([encoder], head))

    def fitted(self, build, training, held_out, steps_per_epoch: int, groups: Groups, **options: Any) -> Fitted:
        """What `fit.fit` leaves, with all that both ways have in common."""
        import keras

        from kerasuite.training import fit

        keras.utils.set_random_seed(self.config.seed)
        return fit.fit(
            build,
            training,
            held_out,
            optimizers=groups,
            epochs=num_epochs(self.config, steps_per_epoch),
            steps_per_epoch=steps_per_epoch,
            run_dir=self.run_dir,
            **self.config.loop,
            **self.objective(),
            **options,
        )

    def new_head(self) -> keras.Model:
        """A head that nothing was learnt by yet."""
        from kerasuite.models import transfer

        num_classes = len(self.train.class_names)
        return transfer.head(self.base.model.output_shape[-1], num_classes, dropout=self.config.dropout)

    def plan(self, examples: Examples, times: int, replicas: int, *, shuffle: bool) -> LengthPlan:
        """Batches of like lengths, so many times as large as the settings say."""
        from kerasuite.data import lengths, text

        config = self.config
        most = times * config.batch_tokens, times * config.batch_size
        return lengths.LengthPlan(text.lengths_of(examples, self.prepare), *most, config.seed, shuffle, replicas)

    def class_weights(self) -> np.ndarray | None:
        """What each class counts."""
        from kerasuite.data import batches

        return batches.class_weights(self.config.class_weights, self.train.labels, len(self.train.class_names))

    def objective(self) -> dict[str, Any]:
        """The loss of a row, and what else is measured of it, by the names that `fit.fit` has for them."""
        from kerasuite.training import losses

        smoothing = self.config.label_smoothing
        if self.config.multi_label:
            return {"loss": losses.binary_cross_entropy(smoothing), "measures": {"accuracy": losses.label_accuracy}}
        return {"loss": losses.cross_entropy(smoothing), "measures": {"accuracy": losses.accuracy}}

    def rate_groups(self, model: keras.Model, num_updates: int) -> list[tuple[Any, Sequence[Any]]]:
        """(optimizer, variables) of the head and of each depth of the encoder: the deeper, the slower.

        Howard and Ruder (2018), arXiv:1801.06146, section 3.2; Clark et al. (2020), arXiv:2003.10555, has 0.8 a layer
        for small encoders and 0.9 for large ones.
        """
        from kerasuite.models import encoder_tuning, encoders

        *_, network, head = model.layers
        peak = self.config.learning_rate or BASE_RATE * BASE_WIDTH / network.output_shape[-1]
        variables = network.trainable_variables
        depths = encoder_tuning.depths(variables)
        # A table of random vectors has all to learn, and there Adam's memory of rows that are away helps.
        tables = set() if self.config.encoder in encoders.FROM_SCRATCH else encoder_tuning.tables(network)
        places = [(depth, variable.path in tables) for depth, variable in zip(depths, variables)]
        groups = [self.group(self.config.head_rate, head.trainable_variables, num_updates)]
        for depth, is_table in sorted(set(places), reverse=True):
            rate = peak * self.config.layer_decay ** (max(depths) - depth)
            own = [variable for variable, place in zip(variables, places) if place == (depth, is_table)]
            groups.append(self.group(rate, own, num_updates, by_rows=is_table))
        return groups

    def group(
        self, rate: float, variables: Sequence[Any], num_updates: int, *, by_rows: bool = False
    ) -> tuple[Any, Sequence[Any]]:
        """AdamW of a rate that rises and falls over the whole training, and what it trains.

        Args:
            by_rows: of tables only the rows that a batch has; they have no weight decay.
        """
        from kerasuite.training import optimizers
        from kerasuite.training.fused_adam import RowwiseAdamW

        schedule = optimizers.schedule("warmup_linear", rate, num_updates)
        if by_rows:
            return RowwiseAdamW(schedule), variables
        return optimizers.optimizer("adamw", schedule, weight_decay=self.config.weight_decay), variables

    def frozen_network(self, encoder: keras.Model) -> Network:
        """The encoder as one function with constant weights, in the arithmetic that is fastest here."""
        import keras
        import tensorflow as tf

        from kerasuite.data.features import Network

        arithmetic = run_directory.remember(
            self.run_dir,
            "precision of the frozen encoder",
            lambda: frozen.choose(self.config.precision, encoder, _some_texts(self.base)),
        )
        code = f"{__version__} {keras.__version__} {tf.__version__}"
        key = f"{code} {self.base.digest} {self.prepare.max_length} {arithmetic['used']}"
        return Network(frozen.forward(encoder, arithmetic["used"]), encoder.output_shape[1:], key)

    def vectors(self, examples: Examples, network: Network) -> np.ndarray:
        """What the network says of every text, float32 (n, dim): from the cache where there is room."""
        from kerasuite.data import features, text

        config, prepare = self.config, self.prepare
        order = np.argsort(-text.lengths_of(examples, prepare), kind="stable")
        some, column = examples.take(order), None
        if config.cache_gb:
            folder = Path(config.cache).expanduser() if config.cache else features.default_folder()
            store = features.FeatureCache(folder, int(config.cache_gb * 2**30))
            with progress.bar("Passing texts through the encoder") as shown:
                column = store.features(some, prepare, network, progress=shown)
        found = features.worked_out(some, prepare, network) if column is None else np.asarray(column)
        return found[np.argsort(order)]


def num_epochs(config: config.Settings, steps_per_epoch: int) -> int:
    """As many as the settings say, or as make a thousand steps, within bounds.

    Mosbach et al. (2021), On the stability of fine-tuning BERT, arXiv:2006.04884: few rows want more passes, twenty
    where three are usual.
    """
    least, most = (20, 100) if config.layers_tuned == 0 else (3, 20)
    return config.epochs or min(max(-(-ENOUGH_STEPS // steps_per_epoch), least), most)


def _some_texts(base: Encoder) -> tf.Tensor:
    """A batch to measure an encoder with."""
    import tensorflow as tf

    return tf.fill([BATCH_SIZE], "a text " * 16) if base.takes_strings else tf.fill([BATCH_SIZE, 32], base.start)
