"""What a check says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How one check went."""

    name: str
    passed: bool
    detail: str
