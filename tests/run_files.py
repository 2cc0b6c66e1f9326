"""Runs of a pipeline in tests: their training alone, and what they leave."""

import csv
import json


def train(pipeline, config, folder):
    """Load and train in a folder, which is made."""
    splits = pipeline.load(config)
    folder.mkdir(exist_ok=True)
    return pipeline.train(config, splits.train, splits.validation, folder)


def metrics_of(run_dir):
    return json.loads((run_dir / "metrics.json").read_text())


def confusion_total(run_dir):
    """The rows that the confusion matrix counts."""
    with open(run_dir / "confusion_matrix.csv") as file:
        return sum(int(cell) for row in list(csv.reader(file))[1:] for cell in row[1:])
