"""JSON lines that a command writes chunk by chunk and continues after a kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bakeoff import provenance
from bakeoff.errors import ConfigError
from bakeoff.records import SCHEMA, Row, append_lines, config_hash, read_json, write_json

if TYPE_CHECKING:
    from bakeoff.ledger import Ledger


class ResumableLines:
    """A file of lines and, in a file of its own, the settings that made it and how far it is.

    The state is written after the lines it counts, so lines that it does not count are those of a
    chunk that was killed; they are dropped and made again.

    Args:
        lines: the file of lines.
        state: the file of the state.
        settings: what the lines depend on.
        total: how many lines there will be.

    Raises:
        ConfigError: the files are of other settings, not of this library, or do not fit together.
    """

    def __init__(
        self, lines: Path, state: Path, *, settings: Mapping[str, Any], total: int
    ) -> None:
        self.lines = lines
        self._state = state
        self._is_open = False
        self.record: Row = {
            "schema": SCHEMA,
            "hash": config_hash(settings),
            "settings": dict(settings),
            "done": 0,
            "total": total,
        }
        if state.exists():
            self._continue()
        elif lines.exists():
            raise ConfigError(
                f"{lines} exists, and no {state.name} says what made it; choose another --out"
            )

    @property
    def done(self) -> int:
        """Lines that are written."""
        return int(self.record["done"])

    @property
    def is_complete(self) -> bool:
        return self.done == int(self.record["total"])

    def append(self, rows: Sequence[Mapping[str, Any]], *, ledger: Mapping[str, Any]) -> None:
        """Writes the next lines and what all lines so far have cost."""
        if not self._is_open:
            self._open()
        append_lines(self.lines, rows)
        self.note(done=self.done + len(rows), ledger=ledger)

    def note(self, **values: Any) -> None:
        """Adds to the state, or replaces in it."""
        self.record |= values
        write_json(self._state, self.record)

    def _open(self) -> None:
        """Makes the files where they are missing; what a killed chunk left is dropped."""
        self.lines.parent.mkdir(parents=True, exist_ok=True)
        if not self._state.exists():
            # Before any line, or a kill would leave lines that nothing accounts for.
            self.note(
                versions=provenance.versions(),
                git_revision=provenance.git_revision(),
                machine=provenance.machine(),
            )
        _keep_lines(self.lines, self.done)
        self._is_open = True

    def _continue(self) -> None:
        found = read_json(self._state)
        if found.get("hash") != self.record["hash"]:
            raise ConfigError(
                f"{self._state} is of other settings"
                f"{_difference(found.get('settings'), self.record['settings'])}; choose another "
                "--out, or remove it and its lines"
            )
        there = _count_lines(self.lines)
        if there < found["done"]:
            raise ConfigError(
                f"{self.lines} has {there} lines, but {self._state.name} counts {found['done']}; "
                "remove both to begin again"
            )
        self.record = found


def report_progress(lines: ResumableLines, ledger: Ledger, *, what: str) -> None:
    """Prints to standard error how far the lines are."""
    rate = ledger.sampled_tokens / max(ledger.seconds.get("sample", 0.0), 1e-9)
    total = lines.record["total"]
    click.echo(f"{lines.done:,} of {total:,} {what}  {rate:,.0f} tokens/s", err=True)


def _difference(found: object, wanted: Mapping[str, Any]) -> str:
    """The first setting that differs, as the middle of an error."""
    there = dict(_leaves(found)) if isinstance(found, Mapping) else {}
    here = dict(_leaves(wanted))
    for name in (*here, *there):
        if there.get(name) != here.get(name):
            return f": {name} was {there.get(name)!r} and is {here.get(name)!r}"
    return ""


def _leaves(settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = []
    for name, value in settings.items():
        found += _leaves(value) if isinstance(value, Mapping) else [(name, value)]
    return found


def _count_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)


def _keep_lines(path: Path, count: int) -> None:
    """Cuts a file after its first `count` lines; makes it if it is missing."""
    path.touch()
    with path.open("rb+") as file:
        for _ in range(count):
            file.readline()
        file.truncate(file.tell())
