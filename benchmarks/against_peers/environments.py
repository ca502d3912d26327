"""Virtual environments of the peers, made once each and pinned."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bakeoff.errors import BakeoffError

# First and alone: with other requests beside it, pip takes a build with gigabytes for GPUs.
TORCH = "torch==2.13.0"
SHARED = ("transformers==5.23.0", "accelerate==1.15.0", "datasets==5.2.0")
_COMPLETE = "complete.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The packages of one peer."""

    name: str  # of its folder
    packages: tuple[str, ...]

    @property
    def pins(self) -> tuple[str, ...]:
        """Everything that is asked of pip, in order."""
        return (TORCH, *SHARED, *self.packages)


def python_of(environment: Environment, root: Path) -> Path:
    """The interpreter of an environment; it may not be there yet."""
    return root / environment.name / "bin" / "python"


def is_ready(environment: Environment, root: Path) -> bool:
    """Whether an environment with these very pins has been made whole."""
    complete = root / environment.name / _COMPLETE
    return complete.is_file() and complete.read_text().split() == list(environment.pins)


def make(environment: Environment, root: Path, *, echo: Callable[[str], None]) -> Path:
    """The interpreter of an environment that has its packages.

    Raises:
        BakeoffError: pip could not install them.
    """
    python = python_of(environment, root)
    if is_ready(environment, root):
        return python
    folder = root / environment.name
    echo(f"making {folder}; once, some minutes")
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    install = (str(python), "-m", "pip", "install", "--quiet")
    _run(*install, TORCH)
    _run(*install, *SHARED, *environment.packages)
    (folder / _COMPLETE).write_text("\n".join(environment.pins) + "\n")
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BakeoffError(f"{' '.join(command)} ended with code {done.returncode}: {last}")
