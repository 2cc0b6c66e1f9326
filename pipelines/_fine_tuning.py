"""Training in stages: a new head on a frozen backbone, then what is unfrozen, each on cached features of the rest."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasuite import config, run_directory
from kerasuite.contracts import Examples, Plan
from kerasuite.errors import InputError
from kerasuite.pipelines import _stage_rows
from kerasuite.pipelines._stage_rows import Rows, Stage, StageRows

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from kerasuite.models.backbones import Backbone
    from kerasuite.training.fit import Fitted

VIEWS = 8
SAMPLED_ROWS = 2048


def stages(config: config.Settings, base: Backbone) -> list[Stage]:
    """What is trained, in order.

    Raises:
        InputError: the backbone has no such part to unfreeze.
    """
    from kerasuite.models import backbones

    whole = base.model
    if config.train_from_scratch:
        return [Stage("all", None, whole, 1, config.epochs)]
    if config.unfreeze == "none":
        return [Stage("head", whole, None, config.views or 1, config.epochs)]
    head = Stage("head", whole, None, 1, config.head_epochs)
    if config.unfreeze == "all":
        return [head, Stage("all", None, whole, 1, config.epochs)]
    layer = backbones.last_stage_cut(whole) if config.unfreeze == "last_stage" else config.unfreeze
    return [head, Stage(f"behind {layer}", *backbones.split(whole, layer), config.views or VIEWS, config.epochs)]


@dataclass(frozen=True)
class FineTuning:
    """One run's training: the settings, the pretrained backbone, and the rows."""

    config: config.Settings
    base: Backbone
    train: Examples
    validation: Examples
    run_dir: Path

    def fit(self, strategy: tf.distribute.Strategy) -> Fitted:
        """Train stage by stage. A stage that does not lower the validation loss leaves the weights as they were."""
        from kerasuite.models import transfer
        from kerasuite.training import budget

        in_order = stages(self.config, self.base)
        changes, several = _stage_rows.photo_changes(self.config, self.base), any(s.views > 1 for s in in_order)
        if (self.config.views or 1) > 1 and not (changes and several):
            print(
                f"--views {self.config.views} is not used: views are of photos that are changed, before a frozen part."
            )
        num_features, num_classes = self.base.model.output_shape[-1], len(self.train.class_names)
        head, fitted, lowest = transfer.head(num_features, num_classes, dropout=self.config.dropout), None, np.inf
        began = time.monotonic()
        if not self.config.train_from_scratch:
            transfer.standardise(head, self.some_features())
        stage_rows = StageRows(self.config, self.base, self.train, self.validation, self.run_dir)
        are_changed = False
        for stage in in_order:
            earlier, rows = len(fitted.history) if fitted else 0, stage_rows.of(stage)
            are_changed |= rows.are_changed
            minutes = self.minutes_left(stage, began, fitted, is_last=stage is in_order[-1])
            try:
                fitted = self.fit_stage(stage, rows, head, strategy, fitted, minutes)
            except budget.NoTime as none:
                if fitted is None:
                    raise
                print(f"{none} The weights before it are kept.")
                break
            reached = min(row["val_loss"] for row in fitted.history[earlier:])
            if reached >= lowest:
                print(f"Training {stage.name} did not lower the validation loss: the weights before it are kept.")
                continue
            lowest = reached
            *parts, fitted_head = fitted.model.layers[1:]
            head.set_weights(fitted_head.get_weights())
            if stage.tuned is not None:
                # It has the layers of the whole backbone.
                stage.tuned.set_weights(parts[-1].get_weights())
        run_directory.remember(self.run_dir, _stage_rows.CHANGED, lambda: are_changed)
        if changes and not are_changed:
            print(
                "No photo was changed at random: a frozen part saw each as it is. --views 8 has it see eight versions."
            )
        whole = transfer.copied(self.base.model, frozen_statistics=False)
        return replace(fitted, model=transfer.joined([whole], head))

    def some_features(self) -> np.ndarray:
        """The backbone's features, before any training, of so many photos as tell their scale."""
        rows = np.random.default_rng(self.config.seed).permutation(len(self.train))[:SAMPLED_ROWS]
        network = _stage_rows.frozen_network(self.config, self.base, self.base.model, "head", self.run_dir)
        some, prepare = self.train.take(np.sort(rows)), _stage_rows.preparation(self.base)
        return _stage_rows.features_in_memory(self.config, some, prepare, network, self.run_dir)

    def minutes_left(self, stage: Stage, began: float, before: Fitted | None, *, is_last: bool) -> float | None:
        """Minutes for a stage, of those that the settings give: all that are left, or half where others follow."""
        if self.config.minutes is None:
            return None
        spent = run_directory.remember(
            self.run_dir,
            f"seconds before {stage.name}",
            lambda: (before.earlier_seconds if before else 0.0) + time.monotonic() - began,
        )
        left = self.config.minutes - spent / 60
        return left if is_last else left / 2

    def fit_stage(
        self,
        stage: Stage,
        rows: Rows,
        head: keras.Model,
        strategy: tf.distribute.Strategy,
        before: Fitted | None,
        minutes: float | None,
    ) -> Fitted:
        """Fit a stage's tuned part and the head, on cached features where there is a frozen part before them."""
        import keras

        from kerasuite.data import batches
        from kerasuite.models import transfer
        from kerasuite.training import fit, losses, precision

        config = self.config

        def build() -> keras.Model:
            parts = (
                [] if rows.are_features or stage.frozen is None else [transfer.copied(stage.frozen, trainable=False)]
            )
            if stage.tuned is not None:
                parts.append(transfer.copied(stage.tuned, frozen_statistics=not config.train_from_scratch))
            return transfer.joined(parts, transfer.copied(head, in_policy=False))

        plan = Plan(len(self.train), config.batch_size, config.seed, views=rows.views)
        weights = batches.class_weights(config.class_weights, self.train.labels, len(self.train.class_names))
        training = batches.starting_at(rows.train, rows.prepare, plan, augment=rows.augment, class_weights=weights)
        held_out = Plan(len(self.validation), config.batch_size, 0, shuffle=False)
        loss = losses.cross_entropy(config.label_smoothing)
        arithmetic = run_directory.remember(
            self.run_dir,
            f"precision of {stage.name}",
            lambda: precision.choose(config.precision, build, training, loss, strategy.num_replicas_in_sync),
        )
        # What was measured or drawn before, or not drawn after a resume, must not decide what is drawn from here on.
        keras.utils.set_random_seed(config.seed)
        return fit.fit(
            build,
            training,
            batches.starting_at(rows.validation, rows.prepare_validation, held_out, epochs=1),
            loss=loss,
            measures={"accuracy": losses.accuracy},
            optimizers=functools.partial(self.rate_groups, stage),
            epochs=stage.epochs,
            steps_per_epoch=plan.steps_per_epoch,
            run_dir=self.run_dir,
            strategy=strategy,
            precision=arithmetic["used"],
            **config.loop | {"minutes": minutes},
            stage=stage.name.replace(" ", "_"),
            before=before,
        )

    def rate_groups(self, stage: Stage, model: keras.Model, num_updates: int) -> list[tuple[Any, Sequence[Any]]]:
        """(optimizer, variables) of the head, the last stage and what comes before it: the earlier, the slower."""
        from kerasuite.training import optimizers

        config = self.config

        def group(share: float, variables: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
            rate = optimizers.schedule("warmup_cosine", share * config.learning_rate, num_updates)
            return optimizers.optimizer("adamw", rate, weight_decay=config.weight_decay), variables

        groups = [group(1.0, model.layers[-1].trainable_variables)]
        if stage.tuned is None:
            return groups
        variables = model.layers[-2].trainable_variables
        if config.train_from_scratch:
            return [*groups, group(1.0, variables)]
        # Layers are in the order in which they are passed, so the last stage's variables are the last.
        first = max(len(variables) - self.variables_of_last_stage(), 0)
        groups.append(group(config.backbone_rate, variables[first:]))
        return [*groups, group(config.backbone_rate**2, variables[:first])] if first else groups

    def variables_of_last_stage(self) -> int:
        """How many variables of the backbone belong to its last stage."""
        from kerasuite.models import backbones

        whole = self.base.model
        try:
            cut = backbones.last_stage_cut(whole)
        except InputError:
            # A SavedModel is one layer: all of it is the last stage.
            return len(whole.trainable_variables)
        return len(backbones.split(whole, cut)[1].trainable_variables)
