"""Methods by name: a preset, or a user's own file."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from algorithms import PRESETS
from algorithms.configs import MethodConfig
from bakeoff.errors import ConfigError
from bakeoff.plugins import is_plugin, load_object

if TYPE_CHECKING:
    from bakeoff.interfaces import Algorithm


def method_defaults(name: str) -> Any:
    """The settings a method starts from: a frozen dataclass instance.

    Args:
        name: a preset's name, or FILE.py:NAME of a settings dataclass (or an instance of one)
            with a ``build()`` that returns the method.

    Raises:
        ConfigError: no such preset, or the file holds something else.
    """
    if name in PRESETS:
        return PRESETS[name]
    if not is_plugin(name):
        # Settings are read with a package that a GPU machine may lack; presets need none of it.
        from bakeoff.settings import suggestion

        raise ConfigError(
            f"unknown method {name!r}{suggestion(name, PRESETS)}; your own is FILE.py:NAME"
        )
    found = load_object(name, what="method")
    try:
        defaults = found() if isinstance(found, type) else found
    except TypeError as error:
        raise ConfigError(
            f"method {name!r} cannot be made without arguments ({error}); give every setting a "
            "default"
        ) from None
    if not is_dataclass(defaults) or not hasattr(defaults, "build"):
        raise ConfigError(
            f"method {name!r} must be a dataclass of settings with a build() method, "
            f"it is a {type(found).__name__}"
        )
    return defaults


def build_method(config: Any) -> Algorithm:
    """The method that its settings describe."""
    if not isinstance(config, MethodConfig):
        algorithm: Algorithm = config.build()
        return algorithm
    # torch is only needed from here on, and `--help` must not wait for it.
    from algorithms.registry import build

    return build(config)
