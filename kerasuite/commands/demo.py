"""`kerasuite demo`: every pipeline on the sample data that comes with the package, and one table."""

from __future__ import annotations

import argparse
from pathlib import Path

from kerasuite import cli, run_directory, whole_files
from kerasuite.commands import run


def main(args: list[str]) -> int:
    """Run every pipeline with --sample; print a table and where the reports are."""
    parser = argparse.ArgumentParser("kerasuite demo", description=__doc__.split(": ", 1)[1])
    parser.add_argument("--output", type=Path, default=Path("runs"), help="folder for the runs; runs if not given")
    output = parser.parse_args(args).output
    finished = []
    for name in cli.pipelines():
        print(f"\n{name}", flush=True)
        module = cli.pipeline(name)
        run_dir = run_directory.create(None, output / name)
        finished.append(run.start(name, module.Config(**module.SAMPLE, output=str(run_dir))))
    print_table(finished)
    return 0


def print_table(run_dirs: list[Path]) -> None:
    """A row each run: how it did against its best baseline, and how long it took."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("pipeline", "test rows", "result and 95 % interval", "best baseline", "verdict", "seconds"):
        table.add_column(column)
    for run_dir in run_dirs:
        metrics = whole_files.read_json(run_dir / run_directory.METRICS)
        headline, best = metrics["headline"], metrics["best_baseline"]
        model, baseline = metrics["test"][headline], metrics["baselines"][best][headline]
        table.add_row(
            metrics["pipeline"],
            f"{metrics['examples']['test']:,}",
            f"{headline} {model['value']:.3f} ({model['low']:.3f} to {model['high']:.3f})",
            f"{best.replace('_', ' ')} {baseline['value']:.3f}",
            metrics["verdict"],
            f"{metrics['seconds']['total']:.0f}",
        )
    console = Console()
    console.print()
    console.print(table)
    for run_dir in run_dirs:
        print(f"Report: {(run_dir / run_directory.REPORT).resolve()}")
