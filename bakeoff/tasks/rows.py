"""Rows of a data set, from JSON lines on disk or from the Hugging Face hub."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record of a data set."""

    fields: Mapping[str, Any]
    number: int  # of its line, from 1; of a hub data set, its position + 1
    where: str  # for messages, e.g. "gsm8k/train.jsonl, line 3"

    def text(self, *names: str) -> str:
        """The first of the fields that is there, as text; a whole float loses its ``.0``.

        Raises:
            ConfigError: none of them is there, or it is empty, or not text and not a number.
        """
        for name in names:
            value = self.fields.get(name)
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                continue
            whole = isinstance(value, float) and value.is_integer()
            text = str(int(value) if whole else value).strip()
            if text:
                return text
        raise self.error(f"{' or '.join(map(repr, names))} must be text or a number, not empty")

    def error(self, problem: str) -> ConfigError:
        """The error for something wrong with this row."""
        return ConfigError(f"{self.where}: {problem}; it has: {', '.join(self.fields)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubDataSet:
    """Where a data set is on the hub."""

    repository: str
    config: str | None = None
    revision: str | None = None  # None: the default branch


def read_jsonl(path: Path) -> list[Row]:
    """The rows of a JSON-lines file; blank lines are skipped.

    Raises:
        ConfigError: no such file, no row in it, or a line that is not a JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error
    rows = [_parse_line(line, number, path) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise ConfigError(f"{path} is empty; one JSON object a line is expected")
    return rows


def read_hub(source: HubDataSet, split: str) -> list[Row]:
    """The rows of a split of a hub data set, through `datasets` and its cache.

    Raises:
        ConfigError: `datasets` is missing, or cannot load it.
    """
    try:
        # Here, so that tasks with files of their own run without the package.
        import datasets
    except ImportError as error:
        raise ConfigError(
            f"{source.repository} is on the hub, and that needs `pip install datasets`; "
            "or set data to a folder that has its files"
        ) from error
    try:
        table = datasets.load_dataset(
            source.repository, source.config, split=split, revision=source.revision
        )
    except Exception as error:
        raise ConfigError(
            f"cannot load {source.repository} from the hub: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}; set data to a folder that has its files"
        ) from error
    return [
        Row(fields=fields, number=number, where=f"{source.repository} {split}, row {number}")
        for number, fields in enumerate(table, 1)
    ]


def _parse_line(line: str, number: int, path: Path) -> Row:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{path}, line {number}: not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ConfigError(
            f"{path}, line {number}: a {type(fields).__name__}; one JSON object a line is expected"
        )
    return Row(fields=fields, number=number, where=f"{path}, line {number}")
