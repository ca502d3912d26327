"""A user's own method, reward or task, from a file that no package installs: FILE.py:NAME."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from bakeoff.errors import ConfigError


def is_plugin(spec: str) -> bool:
    """Whether `spec` points into a Python file, with or without the NAME."""
    file, name = _parts(spec)
    return file.endswith(".py") and (not name or name.isidentifier())


def load_object(spec: str, *, what: str) -> Any:
    """The object called NAME in a spec of the form FILE.py:NAME.

    The file runs once per content; its module stays in `sys.modules`, so that what it defines
    can be pickled and its classes keep one identity.

    Args:
        what: the kind of thing that is loaded, for the messages: "reward", "task", "method".

    Raises:
        ConfigError: no such file, no such name in it, or the file does not run.
    """
    file, name = _parts(spec)
    if not file.endswith(".py"):
        raise ConfigError(f"{what} {spec!r} is not of the form FILE.py:NAME")
    path = Path(file).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"{what} {spec!r}: there is no file {path} (looked from {Path.cwd()}); "
            "write its path as FILE.py:NAME"
        )
    module = _load_module(path.resolve(), what=what)
    if not name or not hasattr(module, name):
        found = ", ".join(_public_names(module)) or "nothing public"
        asked = f"has no {name!r}" if name else "needs a name after it"
        raise ConfigError(f"{what} {spec!r}: {path} {asked}; write {path}:NAME, it has: {found}")
    return getattr(module, name)


def _parts(spec: str) -> tuple[str, str]:
    if spec.endswith(".py"):
        return spec, ""
    # From the right: a drive letter or a folder may hold a colon too.
    file, _, name = spec.rpartition(":")
    return file, name


def _load_module(path: Path, *, what: str) -> ModuleType:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what}: cannot read {path}: {error.strerror}") from error
    # The content is part of the name: an edited file is a new module, the same file is not run
    # twice, and two files of one name do not replace each other.
    digest = hashlib.blake2b(str(path).encode() + b"\0" + source, digest_size=6).hexdigest()
    module_name = f"bakeoff_plugin_{path.stem}_{digest}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    module_spec = importlib.util.spec_from_file_location(module_name, path)
    assert module_spec is not None  # the path ends in .py
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_name] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[module_name]
        raise ConfigError(f"{what}: {path} does not run: {_describe(error, path)}") from error
    return module


def _describe(error: Exception, path: Path) -> str:
    lines = []
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(path):
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return f"line {lines[-1]}: {text}" if lines else text


def _public_names(module: ModuleType) -> list[str]:
    """What the file itself defines; what it imported is not meant."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", module.__name__) == module.__name__
    ]
