"""What each epoch measured, and its file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from kerasuite import run_directory, whole_files

History = list[dict[str, float]]


def merit(row: Mapping[str, float], monitor: str) -> list[float]:
    """What epochs are held against each other by, the greater the better: of equal ones the loss decides.

    Args:
        monitor: what decides first, of validation: `loss`, which falls, or a measure, which rises.
    """
    loss = -row["val_loss"]
    return [loss] if monitor == "loss" else [row[f"val_{monitor}"], loss]


def write(run_dir: Path, history: History) -> None:
    """Write history.csv, a line an epoch; nothing while there is none."""
    if not history:
        return
    text = io.StringIO()
    table = csv.DictWriter(text, ["epoch", *history[0]], lineterminator="\n")
    table.writeheader()
    table.writerows({"epoch": k} | row for k, row in enumerate(history, 1))
    whole_files.write(run_dir / run_directory.HISTORY, text.getvalue())
