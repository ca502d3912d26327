"""What a command prints at its end: the numbers of a report, for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bakeoff.records import read_json
from reports.evaluation import evaluation_metrics
from reports.verification import Verification
from reports.verification_tables import notes, verification_tables

PIPE_WIDTH = 116  # a pipe has no width of its own
MEANS = ("greedy", "maj@16", "pass@16", "ood_pass@1")
TRIALS = 8  # that are shown of a study; the report has all


def print_comparison(study: Path) -> None:
    """Prints a comparison's result and where its report lies."""
    summary = read_json(study / "report" / "summary.json")
    budget = summary["budget"]
    title = f"{summary['study']}: {budget['value']:,.0f} {budget['axis'].replace('_', ' ')} a cell"
    caption = "per cent; 95 % intervals over seeds and problems"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for heading in ("pass@1", "gain", *MEANS, "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, result in {"start": summary["start"], **summary["methods"]}.items():
        metrics = result["metrics"]
        table.add_row(
            f"{name} (n={result['n_seeds']})" if "n_seeds" in result else name,
            _interval(metrics.get("pass@1")),
            _interval(summary["gains"].get(name, {}).get("pass@1")),
            *(_mean(metrics.get(metric)) for metric in MEANS),
            f"{result['ledger']['device_seconds']:,.0f}" if "ledger" in result else "",
        )
    console = _console()
    console.print(table)
    _print_end(console, study, summary)


def print_ablation(study: Path, *, storage: str, tracking_uri: str | None) -> None:
    """Prints the best trials of an ablation, its report, and what opens its dashboards.

    Args:
        study: its folder.
        storage: of the trials.
        tracking_uri: of MLflow; None where nothing was tracked.
    """
    record = read_json(study / "study.json")
    trials = record["ablation"]["trials"]
    objectives = record["ablation"]["objectives"]
    complete = [trial for trial in trials if trial["state"] == "complete"]
    best = sorted(complete, key=lambda trial: -trial["values"][objectives[0]])
    caption = f"{len(complete)} of {len(trials)} trials complete; the best by {objectives[0]}"
    table = Table(title=record["ablation"]["title"], caption=caption, box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for heading in (*objectives, "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for trial in best[:TRIALS]:
        values = (f"{trial['values'][name]:,.4g}" for name in objectives)
        table.add_row(trial["arm"], *values, f"{trial['cost']['device_seconds']:,.0f}")
    console = _console()
    console.print(table)
    console.print(f"optuna-dashboard {storage}", soft_wrap=True, highlight=False)
    if tracking_uri is not None:
        console.print(
            f"mlflow ui --backend-store-uri {tracking_uri}", soft_wrap=True, highlight=False
        )
    _print_end(console, study, {"gate": {"passed": record["gate"]["passed"], "failed": []}})


def print_evaluation(directory: Path) -> None:
    """Prints a policy's metrics, one column a split."""
    found = evaluation_metrics(directory)
    table = Table("", *found)
    for name in dict.fromkeys(name for metrics in found.values() for name in metrics):
        table.add_row(name, *(f"{m[name]:.4g}" if name in m else "" for m in found.values()))
    Console().print(table)


def print_verification(found: Verification) -> None:
    """Prints what choosing among the responses of a file is worth."""
    console = _console()
    for table in verification_tables(found):
        shown = Table(*map(escape, table.columns))
        for row in table.rows:
            shown.add_row(*(escape(entry.plain) for entry in row))
        console.print(shown)
    for note in notes(found):
        console.print(escape(note))


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def _print_end(console: Console, study: Path, summary: Mapping[str, Any]) -> None:
    if not summary["gate"]["passed"]:
        console.print("[bold red]NOT COMPARABLE:[/] " + "; ".join(summary["gate"]["failed"]))
    console.print(f"report: {study / 'report' / 'report.html'}", soft_wrap=True)


def _mean(value: Mapping[str, float] | None) -> str:
    return "" if value is None or value["mean"] is None else f"{value['mean'] * 100:.1f}"


def _interval(value: Mapping[str, float] | None) -> str:
    if value is None or value["mean"] is None:
        return ""
    return f"{_mean(value)} [{value['low'] * 100:.1f}, {value['high'] * 100:.1f}]"
