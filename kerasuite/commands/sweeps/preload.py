"""What the process that others are forked from imports. It runs nothing: what TensorFlow has begun cannot be forked."""

from kerasuite import devices

devices.import_tensorflow(look=False)

from tensorboard.plugins.hparams import api  # noqa: E402, F401

from kerasuite.data import batches, cache, kept  # noqa: E402, F401
from kerasuite.training import fit, losses, optimizers, precision, sweep  # noqa: E402, F401
