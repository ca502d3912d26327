"""What people see while an ablation runs: a line as each trial ends."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from ablations.trial import trial_file
from bakeoff.records import Row, read_json

SECONDS = 1.0  # between two looks at the records


class TrialProgress:
    """Prints trials as they end."""

    def __init__(self, console: Console, folder: Path, *, trials: int, title: str) -> None:
        self._console = console
        self._folder = folder
        self._trials = trials
        self._told: dict[int, Row] = {}
        self._start = time.monotonic()
        self._looked = 0.0
        console.print(title, style="bold", highlight=False)

    def tick(self) -> None:
        """Prints what has ended since the last call, if it is time to look."""
        now = time.monotonic()
        if now - self._looked >= SECONDS:
            self._looked = now
            self.catch_up()

    def catch_up(self) -> None:
        """Prints what has ended since the last call."""
        for number in range(self._trials):
            file = trial_file(self._folder, number)
            if not file.exists():
                continue
            record = read_json(file)
            # A failed trial that is tried again ends again.
            if record["state"] != "running" and record != self._told.get(number):
                self._told[number] = record
                self._print(record)

    def _print(self, record: Row) -> None:
        values = record["values"] or {}
        found = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._console.print(
            f"{time.monotonic() - self._start:5.0f} s  {len(self._told)} of {self._trials}  "
            f"{record['arm']}  {found or record['state']}  {record['reason']}".rstrip(),
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
