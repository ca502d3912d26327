"""Command-line flags made from the config dataclasses, so that no setting is declared twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

import click

from bakeoff.config import SECTIONS
from bakeoff.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])


def setting_options(methods: Mapping[str, object]) -> Callable[[Command], Command]:
    """Adds a flag for every setting of the instrument and of the given methods."""

    def decorate(command: Command) -> Command:
        for name, text in reversed(list(_documented(methods).items())):
            flag = "--" + name.replace("_", "-")
            option = click.option(flag, name, default=None, metavar="VALUE", help=text)
            command = option(command)
        return command

    return decorate


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given as flags; the word ``none`` is None."""
    return {
        name: None if isinstance(value, str) and value.lower() == "none" else value
        for name, value in values.items()
        if value is not None
    }


def budget_settings(steps: float | None, tokens: float | None) -> dict[str, Any]:
    """The two short forms of a budget.

    Raises:
        ConfigError: both were given.
    """
    if steps is not None and tokens is not None:
        raise ConfigError("--steps and --budget-tokens both name the budget; give one")
    if steps is not None:
        return {"budget_axis": "optimizer_steps", "budget": steps}
    if tokens is not None:
        return {"budget_axis": "sampled_tokens", "budget": tokens}
    return {}


def _documented(methods: Mapping[str, object]) -> dict[str, str]:
    """Setting name -> help text, the instrument's first."""
    documented = {name: text for config in SECTIONS.values() for name, text, _ in _fields(config)}
    for method, defaults in methods.items():
        for name, text, default in _fields(type(defaults)):
            note = f"[{method}: {default}]"
            documented[name] = (
                f"{documented[name]} {note}" if name in documented else (f"{text} {note}")
            )
    return documented


def _fields(config: type) -> Iterable[tuple[str, str, Any]]:
    hints = get_type_hints(config, include_extras=True)
    for field in fields(config):
        yield field.name, getattr(hints[field.name], "__metadata__", ("",))[0], field.default
