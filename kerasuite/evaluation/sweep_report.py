"""The report of a sweep: what was tried, what came of it, and what the winner does on the test rows."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasuite import run_directory, whole_files
from kerasuite.evaluation import drawing, importance, intervals
from kerasuite.evaluation.report import Figure, Section, Table, render_report
from kerasuite.evaluation.sweep_display import SweepDisplay


def write(
    sweep_dir: Path,
    *,
    pipeline: str,
    objective: str,
    higher_is_better: bool,
    trials: Sequence[Mapping[str, Any]],
    reruns: Mapping[str, Sequence[float]],
    winner: str,
    num_validation: int,
    search: Mapping[str, Any],
    command: str,
    repeat: str,
    seconds: float,
    final: Path,
    failed_again: Sequence[tuple[str, str]] = (),
) -> None:
    """Write report.html of a sweep.

    Args:
        trials: one dict a trial, as SweepDisplay takes them, with epochs and reason.
        reruns: the values that fresh seeds gave, by the trial's name.
        winner: the trial whose settings were run.
        num_validation: rows that the objective was measured on.
        command: of the sweep.
        repeat: the command that repeats the final run.
        final: the directory of that run.
        failed_again: trainings with fresh seeds that failed, each with the reason.
    """
    display = SweepDisplay.from_trials(trials, objective, higher_is_better=higher_is_better)
    metrics = whole_files.read_json(final / run_directory.METRICS) if (final / run_directory.METRICS).is_file() else {}
    environment = final / run_directory.ENVIRONMENT
    chosen = next(trial for trial in trials if trial["name"] == winner)
    page = render_report(
        title=f"Sweep of {pipeline}",
        summary=_summary(display, reruns, chosen, search["tuner"], num_validation, seconds),
        metrics=metrics,
        warnings=_warnings(trials, failed_again, search["tuner"]),
        sections=[
            _again(
                trials,
                reruns,
                chosen,
                objective,
                num_validation,
                search,
                higher_is_better=higher_is_better,
                num_failed=len({name.split("_")[0] for name, _ in failed_again}),
            ),
            Section("The course of the sweep", _counts(trials), [Figure("", drawing.png(display), "")]),
            _settings(display, objective),
            _all_trials(trials, objective),
            Section("Commands", f"The sweep again:\n\n{command}\n\nIts best run again:\n\n{repeat}"),
        ],
        config={f"sweep.{name}": value for name, value in search.items()} | dict(chosen["values"]),
        environment=whole_files.read_json(environment) if environment.is_file() else {},
        command=repeat,
        run_directory=str(final),
    )
    whole_files.write(sweep_dir / run_directory.REPORT, page)


def _summary(display: SweepDisplay, reruns, chosen, tuner: str, num_validation: int, seconds: float) -> str:
    again = reruns[chosen["name"]]
    values = ", ".join(f"{value:.4f}" for value in again)
    settings = ", ".join(f"{name} {_shown(value)}" for name, value in chosen["values"].items())
    best = display.best_so_far[-1]
    is_best = chosen["value"] == best
    flattered = ", the best of many and so flattered" if is_best else f", where others came to {best:.4f}"
    return (
        f"{len(display.trials)} trials ({tuner}) in {seconds / 60:.0f} min, chosen by {display.objective} on "
        f"{num_validation:,} validation rows; the test rows were read by one run only, that of the chosen settings "
        f"({settings}). In the sweep these reached {chosen['value']:.4f}{flattered}; trained again with fresh seeds "
        f"{statistics.fmean(again):.4f} ({values}){f', the best of {len(reruns)} such means' * (len(reruns) > 1)}."
    )


def _again(
    trials,
    reruns,
    chosen,
    objective: str,
    num_validation: int,
    search: Mapping[str, Any],
    *,
    higher_is_better: bool,
    num_failed: int = 0,
) -> Section:
    rows = []
    for trial in trials:
        if trial["name"] in reruns:
            again = list(reruns[trial["name"]])
            told = ", ".join(f"{value:.4f}" for value in again)
            settings = ", ".join(f"{name} {_shown(value)}" for name, value in trial["values"].items())
            rows.append((trial["name"], settings, trial["value"], statistics.fmean(again), told))
    rows.sort(key=lambda row: row[3], reverse=higher_is_better)
    columns = ("trial", "settings", "in the sweep", "mean of fresh seeds", "each")
    text = "The best of many trials is the best partly by luck: the mean of trainings with fresh seeds decides."
    could = min(search["best"], sum(trial["status"] == "finished" for trial in trials))
    if search["minutes"] is not None and len(reruns) + num_failed < could:
        text += f" There was no time for the best {could}: {len(reruns)} could be trained again."
    if objective == "val_accuracy":
        text += _certainty(
            {name: statistics.fmean(values) for name, values in reruns.items()}, chosen["name"], num_validation
        )
    return Section("The best, trained again", text, tables=[Table(objective, columns, rows)])


def _certainty(means: Mapping[str, float], winner: str, num_validation: int) -> str:
    """How far so many rows can tell the winner from the others."""
    found = intervals.wilson(round(means[winner] * num_validation), num_validation)
    alike = [name for name, mean in means.items() if name != winner and mean >= found.low]
    told = f" Its {num_validation:,} rows put the winner's between {found.low:.4f} and {found.high:.4f} (95 %)"
    if len(means) == 1:
        return f"{told}."
    if not alike:
        return f"{told}, above the means of all others trained again; how far seeds differ is not in that."
    return f"{told}: by them trial{'s' if len(alike) > 1 else ''} {', '.join(alike)} may be as good."


def _settings(display: SweepDisplay, objective: str) -> Section:
    # Of several rounds of one training the last counts.
    last = {trial["run"]: trial for trial in display.trials}.values()
    done = [trial for trial in last if trial["status"] == "finished"]
    found = importance.importance([trial["values"] for trial in done], [trial["value"] for trial in done])
    why = "all have one value" if len(done) >= importance.FEWEST_TRIALS else f"{importance.FEWEST_TRIALS} are needed"
    few = f"Which settings mattered cannot be told by {len(done)} finished trials; {why}."
    picture = Figure(
        "Circles were trained to their end; crosses were paused, or stopped as hopeless.",
        drawing.png(_Settings(display)),
        "",
    )
    if found is None:
        return Section("Settings against the objective", few, [picture])
    rows = [(name, loss, spread) for name, (loss, spread) in found.lost.items()]
    table = Table("Loss of R² where a setting is shuffled", ("setting", "loss", "standard deviation"), rows)
    return Section("Settings against the objective", found.sentence, [picture], [table])


class _Settings:
    """The second picture of a display, to be drawn as the first is."""

    def __init__(self, display: SweepDisplay):
        self.plot = display.plot_settings


def _counts(trials) -> str:
    number = Counter(trial["status"] for trial in trials)
    told = {
        "finished": "trained to their end",
        "paused": "paused by hyperband",
        "stopped": "stopped as hopeless, by the median rule",
        "failed": "failed",
    }
    return "; ".join(f"{number[status]} {words}" for status, words in told.items() if number[status]) + "."


def _warnings(trials, failed_again: Sequence[tuple[str, str]], tuner: str) -> list[str]:
    reasons = Counter(trial["reason"] for trial in trials if trial["status"] == "failed")
    found = [f"{number} trial{'s' if number > 1 else ''} failed: {reason}" for reason, number in reasons.items()]
    found += [f"{name} failed, so these settings could not win: {reason}" for name, reason in failed_again]
    if tuner == "hyperband" and all(trial["status"] != "finished" for trial in trials):
        most = max(trial["epochs"] for trial in trials)
        found.append(
            f"No trial came to hyperband's last round: the winner was chosen by {most} epochs. More --trials, or fewer "
            "--epochs, let the better ones go on."
        )
    return found


def _all_trials(trials, objective: str) -> Section:
    names = list(dict.fromkeys(name for trial in trials for name in trial["values"]))
    rows = [
        (
            trial["name"],
            *(trial["values"].get(name) for name in names),
            trial["value"],
            trial["epochs"],
            round(trial["seconds"], 1),
            trial["reason"] or trial["status"],
        )
        for trial in trials
    ]
    columns = ("trial", *names, objective, "epochs", "seconds", "status")
    return Section("All trials", tables=[Table("", columns, rows)])


def _shown(value: Any) -> str:
    """A setting's value as text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
