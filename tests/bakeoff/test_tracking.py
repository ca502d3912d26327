"""The mirror against real MLflow stores, from records made by hand."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from bakeoff.records import RunDirectory, append_lines, read_json, write_json
from bakeoff.tracking import Mirror, metric_name

CELLS = {"rft-s0-aaaaaaaaaa": ("rft", 0), "my (own):method-s1-bbbbbbbbbb": ("m.py:Mine", 1)}


def write_study(folder: Path, *, state: str = "finished") -> None:
    """Two cells of two batches, one of them with odd names, and a report."""
    folder.mkdir(parents=True)
    write_json(
        folder / "study.json",
        {
            "study": "toy",
            "state": state,
            "task": "arithmetic",
            "model": "builtin",
            "budget": {"axis": "sampled_tokens", "value": 100},
            "cells": [
                {"method": method, "seed": seed, "directory": name}
                for name, (method, seed) in CELLS.items()
            ],
            "command": "bakeoff compare",
        },
    )
    for name, (method, seed) in CELLS.items():
        write_cell(folder / name, method, seed)
    (folder / "report" / "figures").mkdir(parents=True)
    (folder / "report" / "figures" / "curve.svg").write_text("<svg/>")
    write_json(
        folder / "report" / "summary.json",
        {
            "methods": {
                "rft": {"metrics": {"pass@1": {"mean": 0.25}, "maj@16": {"mean": None}}},
                "m.py:Mine": {"metrics": {"pass@1": {"mean": 0.5}}},
            }
        },
    )


def write_cell(folder: Path, method: str, seed: int, *, state: Any = "finished") -> None:
    folder.mkdir()
    run = RunDirectory(folder)
    write_json(
        run.config,
        {
            "method": method,
            "method_settings": {"group_size": 8},
            "seeds": {"seed": seed},
            "conventions": {"loss": "x" * 900},
        },
    )
    append_lines(
        run.metrics,
        [
            {"batch": batch, "reward": batch / 4, "pass@1 (greedy):x": 0.5, "kl": None, "ok": True}
            | {"seconds": {"update": 1.5 * batch}}
            for batch in (1, 2)
        ],
    )
    write_json(run.ledger, {"sampled_tokens": 100, "seconds": {"sample": 2.5}})
    run.write_status(state, progress=1.0)


def runs_of(uri: str) -> Mapping[str, Any]:
    """Run name -> run, of the only experiment."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("toy")
    runs = client.search_runs([experiment.experiment_id])
    names = {run.info.run_name: run for run in runs}
    assert len(names) == len(runs), "a run was made twice"
    return names


def history(uri: str, run: Any, metric: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    found = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, metric)
    return [(point.step, point.value) for point in found]


def artifacts(uri: str, run: Any, folder: str | None = None) -> set[str]:
    from mlflow import MlflowClient

    files = MlflowClient(tracking_uri=uri).list_artifacts(run.info.run_id, folder)
    return {file.path for file in files}


def mirror(folder: Path, uri: str) -> None:
    with Mirror(folder, uri=uri, enabled=True):
        pass


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty SQLite store; artifacts go beside it."""
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pass@1", "pass_at_1"),
        ("ood_pass@16", "ood_pass_at_16"),
        ("mine.py:Mine/pass@1", "mine.py_Mine/pass_at_1"),
        ("kl (k3)", "kl _k3_"),
        ("a-b_c./d e", "a-b_c./d e"),
        ("π", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_a_name_becomes_one_that_mlflow_accepts(name: str, expected: str) -> None:
    assert metric_name(name) == expected


def test_a_mirror_that_is_off_does_nothing(tmp_path: Path) -> None:
    with Mirror(tmp_path / "study", uri="sqlite:///none.db", enabled=False):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_finished_study_is_mirrored_once(tmp_path: Path, store: str) -> None:
    study = tmp_path / "study"
    write_study(study)
    mirror(study, store)
    runs = runs_of(store)
    assert runs.keys() == {"toy", *CELLS}
    parent = runs["toy"]
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {
        "task": "arithmetic",
        "model": "builtin",
        "budget/axis": "sampled_tokens",
        "budget/value": "100",
        "command": "bakeoff compare",
    }
    # A metric without a mean is left out.
    assert parent.data.metrics == {"rft/pass_at_1": 0.25, "m.py_Mine/pass_at_1": 0.5}
    assert artifacts(store, parent) == {"report", "study.json"}
    # Nothing lands where the command happened to be typed.
    assert {path.name for path in tmp_path.iterdir()} == {"study", "mlflow.db", "mlflow-artifacts"}
    assert artifacts(store, parent, "report/figures") == {"report/figures/curve.svg"}
    for name, (method, seed) in CELLS.items():
        child = runs[name]
        assert child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert (child.data.tags["method"], child.data.tags["seed"]) == (method, str(seed))
        assert child.data.params["method_settings/group_size"] == "8"
        assert child.data.params["conventions/loss"] == "x" * 500
        assert history(store, child, "reward") == [(1, 0.25), (2, 0.5)]
        assert history(store, child, "pass_at_1 _greedy__x") == [(1, 0.5), (2, 0.5)]
        assert history(store, child, "seconds/update") == [(1, 1.5), (2, 3.0)]
        assert {"kl", "ok"} & child.data.metrics.keys() == set()  # no numbers
        assert child.data.metrics["ledger/sampled_tokens"] == 100
        assert child.data.metrics["ledger/seconds/sample"] == 2.5
        assert artifacts(store, child) == {"config.json", "ledger.json"}

    # The study goes on for a batch; what is there already is not repeated.
    first = RunDirectory(study / next(iter(CELLS)))
    append_lines(first.metrics, [{"batch": 3, "reward": 0.75}])
    mirror(study, store)
    again = runs_of(store)
    assert {name: run.info.run_id for name, run in again.items()} == {
        name: run.info.run_id for name, run in runs.items()
    }
    cell, other = (again[name] for name in CELLS)
    assert history(store, cell, "reward") == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert history(store, other, "reward") == [(1, 0.25), (2, 0.5)]
    assert history(store, cell, "ledger/sampled_tokens") == [(0, 100)]
    assert history(store, again["toy"], "rft/pass_at_1") == [(0, 0.25)]


@pytest.mark.slow
def test_trials_of_an_ablation_stand_between_the_study_and_its_cells(
    tmp_path: Path, store: str
) -> None:
    study = tmp_path / "study"
    write_study(study)
    first, second = CELLS
    record = read_json(study / "study.json")
    trials = [
        {
            "number": 0,
            "arm": "group_size=4",
            "levels": {"group_size": 4},
            "state": "complete",
            "reason": "",
            "values": {"pass@1": 0.5},
            "intermediate": [0.25, 0.5],
            "cost": {"sampled_tokens": 200.0},
        },
        {
            "number": 1,
            "arm": "group_size=8",
            "levels": {"group_size": 8},
            "state": "pruned",
            "reason": "out of memory: 8 groups",
            "values": None,
            "intermediate": [],
            "cost": {"sampled_tokens": 50.0},
        },
        {"number": 2, "arm": "group_size=16", "levels": {"group_size": 16}, "state": "waiting"},
    ]
    cells = [cell | {"trial": number} for number, cell in enumerate(record["cells"])]
    ablation = {"trials": trials, "importances": {"group_size": 0.75}}
    write_json(study / "study.json", record | {"cells": cells, "ablation": ablation})
    mirror(study, store)
    mirror(study, store)  # adds nothing
    runs = runs_of(store)
    assert runs.keys() == {"toy", *CELLS, "trial 0: group_size=4", "trial 1: group_size=8"}
    parent, complete, pruned = (
        runs[name] for name in ("toy", "trial 0: group_size=4", "trial 1: group_size=8")
    )
    assert parent.data.metrics["importance/group_size"] == 0.75
    assert complete.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert runs[first].data.tags["mlflow.parentRunId"] == complete.info.run_id
    assert runs[second].data.tags["mlflow.parentRunId"] == pruned.info.run_id
    assert complete.data.params == {"group_size": "4"}
    assert history(store, complete, "intermediate") == [(1, 0.25), (2, 0.5)]
    assert history(store, complete, "pass_at_1") == [(0, 0.5)]
    assert complete.data.metrics["cost/sampled_tokens"] == 200
    assert pruned.data.tags["state"] == "pruned"
    assert pruned.data.tags["reason"] == "out of memory: 8 groups"
    assert (complete.info.status, pruned.info.status) == ("FINISHED", "FINISHED")


@pytest.mark.slow
def test_a_running_study_is_followed_to_its_end(tmp_path: Path, store: str) -> None:
    study = tmp_path / "study"
    write_study(study, state="running")
    name = next(iter(CELLS))
    run = RunDirectory(study / name)
    run.write_status("failed", message="out of memory")
    with Mirror(study, uri=store, enabled=True):
        state = study / "mlflow.json"
        wait_until(lambda: state.exists() and len(read_json(state)["cells"]) == 2)
        time.sleep(2 * 2.0 + 1)  # two rounds in which nothing happens
        run.write_status("running")
        append_lines(run.metrics, [{"batch": 3, "reward": 1.0}])
        wait_until(lambda: read_json(state)["cells"][name]["batch"] == 3)
        run.write_status("finished")
        write_json(study / "study.json", read_json(study / "study.json") | {"state": "finished"})
    child = runs_of(store)[name]
    assert child.info.status == "FINISHED"
    assert history(store, child, "reward") == [(1, 0.25), (2, 0.5), (3, 1.0)]
    # Once when it failed and once when it finished, not at every look.
    assert history(store, child, "ledger/sampled_tokens") == [(0, 100), (0, 100)]


@pytest.mark.slow
def test_a_server_that_is_gone_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    study = tmp_path / "study"
    write_study(study)
    start = time.monotonic()
    mirror(study, "http://127.0.0.1:9")
    assert time.monotonic() - start < 40
    assert "127.0.0.1" in (study / "mlflow.log").read_text()
    assert not (study / "mlflow.json").exists()  # nothing is thought to be mirrored


@pytest.mark.slow
def test_an_error_in_the_study_ends_the_mirror_at_once(tmp_path: Path, store: str) -> None:
    study = tmp_path / "study"
    write_study(study, state="running")
    with pytest.raises(KeyboardInterrupt), Mirror(study, uri=store, enabled=True):
        (process,) = mirrors_of(study)
        start = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - start < 10
    assert not process.is_running()


@pytest.mark.slow
def test_a_mirror_does_not_outlive_a_killed_study(tmp_path: Path, store: str) -> None:
    study = tmp_path / "study"
    write_study(study, state="running")
    code = f"""
import os, time
from pathlib import Path
from bakeoff.tracking import Mirror
Mirror(Path({str(study)!r}), uri={store!r}, enabled=True).__enter__()
while not Path({str(study / "mlflow.json")!r}).exists():
    time.sleep(0.1)
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", code], env=python_path(), timeout=120)
    assert ended.returncode == -9
    wait_until(lambda: not mirrors_of(study), seconds=20)


def python_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def mirrors_of(study: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        arguments = process.info["cmdline"] or []
        if "bakeoff.tracking" in arguments and str(study) in arguments:
            found.append(process)
    return found


def wait_until(happened: Any, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
