"""The equal-tuning study: the same learning rates, tried by the same budget, for every method.

Cells are trained on seeds of their own and judged on the validation split, so that what the final
comparison reports has selected nothing.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import optuna
from rich.console import Console
from rich.table import Table

from bakeoff import provenance
from bakeoff.config import as_record
from bakeoff.records import RunDirectory, read_lines, write_json
from bakeoff.settings import flat
from benchmarks.launch import Job, run_jobs
from benchmarks.progress import MatrixProgress
from benchmarks.suite import Cell, Suite, load_suite, matrix

LEARNING_RATES = (1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3)
SEEDS = (1000, 1001)


@click.command()
@click.argument("suite", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/learning_rate"))
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1)
def main(suite: Path | None, out: Path, workers: int) -> None:
    """Tune the learning rate of every method of SUITE and write OUT/tuning.json."""
    declared = replace(load_suite(suite), seeds=SEEDS)
    trials = {rate: _cells(declared, rate) for rate in LEARNING_RATES}
    _run([cell for cells in trials.values() for cell in cells], out, workers)
    tuned = {method: _study(method, trials, out) for method in declared.methods}
    result = {
        "suite": declared.study,
        "seeds": list(SEEDS),
        "split": "validation",
        "metric": "pass@1",
        "git_revision": provenance.git_revision(),
        "machine": provenance.machine(),
        "methods": tuned,
    }
    write_json(out / "tuning.json", result)
    _print(tuned)


def _cells(suite: Suite, rate: float) -> list[Cell]:
    overrides = {"learning_rate": rate, "evaluation_split": "validation", "ood_problems": 0}
    return matrix(suite, overrides)


def _run(cells: Sequence[Cell], out: Path, workers: int) -> None:
    settings = out / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    jobs = []
    for cell in cells:
        file = settings / f"{cell.name}.json"
        file.write_text(json.dumps(flat(as_record(cell.config)) | {"method": cell.method}))
        if RunDirectory(out / cell.name).state != "finished":
            arguments = ("-m", "bakeoff", "train", "--config", str(file))
            jobs.append(
                Job(
                    name=cell.name,
                    arguments=(*arguments, "--out", str(out / cell.name), "--quiet"),
                    log=out / "logs" / f"{cell.name}.log",
                )
            )
    folders = {cell.name: out / cell.name for cell in cells}
    with MatrixProgress(Console(), folders, title="learning rates") as progress:
        run_jobs(jobs, workers=workers, on_tick=progress.tick)


def _study(method: str, trials: Mapping[float, Sequence[Cell]], out: Path) -> dict[str, object]:
    """The grid of one method as an Optuna study; a rate with a failed run is pruned."""

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_categorical("learning_rate", list(trials))
        scores = [_final_pass_rate(out / cell.name) for cell in trials[rate] if cell.arm == method]
        if None in scores:
            raise optuna.TrialPruned
        return statistics.fmean(score for score in scores if score is not None)

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.GridSampler({"learning_rate": list(trials)}),
    )
    study.optimize(objective)
    finished = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    found = {trial.params["learning_rate"]: trial.value for trial in finished}
    return {
        "learning_rate": study.best_params["learning_rate"],
        "trials": {f"{rate:g}": found.get(rate) for rate in sorted(trials)},
    }


def _final_pass_rate(path: Path) -> float | None:
    directory = RunDirectory(path)
    if directory.state != "finished":
        return None
    rows = [row for row in read_lines(directory.evaluations) if row["final"]]
    verdicts = [verdict for row in rows for verdict in row["correct"] if verdict is not None]
    return statistics.fmean(verdicts) if verdicts else None


def _print(tuned: Mapping[str, Mapping[str, object]]) -> None:
    table = Table("method", *(f"{rate:g}" for rate in LEARNING_RATES), "chosen")
    for method, result in tuned.items():
        trials = result["trials"]
        assert isinstance(trials, dict)
        cells = ["failed" if v is None else f"{v:.1%}" for v in trials.values()]
        table.add_row(method, *cells, f"{result['learning_rate']:g}")
    Console().print(table)


if __name__ == "__main__":
    main()
