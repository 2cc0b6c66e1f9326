"""What a scored classifier leaves in a directory: tables, pictures, report.html, and metrics.json last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasuite import run_directory, whole_files
from kerasuite.evaluation import classification
from kerasuite.evaluation.classification import Scores
from kerasuite.evaluation.report import (
    Section,
    headline_sentence,
    render_report,
    verdict_sentence,
    without_seen_sentence,
)

_OUTPUTS = "label, probability, probabilities"


def write(
    folder: Path,
    scores: Scores,
    *,
    title: str,
    summary: str,
    facts: Mapping[str, Any],
    warnings: Sequence[str] = (),
    thumbnails: Callable[[np.ndarray], Sequence[np.ndarray]] | None = None,
    texts: Callable[[np.ndarray], Sequence[str]] | None = None,
    history: Sequence[Mapping[str, float]] | None = None,
    settings: Mapping[str, Any] | None = None,
    command: str = "",
    serving_input: str = "",
    run_dir: Path | None = None,
    extra: Sequence[Section] = (),
) -> dict[str, Any]:
    """Write every file of the results, each whole or not at all, and print the headline.

    Args:
        facts: the rest of metrics.json: pipeline, examples, servable, seconds; with a history `kept`.
        thumbnails: from positions of rows to their pictures.
        texts: from positions of rows to their texts, where rows are texts.
        serving_input: the argument of the SavedModel's signature, as Python.
        run_dir: where the model lies, if not in `folder`.
        extra: the pipeline's own sections of the report.

    Returns:
        What metrics.json says.
    """
    shown = classification.displays(scores)
    rows = shown["mistakes"].index
    drawn = classification.pictures(shown, thumbnails(rows) if thumbnails and len(rows) else None)
    table = shown["confusion_matrix"].frame().write_csv()
    whole_files.write(folder / f"{run_directory.CONFUSION_MATRIX}.csv", table)
    whole_files.write(folder / run_directory.PREDICTIONS, classification.predictions(scores).write_csv())

    metrics = dict(facts) | classification.numbers(scores)
    mistakes = classification.mistaken_texts(shown["mistakes"], texts(rows)) if texts and len(rows) else None
    sections = classification.sections(scores, metrics, drawn, history, extra, mistakes)
    finish(
        folder,
        metrics,
        sections,
        title=title,
        summary=summary,
        warnings=warnings,
        settings=settings,
        command=command,
        serving_input=serving_input,
        serving_outputs="labels, is_of_class, probabilities" if scores.multi_label else _OUTPUTS,
        run_dir=run_dir,
    )
    return metrics


def finish(
    folder: Path,
    metrics: Mapping[str, Any],
    sections: Sequence[Section],
    *,
    title: str,
    summary: str,
    warnings: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    command: str = "",
    serving_input: str = "",
    serving_outputs: str = _OUTPUTS,
    run_dir: Path | None = None,
    unit: str = "rows",
) -> None:
    """Write the report and its pictures, and metrics.json last, and print the headline.

    Args:
        sections: of the report. A picture with a name is written to a file of that name too.
        serving_input: the argument of the SavedModel's signature, as Python; serving_outputs: what it gives.
        run_dir: where the model lies, if not in `folder`.
        unit: what is counted: rows, or users.
    """
    for figure in (figure for section in sections for figure in section.figures if figure.name):
        whole_files.write(folder / f"{figure.name}.png", figure.png)
    environment = folder / run_directory.ENVIRONMENT
    page = render_report(
        title=title,
        summary=summary,
        metrics=metrics,
        warnings=warnings,
        sections=sections,
        config=settings,
        environment=whole_files.read_json(environment) if environment.is_file() else None,
        command=command,
        serving_input=serving_input,
        serving_outputs=serving_outputs,
        run_directory=str(run_dir or folder),
        unit=unit,
    )
    whole_files.write(folder / run_directory.REPORT, page)
    whole_files.write_json(folder / run_directory.METRICS, metrics)
    sentences = headline_sentence(metrics, unit), without_seen_sentence(metrics, unit), verdict_sentence(metrics, unit)
    print(*filter(None, sentences))
