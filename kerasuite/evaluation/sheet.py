"""A sheet of thumbnails with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars

from kerasuite.evaluation.drawing import drawing, literal, png
from kerasuite.evaluation.report import Figure, Section


@dataclass
class SheetDisplay:
    """Pictures side by side, each under its caption: rows of a data set, mistakes, augmented views.

    Args:
        images: arrays (height, width) or (height, width, 1 or 3), of any size, uint8, or float of 0 to 255 or 0 to 1.
        captions: one an image, drawn as it is.
        title: over the sheet.
    """

    images: Sequence[np.ndarray]
    captions: Sequence[str]
    title: str = ""

    @classmethod
    def from_labels(
        cls, images: Sequence[np.ndarray], labels: np.ndarray, class_names: Sequence[str], title: str = ""
    ) -> SheetDisplay:
        """Pictures captioned by their class: labels int array (n,), positions in class_names."""
        return cls(images, [literal(class_names[label], 20) for label in labels], title)

    def frame(self) -> polars.DataFrame:
        """One row a picture: its caption, height and width."""
        height, width = ([np.shape(image)[side] for image in self.images] for side in (0, 1))
        return polars.DataFrame({"caption": list(self.captions), "height": height, "width": width})

    def plot(self, ax: Any = None, *, columns: int = 6) -> SheetDisplay:
        """Draw the sheet.

        Args:
            ax: a Figure to fill, or None for a new one.
            columns: thumbnails a row.
        """
        columns = max(1, min(columns, len(self.images)))
        rows = max(1, -(-len(self.images) // columns))
        lines = 1 + max((caption.count("\n") for caption in self.captions), default=0)
        with drawing(ax, (1.75 * max(columns, 3), (1.75 + 0.2 * lines) * rows + 0.5)) as place:
            axes = place.subplots(rows, columns, squeeze=False)
            place.suptitle(self.title, x=0.01, ha="left", fontsize=12, fontweight="bold")
            for position, panel in enumerate(axes.flat):
                panel.axis("off")
                panel.set_anchor("N")
                if position < len(self.images):
                    pixels, gray = shown_pixels(self.images[position])
                    panel.imshow(pixels, cmap="gray" if gray else None, interpolation="nearest")
                    caption = self.captions[position]
                    panel.set_title(caption, fontsize=8, fontweight="normal", loc="center", pad=4)
        self.ax_, self.figure_ = axes, place
        return self


def augmentation_section(looks: Sequence[np.ndarray], names: Sequence[str], note: str = "") -> Section:
    """The report's section on how training changed its images.

    Args:
        looks: the same n images as they are, then changed, once or more: arrays (n, height, width, channels).
        names: n classes.
        note: a sentence more on the changes.
    """
    captions = [f"{literal(name, 16)}{', changed' if k else ''}" for k in range(len(looks)) for name in names]
    sheet = SheetDisplay(
        [image for look in looks for image in look], captions, "Training images, and how they are changed"
    )
    text = "Each image as it is, and below it as the settings changed it at random for training."
    text += f" {note}" if note else ""
    figure = Figure("As they are in the first row.", png(sheet, columns=len(names)), "augmentation")
    return Section("Augmentation", text, [figure])


def shown_pixels(image: np.ndarray) -> tuple[np.ndarray, bool]:
    """What imshow takes: (height, width) if gray, or (height, width, 3) in 0 to 1; and whether it is gray."""
    image = np.asarray(image)
    if image.ndim == 2 or image.shape[-1] == 1:
        return image.reshape(image.shape[:2]).astype(np.float32), True
    whole = image.dtype == np.uint8 or image.max() > 1
    return np.clip(image / 255 if whole else image, 0, 1).astype(np.float32), False
