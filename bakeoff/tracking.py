"""The MLflow mirror of a study's records, in a process of its own.

The records are the truth. The mirror reads them, so a tracking server that is slow, down or gone
neither stops nor delays a run, and mirroring again later loses nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from bakeoff.errors import BakeoffError
from bakeoff.records import Row, RunDirectory, read_json, read_lines, write_json

POLL_SECONDS = 2.0
CLOSE_SECONDS = 60.0  # that a finished study waits for its mirror before it goes on without it
METRICS_PER_BATCH = 1000  # MLflow's limit of one request
PARAMETER_CHARACTERS = 500
_ALLOWED = re.compile(r"[^A-Za-z0-9_\-. /]")


class Mirror:
    """Starts the mirroring process with the study and waits a little for it at the end."""

    def __init__(self, study: Path, *, uri: str, enabled: bool) -> None:
        self._study = study
        self._uri = uri
        self._enabled = enabled
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Mirror:
        if self._enabled:
            self._study.mkdir(parents=True, exist_ok=True)
            with (self._study / "mlflow.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "bakeoff.tracking", str(self._study), self._uri],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # MLflow's own default is to knock for four minutes at a server that is gone.
                    env={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3"}
                    | os.environ
                    | {"OMP_NUM_THREADS": "1"},
                    start_new_session=True,
                )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process is None:
            return
        if kind is not None:
            self._process.terminate()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _StudyRuns:
    """The MLflow runs of one study: a parent, a child a cell, and trials between them if it has."""

    def __init__(self, study: Path, uri: str) -> None:
        # A heavy import, and only this process needs it.
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        self._study = study
        self._uri = uri
        # What is mirrored already, so that a study run again adds and does not repeat.
        self._state_file = study / "mlflow.json"
        stored = read_json(self._state_file) if self._state_file.exists() else {}
        self._state: dict[str, Any] = stored if stored.get("uri") == uri else {"uri": uri}
        self._state.setdefault("cells", {})
        self._state.setdefault("trials", {})

    def follow(self) -> None:
        """Mirrors until the study is finished, then logs its report and ends the runs.

        It stops early when the process that started it has died: nobody else would end it.
        """
        parent = os.getppid()
        while os.getppid() == parent:
            # Read before mirroring: what was written before the end is then mirrored too.
            record = read_json(self._study / "study.json")
            self._ensure_parent(record)
            for trial in record.get("ablation", {}).get("trials", ()):
                self._mirror_trial(record, trial)
            for cell in record["cells"]:
                self._mirror_cell(record, self._study / cell["directory"], cell)
                write_json(self._state_file, self._state)
            if record["state"] == "finished":
                self._close(record)
                write_json(self._state_file, self._state)
                return
            time.sleep(POLL_SECONDS)

    def _ensure_parent(self, record: Row) -> None:
        if "parent" in self._state:
            return
        experiment = self._client.get_experiment_by_name(record["study"])
        experiment_id = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(
                record["study"], artifact_location=_artifact_location(self._study, self._uri)
            )
        )
        run = self._client.create_run(experiment_id, run_name=record["study"])
        self._state |= {"experiment": experiment_id, "parent": run.info.run_id}
        self._log_parameters(
            run.info.run_id, {name: record[name] for name in ("task", "model", "budget", "command")}
        )

    def _mirror_trial(self, record: Row, trial: Row) -> None:
        if trial["state"] == "waiting":
            return
        number = str(trial["number"])
        if number not in self._state["trials"]:
            run = self._client.create_run(
                self._state["experiment"],
                run_name=f"trial {number}: {trial['arm']}",
                tags={
                    "mlflow.parentRunId": self._state["parent"],
                    "study": record["study"],
                    "trial": number,
                },
            )
            self._state["trials"][number] = {"run": run.info.run_id, "seeds": 0, "ended": ""}
            self._log_parameters(run.info.run_id, trial["levels"])
        state = self._state["trials"][number]
        for step, value in enumerate(trial["intermediate"], start=1):
            if step > state["seeds"]:
                self._client.log_metric(state["run"], "intermediate", value, step=step)
                state["seeds"] = step
        if trial["state"] not in ("running", state["ended"]):
            self._end_trial(state["run"], trial)
            state["ended"] = trial["state"]

    def _end_trial(self, run: str, trial: Row) -> None:
        self._client.set_tag(run, "state", trial["state"])
        self._client.set_tag(run, "reason", trial["reason"])
        for name, value in (trial["values"] or {}).items():
            self._client.log_metric(run, metric_name(name), value)
        for name, value in trial["cost"].items():
            self._client.log_metric(run, metric_name(f"cost/{name}"), value)
        self._client.set_terminated(run, "FAILED" if trial["state"] == "failed" else "FINISHED")

    def _mirror_cell(self, record: Row, path: Path, cell: Row) -> None:
        directory = RunDirectory(path)
        if not directory.config.exists():
            return
        if path.name not in self._state["cells"]:
            run = self._client.create_run(
                self._state["experiment"],
                run_name=path.name,
                tags={
                    "mlflow.parentRunId": self._parent_of(cell),
                    "method": cell["method"],
                    "seed": str(cell["seed"]),
                    "study": record["study"],
                },
            )
            self._state["cells"][path.name] = {"run": run.info.run_id, "batch": 0, "ended": ""}
            self._log_parameters(run.info.run_id, read_json(directory.config))
        state = self._state["cells"][path.name]
        self._log_metrics(state, directory)
        now = directory.state
        if now not in ("finished", "failed"):
            state["ended"] = ""  # a failed cell that continues will end again
        elif state["ended"] != now:
            self._end_cell(state, directory, finished=now == "finished")
            state["ended"] = now

    def _parent_of(self, cell: Row) -> str:
        parent = self._state["trials"].get(str(cell.get("trial")), {"run": self._state["parent"]})
        return str(parent["run"])

    def _log_metrics(self, state: dict[str, Any], directory: RunDirectory) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = []
        for row in read_lines(directory.metrics):
            if row["batch"] > state["batch"]:
                state["batch"] = row["batch"]
                metrics += [
                    Metric(metric_name(name), value, now, row["batch"])
                    for name, value in _numbers(row)
                ]
        for start in range(0, len(metrics), METRICS_PER_BATCH):
            chunk = metrics[start : start + METRICS_PER_BATCH]
            self._client.log_batch(state["run"], metrics=chunk)

    def _end_cell(self, state: dict[str, Any], directory: RunDirectory, *, finished: bool) -> None:
        for name, value in (
            _numbers(read_json(directory.ledger)) if directory.ledger.exists() else ()
        ):
            self._client.log_metric(state["run"], metric_name(f"ledger/{name}"), value)
        for file in (directory.config, directory.ledger):
            if file.exists():
                self._client.log_artifact(state["run"], str(file))
        self._client.set_terminated(state["run"], "FINISHED" if finished else "FAILED")

    def _close(self, record: Row) -> None:
        report = self._study / "report"
        if report.exists():
            self._client.log_artifacts(self._state["parent"], str(report), "report")
            means = {
                metric_name(f"{method}/{name}"): interval["mean"]
                for method, result in read_json(report / "summary.json").get("methods", {}).items()
                for name, interval in result["metrics"].items()
                if interval["mean"] is not None
            }
            shares = record.get("ablation", {}).get("importances") or {}
            means |= {metric_name(f"importance/{name}"): share for name, share in shares.items()}
            if self._state.get("means") != means:  # MLflow keeps every value it is given
                for name, mean in means.items():
                    self._client.log_metric(self._state["parent"], name, mean)
                self._state["means"] = means
        self._client.log_dict(self._state["parent"], record, "study.json")
        self._client.set_terminated(self._state["parent"], "FINISHED")

    def _log_parameters(self, run: str, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        parameters = [
            Param(metric_name(name), str(value)[:PARAMETER_CHARACTERS])
            for name, value in _leaves(settings)
        ]
        for start in range(0, len(parameters), 100):
            self._client.log_batch(run, params=parameters[start : start + 100])


def _artifact_location(study: Path, uri: str) -> str | None:
    """Beside the study; MLflow's choice for a file store is the folder one happens to be in."""
    local = uri.startswith("sqlite:")
    return (study.resolve().parent / "mlflow-artifacts").as_uri() if local else None


def metric_name(name: str) -> str:
    """A name that MLflow accepts: letters, digits and ``_-. /``, at most 250 characters."""
    return _ALLOWED.sub("_", name.replace("@", "_at_"))[:250]


def _numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in _leaves(row):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _leaves(item, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", item


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("uri")
def main(study: Path, uri: str) -> None:
    """Mirror a study's records to an MLflow server until the study is finished."""
    while not (study / "study.json").exists():
        time.sleep(POLL_SECONDS)
    try:
        _StudyRuns(study, uri).follow()
    except BakeoffError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
