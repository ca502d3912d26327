"""Live progress of a matrix: one line a cell, read from the records."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bakeoff.records import Row, RunDirectory, read_json
from benchmarks.launch import Job

PLAIN_SECONDS = 20.0  # between lines where there is no terminal to redraw
REFRESH_SECONDS = 0.5


class MatrixProgress:
    """Shows cells as they run; on a pipe it prints a line now and then instead."""

    def __init__(self, console: Console, cells: Mapping[str, Path], *, title: str) -> None:
        self._console = console
        self._cells = {name: RunDirectory(path) for name, path in cells.items()}
        self._title = title
        self._start = time.monotonic()
        self._shown = 0.0
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> MatrixProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.update(self._table(frozenset()), refresh=True)
            self._live.stop()

    def tick(self, running: Sequence[Job]) -> None:
        """Redraws, if it is time to."""
        now = time.monotonic()
        names = frozenset(job.name for job in running)
        pause = REFRESH_SECONDS if self._live is not None else PLAIN_SECONDS
        if now - self._shown < pause:
            return
        self._shown = now
        if self._live is not None:
            self._live.update(self._table(names), refresh=True)
            return
        for name in sorted(names & self._cells.keys()):
            status = self._status(name)
            self._console.print(
                f"{now - self._start:5.0f} s  {name}  {_share(status)}  step "
                f"{status.get('step', 0)}  reward {_number(status, 'reward', '.3f')}  "
                f"{_number(status, 'tokens_per_second', ',.0f')} tokens/s  "
                f"{status.get('message', '')}".rstrip(),
                highlight=False,
                soft_wrap=True,
            )

    def _table(self, running: frozenset[str]) -> Group:
        table = Table(
            "cell", "", "share", "step", "reward", "tokens/s", "ETA", box=None, pad_edge=False
        )
        for name in self._cells:
            status = self._status(name)
            share = float(status.get("progress", 0.0))
            table.add_row(
                name,
                ProgressBar(total=1.0, completed=share, width=16),
                _share(status) if status["state"] != "failed" else "[red]failed[/]",
                str(status.get("step", "")),
                _number(status, "reward", ".3f"),
                _number(status, "tokens_per_second", ",.0f"),
                (_eta(status) or status.get("message", "")) if name in running else "",
            )
        elapsed = time.monotonic() - self._start
        done = sum(self._status(name)["state"] == "finished" for name in self._cells)
        foot = Text(f"{done} of {len(self._cells)} cells, {elapsed:.0f} s", style="dim")
        return Group(Text(self._title, style="bold"), table, foot)

    def _status(self, name: str) -> Row:
        path = self._cells[name].status
        return read_json(path) if path.exists() else {"state": "pending"}


def _share(status: Row) -> str:
    return f"{float(status.get('progress', 0.0)):4.0%}"


def _number(status: Row, key: str, form: str) -> str:
    value = status.get(key)
    return "" if value is None else format(value, form)


def _eta(status: Row) -> str:
    share, wall = float(status.get("progress", 0.0)), status.get("wall_seconds")
    if not share or wall is None:
        return ""
    return f"{wall * (1 - share) / share:.0f} s"
