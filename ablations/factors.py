"""What an ablation varies. A factor is declared once and serves every design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from bakeoff.errors import ConfigError

Level = bool | int | float | str
Point = dict[str, Level]  # factor -> level: one place of the design


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A setting, or settings that go together, with the values they may take."""

    unit: Annotated[str, "of a level, for axes and tables"] = ""
    field: Annotated[str | None, "the setting it varies; none: the factor's own name"] = None
    levels: Annotated[
        tuple[bool | int | float | str, ...] | dict[str, dict[str, Any]],
        "values of the setting; or a name each for settings that go together",
    ] = ()
    low: Annotated[float | None, "least value that a sampling design may take"] = None
    high: Annotated[float | None, "largest value that a sampling design may take"] = None
    log: Annotated[bool, "spread evenly by the logarithm"] = False
    baseline: Annotated[
        bool | int | float | str | None, "the level to compare with; none: the first"
    ] = None

    def __post_init__(self) -> None:
        if not self.levels and self.low is None:
            raise ConfigError("a factor needs levels, or low and high")
        if (self.low is None) != (self.high is None):
            raise ConfigError(f"low and high go together, got {self.low} and {self.high}")
        if self.low is not None and self.high is not None:
            if self.low >= self.high:
                raise ConfigError(f"low must be below high, got {self.low:g} and {self.high:g}")
            if self.log and self.low <= 0:
                raise ConfigError(f"low must be above 0 on a logarithmic scale, got {self.low:g}")
            if self.is_compound:
                raise ConfigError("named levels have no range: leave low and high out")
            if any(isinstance(level, bool | str) for level in self._stated):
                raise ConfigError(
                    f"low and high need levels that are numbers, got {list(self._stated)}"
                )
            if self.is_integer and (self.low % 1 or self.high % 1):
                raise ConfigError(
                    f"low and high must be whole as the levels are, got {self.low:g} and "
                    f"{self.high:g}"
                )
        if len(set(self.level_names)) != len(self.levels):
            raise ConfigError(f"levels must be distinct, got {list(self.levels)}")
        if self.is_compound and self.field is not None:
            raise ConfigError("named levels say which settings they set: leave field out")
        if self.levels and self.baseline is not None and self.baseline not in self.level_names:
            raise ConfigError(
                f"baseline {self.baseline!r} is none of the levels {list(self.level_names)}"
            )
        if not self.levels and self.baseline is None:
            raise ConfigError("a factor without levels needs a baseline")

    @property
    def is_compound(self) -> bool:
        """Whether its levels are names for several settings at once."""
        return isinstance(self.levels, Mapping)

    @property
    def level_names(self) -> tuple[Level, ...]:
        """The levels in order."""
        return tuple(self.levels)

    @property
    def baseline_level(self) -> Level:
        """The level that other levels are compared with."""
        if self.baseline is not None:
            return self.baseline
        return self.level_names[0]

    @property
    def has_range(self) -> bool:
        """Whether a sampling design may take values between the levels."""
        return self.low is not None

    @property
    def is_integer(self) -> bool:
        """Whether it only takes whole numbers."""
        return all(isinstance(value, int) for value in self._stated)

    @property
    def _stated(self) -> tuple[Level, ...]:
        return self.level_names if self.baseline is None else (*self.level_names, self.baseline)

    def settings(self, name: str, level: Level) -> dict[str, Any]:
        """The flat settings that a level of the factor `name` sets."""
        if isinstance(self.levels, Mapping):
            return dict(self.levels[str(level)])
        return {self.field or name: level}

    def record(self, name: str, *, sampled: bool) -> dict[str, Any]:
        """The factor as a record of the study; its range where the design samples from it."""
        return {
            "name": name,
            "unit": self.unit,
            "levels": [plain_level(level) for level in self.level_names],
            "low": self.low if sampled else None,
            "high": self.high if sampled else None,
            "log": self.log,
            "baseline": plain_level(self.baseline_level),
        }


def plain_level(level: Level) -> int | float | str:
    """A level as records have it: a number, or a name."""
    return str(level).lower() if isinstance(level, bool) else level
