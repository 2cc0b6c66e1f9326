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

from kerasuite.evaluation.intervals import Estimate

LOWER_IS_BETTER = ("loss", "error")  # how the names of such metrics end
PROPORTIONS = re.compile(r"accuracy$|^hit_rate|^recall|^precision")  # shown as percent


@dataclass(frozen=True)
class Figure:
    """A picture: the caption under it, PNG bytes, and the name of the file that it is also written to, if any."""

    caption: str
    png: bytes
    name: str = ""

    @property
    def source(self) -> str:
        """The picture as an address that holds it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Table:
    """A table: the caption over it, the names of its columns, and rows of cells (text, numbers or estimates)."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def is_numeric(self, column: int) -> bool:
        """Whether the column holds numbers alone, which stand to the right."""
        return all(row[column] is None or isinstance(row[column], Real | Estimate) for row in self.rows)


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
    serving_outputs: str = "label, probability, probabilities",
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
        serving_outputs: what the signature gives, by name.
        unit: what is counted: rows, or users.
        date: None is now.

    Returns:
        HTML, UTF-8 text. Writing it, to a temporary name and renamed, is left to the caller.
    """
    from jinja2 import Environment, StrictUndefined

    template = resources.files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {"cell": _cell, "interval": _interval, "words": metric_words, "paragraphs": _paragraphs}
    return page.from_string(template).render(
        title=title,
        date=date or datetime.now().strftime("%d %B %Y, %H:%M").lstrip("0"),
        summary=summary,
        headline=headline_sentence(metrics, unit),
        without_seen=without_seen_sentence(metrics, unit),
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
        python_lines=_python_lines(run_directory, serving_input, serving_outputs),
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
    sentence = _number_words(name, estimate, f"test {unit}", "95% interval ")
    return sentence[0].upper() + sentence[1:]


def without_seen_sentence(metrics: Mapping[str, Any], unit: str = "rows") -> str:
    """The headline, and the verdict, without the rows whose content was trained on; empty where there are none.

    Example:
        >>> whole = {"accuracy": {"value": 0.9, "low": 0.89, "high": 0.91, "n": 380}}
        >>> rest = {"accuracy": {"value": 0.88, "low": 0.87, "high": 0.89, "n": 360}}
        >>> without_seen_sentence({"headline": "accuracy", "test": whole, "without_seen": {"test": rest}})
        'Without the 20 rows that are also in train or validation: accuracy 88.0% on 360 rows (87.0 to 89.0%).'
    """
    name = metrics.get("headline", "")
    without = metrics.get("without_seen", {})
    rest = without.get("test", {}).get(name)
    if not rest:
        is_known = 0 < metrics.get("seen", 0) == metrics.get("test", {}).get(name, {}).get("n")
        return f"All of these {unit} are also in train or validation: nothing is shown of new ones." if is_known else ""
    seen = metrics["test"][name]["n"] - rest["n"]
    which = f"{seen:,} {unit} that are" if seen > 1 else f"one {unit.removesuffix('s')} that is"
    said = f"Without the {which} also in train or validation: {_number_words(name, rest, unit)}"
    return " ".join(filter(None, (said, verdict_sentence(without, unit))))


def _number_words(name: str, estimate: Mapping[str, Any], unit: str, kind: str = "") -> str:
    """A metric's number, count and interval, as the end of a sentence."""
    value, low, high = _formatted(name, estimate)
    percent = "%" if PROPORTIONS.search(name) else ""
    interval = f" ({kind}{low} to {high}{percent})" if low else ""
    return f"{metric_words(name)} {value}{percent} on {estimate['n']:,} {unit}{interval}."


def verdict_sentence(metrics: Mapping[str, Any], unit: str = "rows") -> str:
    """The model against its best baseline, with both numbers, and another that did better; empty without a verdict.

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
    goodness = lambda each: (-1 if name.endswith(LOWER_IS_BETTER) else 1) * (each["value"] or 0)  # noqa: E731
    ahead = max(baselines, key=lambda key: goodness(baselines[key]))
    against = metrics["best_baseline"] if metrics.get("best_baseline") in baselines else ahead
    percent = "%" if PROPORTIONS.search(name) else ""
    ours, theirs = (_formatted(name, scores)[0] + percent for scores in (estimate, baselines[against]))
    start = {"better": "Better than", "not shown": "Not shown to be better than", "worse": "Worse than"}[word]
    chance = f" ({p_words(metrics['p_value'])})" if metrics.get("p_value") is not None else ""
    rival = metric_words(against)
    said = f"{start} {rival}: {ours} against {theirs} on the same {estimate['n']:,} test {unit}{chance}."
    # The rival was chosen before the test was read, on which another may do better than both.
    if ahead != against and goodness(baselines[ahead]) > goodness(estimate):
        said += f" On these {unit} {metric_words(ahead)} has {_formatted(name, baselines[ahead])[0]}{percent}."
    return said


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
    """A table's cell as text; a float in four significant digits, an estimate's value in three decimals."""
    if isinstance(value, Estimate):
        return f"{value.value:.3f}" if math.isfinite(value.value) else "–"
    if value is None or value != value:  # NaN
        return "–"
    if not _is_number(value):
        return str(value)
    return f"{value:,}" if isinstance(value, Integral) else f"{value:,.4g}"


def _interval(value: Any) -> str:
    """The interval of an estimate as text; nothing of other cells."""
    if not isinstance(value, Estimate) or not math.isfinite(value.value + value.low + value.high):
        return ""
    return f"{value.low:.3f} to {value.high:.3f}"


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
            shown = "not given" if value is None else shown
            pairs.append((prefix + str(name), shown))
    return pairs


def _python_lines(run_directory: str, serving_input: str, serving_outputs: str) -> str:
    use = f"predict({serving_input})" if serving_input else "print(predict.structured_input_signature)"
    # Of a model that takes texts the tokenizer's operations are in a library of their own.
    also = "import tensorflow_text\n" if serving_input.startswith("texts=") else ""
    return (
        f"import tensorflow as tf\n{also}\n"
        f"servable = tf.saved_model.load({f'{run_directory}/servable'!r})\n"
        'predict = servable.signatures["serving_default"]\n'
        f"{use}  # {serving_outputs}"
    )
