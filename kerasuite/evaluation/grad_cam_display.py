"""Pictures of where a classifier saw what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars

from kerasuite.errors import InputError
from kerasuite.evaluation.drawing import literal
from kerasuite.evaluation.metrics import check_probabilities
from kerasuite.evaluation.run_display import answer_lines
from kerasuite.evaluation.sheet import SheetDisplay, shown_pixels

MOST_CLASSES = 12
STRONGEST = 0.75  # how much of the photo the hottest place hides


@dataclass
class GradCamDisplay:
    """Photos, each with the same photo under the heat of the class that the model gave as its answer.

    Args:
        index: int array (m,), the rows of the test set, as of `explain.examples_for_each_class`.
        ids: what each row is called.
        labels: int array (m,); predictions: int array (m,), positions in class_names.
        confidence: float array (m,), the prediction's probability.
        images: one a row: arrays (height, width, 1 or 3), uint8, or float of 0 to 255 or 0 to 1.
        heat: float array (m, height', width') in 0 to 1, as `explain.grad_cam` gives it for `predictions`.
    """

    index: np.ndarray
    ids: list[str]
    labels: np.ndarray
    predictions: np.ndarray
    confidence: np.ndarray
    class_names: Sequence[str]
    images: Sequence[np.ndarray]
    heat: np.ndarray

    def __post_init__(self):
        if not len(self.index) == len(self.images) == len(self.heat):
            raise InputError(
                f"{len(self.index)} rows have {len(self.images)} images and {len(self.heat)} maps: expected one each."
            )

    @classmethod
    def from_predictions(
        cls,
        labels: np.ndarray,
        probabilities: np.ndarray,
        ids: Sequence[str],
        class_names: Sequence[str],
        *,
        rows: np.ndarray,
        images: Sequence[np.ndarray],
        heat: np.ndarray,
    ) -> GradCamDisplay:
        """Take what the captions say of the chosen rows from the scores of all.

        Args:
            labels: int array (n,); probabilities: float array (n, num_classes); ids: n names.
            rows: int array (m,), the chosen ones; images, heat: one a chosen row.
        """
        labels, probabilities = check_probabilities(labels, probabilities)
        rows = np.asarray(rows, int)
        own = probabilities[rows]
        names = [str(ids[row]) for row in rows]
        return cls(rows, names, labels[rows], own.argmax(axis=1), own.max(axis=1), tuple(class_names), images, heat)

    def frame(self) -> polars.DataFrame:
        """One row a photo: index, id, label, prediction, confidence; and where in the picture, as shares of its height
        and width from the upper left corner, the heat is greatest."""
        name = lambda positions: [str(self.class_names[k]) for k in positions]  # noqa: E731
        peaks = [_peak(heat) for heat in self.heat]
        columns = {
            "index": (self.index, polars.Int64),
            "id": (self.ids, polars.String),
            "label": (name(self.labels), polars.String),
            "prediction": (name(self.predictions), polars.String),
            "confidence": (self.confidence, polars.Float64),
            "peak_down": ([down for down, _ in peaks], polars.Float64),
            "peak_right": ([right for _, right in peaks], polars.Float64),
        }
        return polars.DataFrame({key: polars.Series(values, dtype=kind) for key, (values, kind) in columns.items()})

    def plot(self, ax: Any = None, *, columns: int = 3, cmap: str = "inferno") -> GradCamDisplay:
        """Draw the sheet: each photo under its caption, and beside it the heat.

        Args:
            ax: a Figure to fill, or None for a new one.
            columns: pairs a row.
            cmap: matplotlib colour map.
        """
        from matplotlib import colormaps

        images, captions = [], []
        for position, image in enumerate(self.images):
            pixels, _ = shown_pixels(image)
            images += [image, _under_heat(pixels, self.heat[position], colormaps[cmap])]
            label, prediction = (self.class_names[k[position]] for k in (self.labels, self.predictions))
            captions += [answer_lines(self.ids[position], label, prediction, self.confidence[position])]
            captions.append(f"what speaks for\n{literal(prediction, 20)}")
        sheet = SheetDisplay(images, captions, self._title()).plot(ax, columns=2 * columns)
        self.ax_, self.figure_ = sheet.ax_, sheet.figure_
        return self

    def _title(self) -> str:
        shown, total = len(np.unique(self.labels)), len(self.class_names)
        which = (
            "each class" if total <= MOST_CLASSES else f"the {shown} of {total:,} classes that are found least often"
        )
        return f"What speaks for the answer: the surest right and wrong photo of {which}"


def _peak(heat: np.ndarray) -> tuple[float, float]:
    """The middle of the hottest cell, as shares of height and width."""
    down, right = np.unravel_index(np.argmax(heat), heat.shape)
    return (down + 0.5) / heat.shape[0], (right + 0.5) / heat.shape[1]


def _under_heat(pixels: np.ndarray, heat: np.ndarray, cmap: Any) -> np.ndarray:
    """The photo in gray, the heat in colour over it, the more of it the hotter: float32 (height, width, 3)."""
    from PIL import Image

    height, width = pixels.shape[:2]
    smooth = Image.fromarray(np.asarray(heat, np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    smooth = np.asarray(smooth)[..., None]
    gray = pixels if pixels.ndim == 3 else pixels[..., None]
    gray = gray.mean(axis=2, keepdims=True) / max(1.0, float(gray.max()))
    coloured = cmap(smooth[..., 0])[..., :3]
    return (gray + STRONGEST * smooth * (coloured - gray)).astype(np.float32)
