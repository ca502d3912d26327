"""The conformance gate of a comparison, and how its result is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bakeoff.config import CellConfig
from bakeoff.errors import ConfigError
from bakeoff.records import write_json
from bakeoff.settings import cell_config, method_config, read_settings
from benchmarks.methods import build_method, method_defaults
from benchmarks.suite import choose_methods, load_suite, matrix

Arm = tuple[CellConfig, Any]  # a cell's config and its method's own


def arms_of_suite(
    suite_file: Path | None, overrides: Mapping[str, Any], *, methods: Sequence[str] | None
) -> list[Arm]:
    """One cell of every method of a suite."""
    suite = load_suite(suite_file)
    if methods is not None:
        suite = choose_methods(suite, methods)
    return [
        (cell.config, method_config(cell.config, method_defaults(cell.method)))
        for cell in matrix(suite, overrides)
        if cell.seed == suite.seeds[0]
    ]


def arms_of_files(files: Sequence[Path], overrides: Mapping[str, Any]) -> list[Arm]:
    """The cells that settings files describe.

    Raises:
        ConfigError: a file names no method.
    """
    arms = []
    for file in files:
        values = read_settings(file)
        if "method" not in values:
            raise ConfigError(f"{file} names no method")
        method = values.pop("method")
        defaults = method_defaults(method)
        config = cell_config(method, defaults, {**values, **overrides}, where=str(file))
        arms.append((config, method_config(config, defaults)))
    return arms


def run_gate(arms: Sequence[Arm], *, json_file: Path | None, shortened: bool = False) -> bool:
    """Whether all checks passed, of every arm in the first one's world; prints a table."""
    # Loading models takes torch, which the other commands of this room never import.
    from bakeoff.conformance.gate import SHORTENED, run_checks
    from bakeoff.identity import check_compatible
    from bakeoff.world import build_world

    built = [(config, build_method(own)) for config, own in arms]
    for config, algorithm in built:
        check_compatible(config, algorithm)
    world = build_world(built[0][0])
    try:
        checks = run_checks(world, built, shortened=shortened)
    finally:
        world.verifier.close()
    passed = all(check.passed for check in checks)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        failed = [{"check": c.name, "reason": c.detail} for c in checks if not c.passed]
        write_json(json_file, {"passed": passed, "failed": failed, "shortened": shortened})
    caption = SHORTENED if shortened else None
    table = Table("check", "", "detail", title="conformance gate", caption=caption)
    for check in checks:
        mark = "[green]passed[/]" if check.passed else "[bold red]FAILED[/]"
        table.add_row(check.name, mark, check.detail)
    Console().print(table)
    return passed
