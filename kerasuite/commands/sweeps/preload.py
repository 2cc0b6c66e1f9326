"""What the process that others are forked from imports. It runs nothing: what TensorFlow has begun cannot be forked."""

from kerasuite import devices

devices.import_tensorflow(look=False)

import keras  # noqa: E402, F401
