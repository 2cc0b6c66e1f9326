"""Models of finished runs, with the layers that are the suite's own."""

from __future__ import annotations

from pathlib import Path

import keras

# Each registers its layers or functions, by which Keras finds them again.
from kerasuite.models import gelu, hub, next_item, pointwise, transformer  # noqa: F401


def load(path: Path) -> keras.Model:
    """A model that was saved as .keras: preprocessed input to logits."""
    return keras.saving.load_model(path, safe_mode=True, compile=False)
