"""Run directories: the truth that every report reads. Standard library only.

::

    runs/<study>/study.json                    what was asked, the gate, the cells
    runs/<study>/start/                        evaluations of the common start, one set per seed
    runs/<study>/<method>-s<seed>-<hash>/
        config.json         frozen settings, conventions, versions, git revision
        metrics.jsonl       a line per rollout batch
        evaluations.jsonl   a line per problem and evaluation
        transcripts.jsonl   a few whole responses with their rewards
        ledger.json         what the cell has spent
        status.json         state, progress, message
        checkpoints/  policy/
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from bakeoff.errors import BakeoffError

SCHEMA = 1
START = "start"

State = Literal["pending", "running", "finished", "failed"]
Row = dict[str, Any]


def config_hash(config: Mapping[str, Any]) -> str:
    """The identity of a cell: 10 hex digits of its canonical JSON."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes atomically: a reader sees the whole old file or the whole new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_json(path: Path) -> Row:
    """A JSON object from a file.

    Raises:
        BakeoffError: missing, or not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BakeoffError(f"{path} does not exist") from None
    except ValueError as error:
        raise BakeoffError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BakeoffError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends one JSON line a row, in one write, flushed to the operating system.

    What a crash left of a last line is dropped first, or it would spoil the next row.
    """
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    _drop_cut_off_line(path)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def read_lines(path: Path) -> Iterator[Row]:
    """The rows of a JSON-lines file; nothing when it does not exist.

    A last line without its newline was cut off by a crash and is left out.

    Raises:
        BakeoffError: a line is not JSON.
    """
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.endswith("\n"):
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise BakeoffError(f"{path}, line {number} is not JSON: {error}") from None


def keep_lines_through(path: Path, batch: int) -> None:
    """Drops the rows whose ``batch`` is later than `batch`: what a resumed run writes again."""
    rows = [row for row in read_lines(path) if row["batch"] <= batch]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text("", encoding="utf-8")
    append_lines(temporary, rows)
    os.replace(temporary, path)


def _drop_cut_off_line(path: Path) -> None:
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


class RunDirectory:
    """The files of one cell."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.jsonl"
        self.evaluations = path / "evaluations.jsonl"
        self.transcripts = path / "transcripts.jsonl"
        self.ledger = path / "ledger.json"
        self.status = path / "status.json"
        self.pool = path / "pool.jsonl"
        self.checkpoints = path / "checkpoints"
        self.policy = path / "policy"

    def write_status(
        self, state: State, *, progress: float = 0.0, message: str = "", **details: Any
    ) -> None:
        """Replaces the status: `progress` is the share of the budget that is spent, 0 to 1."""
        write_json(
            self.status,
            {"state": state, "progress": progress, "message": message, "pid": os.getpid()}
            | details,
        )

    @property
    def state(self) -> State:
        """The state last written; "pending" before the first."""
        if not self.status.exists():
            return "pending"
        state: State = read_json(self.status)["state"]
        return state
