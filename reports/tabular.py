"""What a table is, apart from what it says: text to read, records for the CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.palette import Mark, display_name

SHOWN = 200  # rows that a page shows of a long table


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A cell of a table as a reader sees it."""

    text: str
    detail: str = ""  # smaller, e.g. the interval
    numeric: bool = False
    variable: str = ""  # CSS custom property of a method's colour
    quiet: bool = False  # in a muted colour

    @property
    def plain(self) -> str:
        """Text and detail on one line."""
        return f"{self.text} ({self.detail})" if self.detail else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; the first column names the row."""

    name: str  # of tables/<name>.csv
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    records: tuple[Mapping[str, Any], ...]  # rows of the CSV, in full precision
    left_out: str = ""  # says which rows the page does not show; the CSV has all of them

    @property
    def title(self) -> str:
        """What a screen reader says of the table."""
        return f"{self.name.replace('-', ' ').replace('_', ' ')} table"

    def csv(self) -> str:
        """The records as CSV, every key that occurs as a column."""
        keys = list(dict.fromkeys(key for record in self.records for key in record))
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, keys, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(self.records)
        return buffer.getvalue()

    def markdown(self) -> str:
        """A pipe table, numbers right-aligned."""
        numeric = [
            any(row[i].numeric for row in self.rows) if self.rows else False
            for i in range(len(self.columns))
        ]
        lines = [
            _pipes(self.columns),
            _pipes(["--:" if right else ":--" for right in numeric]),
            *(_pipes([entry.plain for entry in row]) for row in self.rows),
            *(["", self.left_out] if self.left_out else []),
        ]
        return "\n".join(lines)


def number(text: str) -> Entry:
    """An entry that is aligned as a number."""
    return Entry(text=text, numeric=True)


def named(method: str, mark: Mark) -> Entry:
    """A method with the dot of its colour."""
    return Entry(text=display_name(method), variable=mark.variable)


def rows_left_out(name: str, count: int) -> str:
    """What a page says of a table of `count` rows; nothing where it shows them all."""
    if count <= SHOWN:
        return ""
    return f"The first {SHOWN} of {count:,} rows; all are in tables/{name}.csv."


def _pipes(texts: Sequence[str]) -> str:
    escaped = (text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for text in texts)
    return "| " + " | ".join(escaped) + " |"
