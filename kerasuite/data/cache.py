"""Work on rows that need not be done twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kerasuite.contracts import Examples
from kerasuite.data import kept
from kerasuite.data.batches import Preparation, encoded_rows

LIMIT_BYTES = 2**30


def encoded_once(examples: Examples, prepare: Preparation, limit_bytes: int = LIMIT_BYTES) -> Examples:
    """The examples with their rows encoded and held in memory, or unchanged where they would take over limit_bytes."""
    if prepare.is_encoded(examples) or len(examples) * prepare.row_bytes > limit_bytes:
        return examples
    return kept.once(examples, prepare.key, lambda: _encoded(examples, prepare))


def _encoded(examples: Examples, prepare: Preparation) -> Examples:
    rows = encoded_rows(examples, prepare)
    encoded = np.empty((len(examples), *rows.element_spec.shape), rows.element_spec.dtype.as_numpy_dtype)
    for row, value in enumerate(rows.as_numpy_iterator()):
        encoded[row] = value
    return replace(examples, inputs={prepare.encoded_column: encoded})
