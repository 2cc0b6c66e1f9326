"""One self-contained HTML page about a run, to send to a colleague: no script, no network, pictures inside."""

from __future__ import annotations

import base64
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from numbers import Integral, Real
from typing import Any

LOWER_IS_BETTER = ("loss", "error")  # how the names of such metrics end
PROPORTIONS = re.compile(r"accuracy$|^hit_rate|^recall|^precision")  # shown as percent


@dataclass(frozen=True)
class Figure:
    """A picture: the caption under it, and PNG bytes."""

    caption: str
    png: bytes

    @property
    def source(self) -> str:
        """The picture as an address that holds it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Table:
    """A table: the caption over it, the names of its columns, and rows of cells (text or numbers)."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def is_numeric(self, column: int) -> bool:
        """Whether the column holds numbers alone, which stand to the right."""
        return all(_is_number(row[column]) or row[column] is None for row in self.rows)


@dataclass(frozen=True)
class Section:
    """A part of the page: a title, plain text (a blank line starts a paragraph), figures and tables."""

    title: str
    text: str = ""
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


def render_report(
    *,
    title: str,
    summary: str,
    metrics: Mapping[str, Any],
    warnings: Sequence[str] = (),
    sections: Sequence[Section] = (),
    config: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    command: str = "",
    run_directory: str = "RUN_DIR",
    serving_input: str = "",
    unit: str = "rows",
    date: str | None = None,
) -> str:
    """The page as HTML text. Everything that is handed in is escaped: file names and class names are not trusted.

    Args:
        title: of the page.
        summary: a sentence or two: what the model does, on what data.
        metrics: as in metrics.json: pipeline, examples, headline, test, baselines, verdict, servable, seconds. Also
            best_baseline (the name; chosen on validation) and p_value, where known.
        warnings: sentences to read before the numbers: duplicates, leaks, skipped files.
        sections: shown after the numbers, in this order.
        config: the settings by name.
        environment: versions, devices and the like; values may be nested.
        command: repeats the run.
        run_directory: where the model lies, for the lines that use it.
        serving_input: the argument of the SavedModel's signature, as Python; empty shows what the signature takes.
        unit: what is counted: rows, or users.
        date: None is now.

    Returns:
        HTML, UTF-8 text. Writing it, to a temporary name and renamed, is left to the caller.
    """
    from jinja2 import Environment, StrictUndefined

    template = resources.files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {"cell": _cell, "words": metric_words, "paragraphs": _paragraphs}
    return page.from_string(template).render(
        title=title,
        date=date or datetime.now().strftime("%d %B %Y, %H:%M").lstrip("0"),
        summary=summary,
        headline=headline_sentence(metrics, unit),
        verdict=verdict_sentence(metrics, unit),
        verdict_word=metrics.get("verdict") or "",
        warnings=warnings,
        scores=_scores_table(metrics),
        examples=metrics.get("examples") or {},
        servable=metrics.get("servable") or {},
        seconds=metrics.get("seconds") or {},
        sections=sections,
        config=_flat(config or {}),
        environment=_flat(environment or {}),
        command=command,
        run_directory=shlex.quote(run_directory),
        python_lines=_python_lines(run_directory, serving_input),
    )


def headline_sentence(metrics: Mapping[str, Any], unit: str = "rows") -> str:
    """The headline number, its interval and its n, as a sentence; empty if the test set was not scored.

    Example:
        >>> estimate = {"value": 0.9912, "low": 0.9892, "high": 0.9929, "n": 10000}
        >>> headline_sentence({"headline": "accuracy", "test": {"accuracy": estimate}})
        'Accuracy 99.12% on 10,000 test rows (95% interval 98.92 to 99.29%).'
    """
    name = metrics.get("headline", "")
    estimate = metrics.get("test", {}).get(name)
    if not estimate:
        return ""
    value, low, high = _formatted(name, estimate)
    percent = "%" if PROPORTIONS.search(name) else ""
    interval = f" (95% interval {low} to {high}{percent})" if low else ""
    sentence = f"{metric_words(name)} {value}{percent} on {estimate['n']:,} test {unit}{interval}."
    return sentence[0].upper() + sentence[1:]


def verdict_sentence(metrics: Mapping[str, Any], unit: str = "rows") -> str:
    """The model against its best baseline, with both numbers; empty without a verdict.

    Example:
        >>> model, linear = ({"value": v, "low": v - 0.002, "high": v + 0.002, "n": 10000} for v in (0.991, 0.92))
        >>> baselines = {"logistic_regression": {"accuracy": linear}}
        >>> verdict_sentence({"headline": "accuracy", "test": {"accuracy": model}, "baselines": baselines,
        ...                   "verdict": "better", "p_value": 0.002})
        'Better than logistic regression: 99.10% against 92.00% on the same 10,000 test rows (p = 0.002).'
    """
    name, word = metrics.get("headline", ""), metrics.get("verdict")
    baselines = {key: scores[name] for key, scores in (metrics.get("baselines") or {}).items() if name in scores}
    estimate = metrics.get("test", {}).get(name)
    if not word or not estimate or not baselines:
        return ""
    against = metrics.get("best_baseline")
    if against not in baselines:
        sign = -1 if name.endswith(LOWER_IS_BETTER) else 1
        against = max(baselines, key=lambda key: sign * (baselines[key]["value"] or 0))
    percent = "%" if PROPORTIONS.search(name) else ""
    ours, theirs = (_formatted(name, scores)[0] + percent for scores in (estimate, baselines[against]))
    start = {"better": "Better than", "not shown": "Not shown to be better than", "worse": "Worse than"}[word]
    chance = f" ({p_words(metrics['p_value'])})" if metrics.get("p_value") is not None else ""
    rival = metric_words(against)
    return f"{start} {rival}: {ours} against {theirs} on the same {estimate['n']:,} test {unit}{chance}."


def p_words(p: float) -> str:
    """A p-value to read.

    >>> p_words(0.0312), p_words(0.4), p_words(1e-12)
    ('p = 0.031', 'p = 0.40', 'p < 0.0001')
    """
    if p < 0.0001:
        return "p < 0.0001"
    return f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.3f}" if p >= 0.001 else f"p = {p:.4f}"


def metric_words(name: str) -> str:
    """A metric's or baseline's name in words.

    >>> metric_words("balanced_accuracy"), metric_words("ndcg@10"), metric_words("top_5_accuracy")
    ('balanced accuracy', 'NDCG@10', 'top 5 accuracy')
    """
    return re.sub(r"\b(f1|ndcg|mrr|roc|auc)\b", lambda match: match[0].upper(), name.replace("_", " "))


def _formatted(name: str, estimate: Mapping[str, Any]) -> tuple[str, str, str]:
    """Value, low and high as text, with the digits that the interval's width can bear; percent for proportions."""
    factor = 100 if PROPORTIONS.search(name) else 1
    value, low, high = (estimate.get(key) for key in ("value", "low", "high"))
    if value is None:
        return "–", "", ""
    width = factor * (high - low) if low is not None and high is not None else 0
    digits = min(6, max(0, 1 - math.floor(math.log10(width)))) if width > 0 else 1 if factor == 100 else 3
    if low is None or high is None:
        return f"{factor * value:.{digits}f}", "", ""
    return tuple(f"{factor * number:.{digits}f}" for number in (value, low, high))


def _scores_table(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The test metrics: one row a metric, one column the model and one each baseline, cells (value, interval)."""
    models = {"model": metrics.get("test") or {}} | dict(metrics.get("baselines") or {})
    names = list(dict.fromkeys(name for scores in models.values() for name in scores))

    def cell(name: str, scores: Mapping[str, Any]) -> tuple[str, str]:
        if name not in scores:
            return "–", ""
        value, low, high = _formatted(name, scores[name])
        return value, f"{low} to {high}" if low else ""

    label = lambda name: metric_words(name) + (", %" if PROPORTIONS.search(name) else "")  # noqa: E731
    rows = [(label(name), [cell(name, scores) for scores in models.values()]) for name in names]
    counts = sorted({estimate["n"] for estimate in models["model"].values()})
    return {"models": [metric_words(name) for name in models], "rows": rows, "counts": counts}


def _cell(value: Any) -> str:
    """A table's cell as text; a float in four significant digits."""
    if value is None or value != value:  # NaN
        return "–"
    if not _is_number(value):
        return str(value)
    return f"{value:,}" if isinstance(value, Integral) else f"{value:,.4g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text)."""
    pairs = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            pairs.append((prefix + str(name), shown))
    return pairs


def _python_lines(run_directory: str, serving_input: str) -> str:
    use = f"predict({serving_input})" if serving_input else "print(predict.structured_input_signature)"
    return (
        "import tensorflow as tf\n\n"
        f"servable = tf.saved_model.load({f'{run_directory}/servable'!r})\n"
        'predict = servable.signatures["serving_default"]\n'
        f"{use}  # label, probability, probabilities"
    )
