import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks.on_gpu.__main__ import failures, main, memory_rows

ROOT = Path(__file__).parents[3]
# Absent on the GPU machines that this is for, in every process: a child reads the file too.
ABSENT = (
    *("mlflow", "optuna", "datasets", "deepspeed", "pydantic", "math_verify", "pandas"),
    *("matplotlib", "orjson", "trl", "reasoning_gym"),
)
WITHOUT = f"""
import sys
class Without:
    def __init__(self, finder): self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}: return None
        return self.finder.find_spec(name, path, target)
    def __getattr__(self, name): return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def row(name: str, bytes_of_a_phase: int, *, mark: int | None = None) -> dict[str, object]:
    return {
        "name": name,
        "model": "m",
        "method": name,
        "lora_rank": 0,
        "phases": {"update": {"activations": bytes_of_a_phase}},
        "max_memory_allocated": mark and {"update": mark, "evaluate": 9 * mark},
    }


def test_measured_arms_stand_beside_their_predictions() -> None:
    predicted = row("ppo", 110) | {"parameters": 7}
    found = {
        "memory m": {"state": "finished", "rows": [row("ppo", 100, mark=88), row("rft", 1)]},
        "predictions": {"state": "finished", "rows": [predicted, {"name": "grpo", "model": "m"}]},
    }
    (one,) = memory_rows(found)
    assert (one["method"], one["parameters"]) == ("ppo", 7)
    assert one["whole"] == {"predicted_bytes": 110, "measured_bytes": 100, "error": 0.1}
    # Phases that nobody predicts do not count.
    assert one["against_allocator"]["error"] == 0.25


def test_on_a_processor_there_is_no_allocator_to_compare_with() -> None:
    found = {
        "memory m": {"state": "finished", "rows": [row("ppo", 100)]},
        "predictions": {"state": "finished", "rows": [row("ppo", 110) | {"parameters": 7}]},
    }
    (one,) = memory_rows(found)
    assert one["against_allocator"] is None


def test_failures_are_named() -> None:
    rows = [
        {"name": "fine", "passed": True},
        {"name": "off", "passed": False},
        {"name": "raised", "failed": "ValueError: no"},
        {"name": "gate", "checks": [{"name": "a", "passed": True}, {"name": "b", "passed": False}]},
    ]
    found = {
        "equality": {"state": "finished", "rows": rows},
        "update": {"state": "cut off", "rows": []},
        "peers": {"state": "skipped", "rows": []},
    }
    assert failures(found) == ["update", "equality: off", "equality: raised", "equality: b"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_one_line_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "Error: torch sees no GPU here; --device cpu --shapes small tries all"
    ]
    assert not (tmp_path / "out").exists()


def test_a_part_that_is_not_there_is_refused(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "--device", "cpu", "--only", "speed"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "no part begins with speed; there are device, equality" in result.output


@pytest.mark.long
def test_all_parts_run_on_a_processor_without_what_a_gpu_machine_may_lack(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    command = ["-m", "benchmarks.on_gpu", "--out", str(tmp_path / "out"), "--commit", "abc"]
    result = subprocess.run(
        [sys.executable, *command, "--shapes", "small", "--device", "cpu", "--seconds", "400"],
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=420,
    )
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "out" / "on_gpu.json").read_text())
    assert record["failures"] == []
    assert record["git_revision"] == "abc"
    parts = record["parts"]
    assert {part["state"] for part in parts.values()} == {"finished"}
    # The finder does hide what it is told to hide.
    assert {row["skipped"] for row in parts["peers"]["rows"]} == {
        "not installed: trl, datasets, pydantic"
    }
    judged = [row for row in parts["equality"]["rows"] if "bound" in row]
    assert len(judged) == (9 if importlib.util.find_spec("peft") is None else 10)
    assert len([row for row in parts["equality"]["rows"] if "checks" in row]) == 14
    for row in parts["update"]["rows"]:
        assert row["tokens_per_second"] == row["tokens"] / statistics.median(row["seconds"])
        assert row["utilisation"] is None and row["max_memory_allocated"] is None
    sampled = [row for row in parts["sampling"]["rows"] if "skipped" not in row]
    assert {row["sampled_tokens"] for row in sampled} == {16 * 8} and len(sampled) == 3
    measured = {(row["method"], row["lora_rank"]): row for row in record["memory"]}
    assert set(measured) == {
        *((name, 0) for name in ("ppo", "ppo, shared trunk", "rft", "online_rft", "grpo")),
        *((name, 16) for name in ("ppo", "grpo")),
    }
    for row in measured.values():
        assert abs(row["whole"]["error"]) < 0.02
    peaks = {name: row["whole"]["measured_bytes"] for name, row in measured.items()}
    assert peaks["ppo", 0] > peaks["ppo, shared trunk", 0] > peaks["online_rft", 0]
    assert peaks["grpo", 16] < peaks["grpo", 0]
