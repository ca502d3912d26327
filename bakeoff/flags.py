"""Command-line flags made from the config dataclasses, so that no setting is declared twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

import click

from bakeoff.config import SECTIONS
from bakeoff.errors import ConfigError

FEW = 3  # methods that are named one by one beside a default they share

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
    """Setting name -> help text with the methods' defaults, the instrument's settings first."""
    documented = {name: text for config in SECTIONS.values() for name, text in _fields(config)}
    defaults: dict[str, dict[str, list[str]]] = {}
    for method, config in methods.items():
        for name, text in _fields(type(config)):
            documented.setdefault(name, text)
            of_value = defaults.setdefault(name, {})
            of_value.setdefault(str(getattr(config, name)), []).append(method)
    return documented | {
        name: f"{documented[name]} [{_defaults_text(of_value)}]"
        for name, of_value in defaults.items()
    }


def _defaults_text(of_value: Mapping[str, Sequence[str]]) -> str:
    """Each default and whose it is; the most common one stands for all that are not named."""
    ordered = sorted(of_value.items(), key=lambda item: -len(item[1]))
    (most, owners), *others = ordered
    first = most if len(owners) > FEW else f"{', '.join(owners)}: {most}"
    return "; ".join([first, *(f"{', '.join(names)}: {value}" for value, names in others)])


def _fields(config: type) -> Iterable[tuple[str, str]]:
    hints = get_type_hints(config, include_extras=True)
    for field in fields(config):
        yield field.name, getattr(hints[field.name], "__metadata__", ("",))[0]
