"""What each epoch measured, and its file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from kerasuite import run_directory, whole_files

History = list[dict[str, float]]


def write(run_dir: Path, history: History) -> None:
    """Write history.csv, a line an epoch; nothing while there is none."""
    if not history:
        return
    text = io.StringIO()
    table = csv.DictWriter(text, ["epoch", *history[0]], lineterminator="\n")
    table.writeheader()
    table.writerows({"epoch": k} | row for k, row in enumerate(history, 1))
    whole_files.write(run_dir / run_directory.HISTORY, text.getvalue())
