"""A whole ablation in real processes, on random weights: stopped, killed, continued, extended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
import yaml

from ablations.run import AblateOptions, run_ablation
from ablations.storage import TrialQueue, default_storage
from ablations.study import load_ablation
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.records import RunDirectory, read_json, read_lines

ROOT = Path(__file__).parents[2]
GRACE_SECONDS = 6
# As the command does, but for a shorter time until a silent worker is taken for dead.
RUN = f"""
import sys
from pathlib import Path
from ablations.run import AblateOptions, run_ablation
options = AblateOptions(
    out=Path(sys.argv[2]), workers=2, tracking=False, grace_seconds={GRACE_SECONDS}
)
run_ablation(sys.argv[1], overrides={{}}, options=options, write_report=lambda folder: folder)
"""

# Arithmetic, but what it calls gold is wrong: the gate has to see it.
WRONG_GOLD = """
from bakeoff.tasks.arithmetic_task import ArithmeticTask


class WrongGold(ArithmeticTask):
    name = "wrong_gold"

    def gold_response(self, problem):
        return f"#{int(problem.answer) + 1}"
"""


@pytest.fixture
def file(declare, tmp_path: Path) -> Path:
    """Of a study of three Sobol points."""
    study = declare(
        design="quasi_random",
        trials=3,
        seeds=[1000],
        factors={
            "kl_coefficient": {"low": 0.01, "high": 0.1, "log": True, "baseline": 0.04},
            "group_size": {"levels": [2, 4]},
        },
    )
    declared = json.loads(json.dumps(asdict(study)))
    written = tmp_path / "tiny.yaml"
    written.write_text(yaml.safe_dump(declared))
    return written


def start(*command: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            start_new_session=True,  # as a shell gives every command a group of its own
        )


def until(true: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while not true():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def training(folder: Path) -> list[psutil.Process]:
    """Processes of cells that have begun."""
    return [
        process
        for process in of_the_study(folder)
        if "train" in process.info["cmdline"] and any(folder.glob("grpo-*/config.json"))
    ]


def of_the_study(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in part for part in process.info["cmdline"] or ())
    ]


def latest_states(study: Path, ablation_file: Path) -> dict[int, str]:
    queue = TrialQueue(
        load_ablation(str(ablation_file)),
        default_storage(study),
        folder=study,
        name=read_json(study / "ablation.json")["name"],
    )
    return {index: trial.state.name for index, trial in queue.latest().items()}


@pytest.mark.slow
def test_a_study_that_is_stopped_and_killed_and_extended_is_done_once(
    file: Path, tmp_path: Path
) -> None:
    study, log = tmp_path / "study", tmp_path / "log"
    command = ("-c", RUN, str(file), str(study))

    # Ctrl-C in the middle of a cell: nothing is left running, and nothing has to be waited for.
    process = start(*command, log=log)
    until(lambda: training(study), process, log)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    assert of_the_study(study) == []
    assert set(latest_states(study, file).values()) == {"WAITING"}
    assert read_json(study / "study.json")["gate"]["passed"] is True

    # The machine goes down: the trials stay marked as running until the grace period is over.
    process = start(*command, log=log)
    until(lambda: training(study), process, log)
    for one in of_the_study(study):
        one.kill()
    process.wait(60)
    assert "RUNNING" in latest_states(study, file).values()

    process = start(*command, log=log)
    assert process.wait(300) == 0, log.read_text()
    assert f"without a sign of life for {GRACE_SECONDS} s start again" in log.read_text()
    assert of_the_study(study) == []
    assert latest_states(study, file) == {0: "COMPLETE", 1: "COMPLETE", 2: "COMPLETE"}
    record = read_json(study / "study.json")
    assert record["state"] == "finished"
    trials = record["ablation"]["trials"]
    assert [trial["state"] for trial in trials] == ["complete"] * 3
    assert all(trial["cost"]["sampled_tokens"] > 0 for trial in trials)
    cells = [RunDirectory(study / cell["directory"]) for cell in record["cells"]]
    assert len(cells) == 3
    for cell in cells:
        assert [row["batch"] for row in read_lines(cell.metrics)] == [1, 2]
        assert {row["split"] for row in read_lines(cell.evaluations)} == {"validation"}
    start_rows = list(read_lines(study / "start" / "evaluations.jsonl"))
    assert {(row["seed"], row["split"]) for row in start_rows} == {(1000, "validation")}

    # The same command once more, by its own name and for one trial more: only that one is run.
    written = [f for cell in cells for f in (cell.metrics, cell.evaluations, cell.ledger)]
    before = {path: path.stat().st_mtime_ns for path in written}
    address = default_storage(study)
    process = start(
        *("-m", "bakeoff", "ablate", str(file), "--out", str(study), "--trials", "4"),
        *("--workers", "1", "--no-tracking", "--storage", address),
        log=log,
    )
    assert process.wait(300) == 0, log.read_text()
    assert {path: path.stat().st_mtime_ns for path in written} == before
    assert set(latest_states(study, file).values()) == {"COMPLETE"}
    assert sorted(latest_states(study, file)) == [0, 1, 2, 3]
    record = read_json(study / "study.json")
    assert [cell["directory"] for cell in record["cells"][:3]] == [cell.path.name for cell in cells]
    assert len(record["cells"]) == 4
    assert address not in json.dumps(record)
    assert "--storage URL" in record["command"]
    assert (study / "report" / "report.html").exists()
    assert "4 of 4 trials complete" in log.read_text()


@pytest.mark.slow
def test_a_failed_gate_stops_the_study_and_is_on_its_record(file: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG_GOLD)
    study = tmp_path / "study"
    with pytest.raises(BakeoffError, match="gold answers are graded correct"):
        run_ablation(
            str(file),
            overrides={"task": f"{tmp_path / 'wrong.py'}:WrongGold"},
            options=AblateOptions(out=study, workers=2, tracking=False),
            write_report=lambda folder: folder,
        )
    record = read_json(study / "study.json")
    assert record["gate"]["passed"] is False
    assert "gold answers are graded correct" in record["gate"]["failed"][0]["check"]
    assert [trial["state"] for trial in record["ablation"]["trials"]] == ["waiting"] * 3
    assert record["cells"] == []
    assert not (study / "optuna.db").exists()


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_leaves_nothing_behind(file: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    with pytest.raises(ConfigError, match=r"model folder '\./none' does not exist"):
        run_ablation(
            str(file),
            overrides={"model": "./none"},
            options=AblateOptions(out=study, tracking=False),
            write_report=lambda folder: folder,
        )
    assert not study.exists()


def refused(file: Path, study: Path, **options: object) -> str:
    with pytest.raises(ConfigError) as found:
        run_ablation(
            str(file),
            overrides={},
            options=AblateOptions(out=study, tracking=False, **options),
            write_report=lambda folder: folder,
        )
    return str(found.value)


def test_a_folder_that_holds_something_else_is_refused(declare, file: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "study.json").write_text("{}")
    assert "holds a comparison; choose another --out" in refused(file, study)
    there = json.loads(json.dumps(asdict(load_ablation(str(file)))))
    there["seeds"] = [7]
    declared = {"name": "tiny-1", "ablation": there, "overrides": {}}
    (study / "ablation.json").write_text(json.dumps(declared))
    assert "holds another ablation; choose another --out" in refused(file, study)
    assert read_json(study / "ablation.json") == declared


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        # Every point is tried before anything is written, not only the first.
        ({"factors": {"epochs": {"levels": [1, 0]}}}, "epochs must be above 0, got 0"),
        ({"factors": {"epohcs": {"levels": [1, 2]}}}, "did you mean 'epochs'"),
    ],
)
def test_settings_that_cannot_run_are_refused_before_anything_is_written(
    declare, tmp_path: Path, changes, told
) -> None:
    declared = json.loads(json.dumps(asdict(declare(**changes))))
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(declared))
    assert told in refused(tmp_path / "wrong.yaml", tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_fixed_design_takes_no_number_of_trials(declare, tmp_path: Path) -> None:
    declared = json.loads(json.dumps(asdict(declare())))
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(declared))
    told = refused(tmp_path / "grid.yaml", tmp_path / "study", trials=3)
    assert "design grid has as many trials as it has points" in told
