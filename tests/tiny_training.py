"""A training of a second: three kinds of striped images, a small network."""

import keras
import numpy as np
import tensorflow as tf

from kerasuite.contracts import Examples, Plan
from kerasuite.data import batches
from kerasuite.models import cnn
from kerasuite.training import fit, losses, optimizers


class Pixels:
    def is_encoded(self, examples):
        return True

    def collate(self, rows):
        return tf.cast(rows, tf.float32)


class Noise:
    """An augmentation that shows in the weights when its numbers change."""

    draws_per_image = 1

    def __call__(self, x, y, draws):
        return x + 20 * draws[:, None, None], y


def striped(n, seed=0):
    """Images whose class is the row that is lit: learnt in a few steps."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    images = rng.integers(0, 60, (n, 8, 8, 1), np.uint8)
    images[np.arange(n), labels] += 120
    return Examples({"image": images}, labels)


def train(
    run_dir, *, epochs=3, strategy=None, augment=None, batch_size=16, callbacks=(), learning_rate=1e-2, **options
):
    keras.utils.set_random_seed(1)
    train, validation = striped(70), striped(30, seed=1)
    plan = Plan(len(train), batch_size, seed=3)
    build = {"dropout": 0.0, "batch_norm": True, "filters": (4, 8)} | options.pop("model", {})

    def optimizer(model, num_updates):
        rate = optimizers.schedule("one_cycle", learning_rate, num_updates)
        return [(optimizers.optimizer("adam", rate), model.trainable_variables)]

    return fit.fit(
        lambda: cnn.build((8, 8), 1, 3, **build),
        batches.starting_at(train, Pixels(), plan, augment=augment),
        batches.starting_at(validation, Pixels(), Plan(30, 16, 0, shuffle=False), epochs=1),
        loss=losses.cross_entropy(),
        measures={"accuracy": losses.accuracy},
        optimizers=optimizer,
        epochs=epochs,
        steps_per_epoch=plan.steps_per_epoch,
        run_dir=run_dir,
        strategy=strategy,
        callbacks=callbacks,
        tensorboard=False,
        **options,
    )
