"""A cell of a matrix as a process: its settings file, its log and its command."""

from __future__ import annotations

import json
from pathlib import Path

from bakeoff.config import as_record
from bakeoff.settings import flat
from benchmarks.launch import Job
from benchmarks.suite import Cell


def settings_file(cell: Cell, folder: Path) -> Path:
    """Where the settings of a cell are written for its process."""
    return folder / "settings" / f"{cell.name}.json"


def write_settings(cell: Cell, folder: Path) -> Path:
    """The file, after writing the cell's settings to it."""
    file = settings_file(cell, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    settings = flat(as_record(cell.config)) | {"method": cell.method}
    file.write_text(json.dumps(settings, indent=1) + "\n")
    return file


def cell_job(cell: Cell, folder: Path) -> Job:
    """The process that trains a cell; its settings are written first."""
    arguments = (
        *("-m", "bakeoff", "train", "--config", str(write_settings(cell, folder))),
        *("--out", str(folder / cell.name), "--quiet"),
    )
    return Job(name=cell.name, arguments=arguments, log=fresh_log(folder, cell.name))


def fresh_log(folder: Path, name: str) -> Path:
    """An empty place for what a job prints."""
    log = folder / "logs" / f"{name}.log"
    log.unlink(missing_ok=True)
    return log
