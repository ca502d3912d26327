"""The instrument's settings for a command that runs no method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.errors import ConfigError
from bakeoff.flags import given

if TYPE_CHECKING:
    from bakeoff.config import CellConfig

SECTIONS = ("model", "task", "sampling", "seeds")  # what sampling from a model depends on


@dataclass(frozen=True, slots=True, kw_only=True)
class _NoMethod:
    """The settings of no method."""


def sampling_config(command: str, config_file: Path | None, flags: Mapping[str, Any]) -> CellConfig:
    """The config of a command that samples from a model and trains nothing.

    Args:
        command: its name.
        config_file: YAML or a run's config.json, or None; what is of training in it is passed over.
        flags: as click gives them.

    Raises:
        ConfigError: a value of the wrong type or range, or a flag that does nothing here.
    """
    # pydantic takes long to load, so help does without it.
    from bakeoff.settings import cell_config, section_names, shared_settings

    values = given(flags)
    names = section_names()
    read = {name for section in SECTIONS for name in names[section]}
    for name in values:
        if name not in read:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} does nothing in `bakeoff {command}`; leave it out")
    shared = shared_settings(config_file) if config_file else {}
    return cell_config(
        command, _NoMethod(), {n: v for n, v in shared.items() if n in read} | values, where=command
    )


def settings_record(config: CellConfig) -> dict[str, Any]:
    """What sampling depends on, as JSON values."""
    from bakeoff.config import as_record

    return {section: as_record(getattr(config, section)) for section in SECTIONS}
