"""Small studies around the built-in model with random weights, and records of finished cells."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ablations.storage import TrialQueue, default_storage
from ablations.study import Ablation, checked_ablation
from bakeoff.config import as_record
from bakeoff.records import RunDirectory, append_lines, config_hash, write_json
from benchmarks.suite import Cell

SUITE = """
study: tiny
seeds: [0]
settings:
  model: config:builtin
  group_size: 2
  problems_per_step: 2
  max_response_tokens: 8
  train_problems: 8
  budget_axis: optimizer_steps
  budget: 2
  evaluations: 1
  evaluation_problems: 2
  evaluation_samples: 1
  final_samples: 1
methods:
  grpo: {learning_rate: 1.0e-3}
  plain: {method: grpo, kl_coefficient: 0.0}
"""

Declare = Callable[..., Ablation]
Finish = Callable[..., RunDirectory]
Queue = Callable[..., TrialQueue]


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    """A study as from a file; keywords replace what it says."""
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE)

    def make(**changes: Any) -> Ablation:
        declared = {
            "study": "tiny",
            "title": "Tiny",
            "question": "Does it run?",
            "suite": str(suite),
            "seeds": [1000, 1001],
            "factors": {
                "kl_coefficient": {"levels": [0.0, 0.1]},
                "learning_rate": {"levels": [1e-3, 1e-4]},
            },
        }
        return checked_ablation(declared | changes, where="test")

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a study."""
    made = tmp_path / "study"
    made.mkdir()
    return made


@pytest.fixture
def queue(folder: Path) -> Queue:
    """The trials of a study in SQLite, or in another storage."""

    def make(ablation: Ablation, *, url: str | None = None, grace_seconds: int = 60) -> TrialQueue:
        return TrialQueue(
            ablation,
            url or default_storage(folder),
            folder=folder,
            name=ablation.study,
            grace_seconds=grace_seconds,
        )

    return make


@pytest.fixture
def finish(folder: Path) -> Finish:
    """Writes what a finished cell leaves behind."""

    def write(
        cell: Cell,
        correct: Sequence[bool | None],
        *,
        seconds: float = 2.0,
        peak_bytes: int = 100,
        tokens_per_second: float = 50.0,
    ) -> RunDirectory:
        directory = RunDirectory(folder / cell.name)
        directory.path.mkdir()
        record = as_record(cell.config)
        write_json(directory.config, record | {"hash": config_hash(record)})
        rows = [
            {"batch": 1, "final": False, "problem": "p", "correct": [not c for c in correct]},
            {"batch": 2, "final": True, "problem": "p", "correct": list(correct)},
        ]
        append_lines(directory.evaluations, rows)
        ledger = {
            "device_seconds": seconds,
            "wall_seconds": 2 * seconds,
            "sampled_tokens": 40,
            "flops": 1e6,
            "tokens_per_second": tokens_per_second,
            "peak_bytes": {"sample": peak_bytes // 2, "update": peak_bytes},
        }
        directory.ledger.write_text(json.dumps(ledger))
        directory.write_status("finished", progress=1.0)
        return directory

    return write


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a server of our own, with an empty database."""
    for binary in ("initdb", "pg_ctl"):
        if shutil.which(binary) is None:
            pytest.skip(f"no PostgreSQL server: {binary} is not on the PATH")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("no driver for PostgreSQL: pip install 'psycopg[binary]'")
    # A socket's path may have 107 bytes, which pytest's folders use up.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    user = None
    if os.geteuid() == 0:
        user = "nobody"  # the server refuses to run as root
        shutil.chown(folder, user)

    def run(*command: str) -> None:
        with (folder.parent / f"{folder.name}.log").open("ab") as log:
            subprocess.run(
                command, user=user, cwd=folder, check=True, timeout=120, stdout=log, stderr=log
            )

    data = folder / "data"
    try:
        run("initdb", "-D", str(data), "-U", "bakeoff", "-A", "trust", "-N", "-E", "UTF8")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-o", options, "-w", "start")
        yield f"postgresql+psycopg://bakeoff@/postgres?host={folder}"
        run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)
