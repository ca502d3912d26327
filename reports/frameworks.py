"""What a method's name means elsewhere: the paper's values and other frameworks' defaults."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import yaml

from bakeoff.errors import BakeoffError

FILE = Path(__file__).parent / "frameworks.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """One source's reading of a method's name, in the words of the equivalence table."""

    where: str  # the paper or the framework
    methods: tuple[str, ...]  # presets here that the row speaks of
    advantage: str
    loss: str
    aggregation: str
    kl: str
    group_size: str
    learning_rate: str
    other: str
    source: str  # equation and section, or the file in the framework's tree
    date: str  # year and month in which it was read


def elsewhere(method: str) -> tuple[Elsewhere, ...]:
    """What other sources mean by a method's name, in the order of the file; often nothing."""
    return tuple(row for row in read_frameworks(FILE) if method in row.methods)


@cache
def read_frameworks(file: Path) -> Sequence[Elsewhere]:
    """The rows of a YAML file of sources.

    Raises:
        BakeoffError: a row lacks a key or has one too many.
    """
    names = {field.name for field in fields(Elsewhere)}
    found = []
    for number, row in enumerate(yaml.safe_load(file.read_text("utf-8")), start=1):
        if row.keys() != names:
            wrong = ", ".join(sorted(row.keys() ^ names))
            raise BakeoffError(
                f"{file}, row {number}: {wrong} missing or unknown; expected {sorted(names)}"
            )
        texts = {name: str(value) for name, value in row.items() if name != "methods"}
        found.append(Elsewhere(methods=tuple(row["methods"]), **texts))
    return tuple(found)
