"""From YAML and flags to frozen configs; every key is checked, unknown ones are refused."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import pydantic
import yaml

from bakeoff.config import SECTIONS, CellConfig
from bakeoff.errors import ConfigError

Config = TypeVar("Config")


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping from a YAML file.

    Raises:
        ConfigError: missing, not YAML, or not a mapping.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold a mapping of settings")
    return value


def read_settings(path: Path) -> dict[str, Any]:
    """Flat settings, ``method`` among them, from a YAML file or from a run's config.json."""
    values = read_yaml(path)
    if "method_settings" not in values:
        return values
    return flat(values) | {"method": values["method"]}


def shared_settings(path: Path) -> dict[str, Any]:
    """The instrument's settings from such a file; those of its method are left out."""
    names = {name for section in section_names().values() for name in section}
    return {name: value for name, value in read_settings(path).items() if name in names}


def cell_config(
    method: str, method_defaults: object, values: Mapping[str, Any], *, where: str = "settings"
) -> CellConfig:
    """The frozen config of one cell from flat settings.

    Args:
        method: the name for the records.
        method_defaults: the preset's config, a dataclass instance.
        values: leaf name -> value, of the instrument and of the method alike.
        where: named in errors.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type or range.
    """
    method_names = {f.name for f in fields(method_defaults)}  # type: ignore[arg-type]
    known = {name: section for section, names in section_names().items() for name in names}
    for name in values:
        if name not in known and name not in method_names:
            raise ConfigError(
                f"{where}: {name!r} is no setting of {method}"
                + suggestion(name, [*known, *method_names])
            )
    settings = asdict(method_defaults) | {  # type: ignore[call-overload]
        name: value for name, value in values.items() if name in method_names
    }
    checked = validated(type(method_defaults), settings, where=where)
    sections: dict[str, Any] = {
        section: validated(
            config,
            {name: value for name, value in values.items() if known.get(name) == section},
            where=where,
        )
        for section, config in SECTIONS.items()
    }
    return CellConfig(method=method, method_settings=asdict(checked), **sections)  # type: ignore[call-overload]


def method_config(config: CellConfig, method_defaults: Config) -> Config:
    """The method's own config back from a cell's."""
    return validated(type(method_defaults), config.method_settings, where=config.method)


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The flat settings of a config.json: what `cell_config` takes."""
    values: dict[str, Any] = {}
    for section in SECTIONS:
        # A run from before a section was there has its defaults.
        values |= record.get(section, {})
    values |= record["method_settings"]
    return values


def section_names() -> dict[str, list[str]]:
    """Leaf names of each section of a cell's config."""
    return {section: [f.name for f in fields(config)] for section, config in SECTIONS.items()}


def validated(config: type[Config], values: Mapping[str, Any], *, where: str) -> Config:
    """A config dataclass from raw values; strings are read as the field's type.

    Raises:
        ConfigError: names the key, the value and what was expected.
    """
    # Defaults are checked too: a default of 100 and a stated 100.0 would hash differently.
    defaults = {
        f.name: f.default
        for f in fields(config)  # type: ignore[arg-type]
        if f.default is not MISSING
    }
    names = [f.name for f in fields(config)]  # type: ignore[arg-type]
    for name, value in values.items():
        # pydantic drops what a dataclass does not have, without a word.
        if name not in names:
            raise ConfigError(f"{where}: {name!r} is unknown" + suggestion(name, names))
        if isinstance(value, int | float | str) and str(value).lower().strip() == "nan":
            raise ConfigError(f"{where}: {name} = {value!r}: not a number")
    try:
        return pydantic.TypeAdapter(config).validate_python(defaults | dict(values))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or config.__name__
        raise ConfigError(f"{where}: {_message(config, key, first)}") from None


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint at the closest known name, to end an error with."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"


def _message(config: type, key: str, error: Any) -> str:
    kind, given = error["type"], error.get("input")
    if kind == "missing":
        return f"{key!r} is missing"
    hints = get_type_hints(config, include_extras=True)
    help_text = getattr(hints.get(key), "__metadata__", ("",))[0]
    told = f" ({help_text})" if help_text else ""
    return f"{key} = {given!r}: {error['msg'].lower()}{told}"
