"""A comparison as declared: arms x seeds around settings that all cells share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from bakeoff.config import CellConfig, identity_record
from bakeoff.engine.settings import check_engine
from bakeoff.errors import ConfigError
from bakeoff.records import config_hash
from bakeoff.settings import cell_config, read_yaml, section_names, suggestion, validated
from benchmarks.methods import method_defaults

DEFAULT_SUITE = Path(__file__).parent / "suites" / "default.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite file."""

    study: Annotated[str, "the name of the study and of its folder"]
    seeds: Annotated[tuple[int, ...], "one cell each, for every method"]
    settings: Annotated[dict[str, Any], "flat settings that all cells share"]
    methods: Annotated[
        dict[str, dict[str, Any] | None],
        "arm -> settings of its own; `method` among them where the arm's name is not the method's",
    ]
    tuning: Annotated[
        str | None, "folder of the ablation that chose the settings; the report adds up its cost"
    ] = None
    quick: Annotated[
        dict[str, Any] | None, "what --quick replaces: seeds, settings, and settings of arms"
    ] = None

    def __post_init__(self) -> None:
        if not self.methods:
            raise ConfigError("the suite names no methods")
        for arm in self.methods:
            if "/" in arm and ":" not in arm:
                raise ConfigError(f"arm {arm!r} names a folder; leave the / out")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"seeds must be distinct and at least one, got {list(self.seeds)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of the matrix."""

    arm: str  # its name in the study and in the report
    method: str  # a preset, or FILE.py:NAME
    seed: int
    config: CellConfig

    @property
    def name(self) -> str:
        """The run folder's name; its hash is the identity of the settings."""
        short = Path(self.arm.partition(":")[0]).stem if ":" in self.arm else self.arm
        return f"{short}-s{self.seed}-{config_hash(identity_record(self.config))}"


def load_suite(path: Path | None) -> Suite:
    """A suite from a YAML file; without one, the built-in comparison."""
    path = path or DEFAULT_SUITE
    return validated(Suite, read_yaml(path), where=str(path))


def quick(suite: Suite) -> Suite:
    """The small matrix that the suite declares for ``--quick``.

    Raises:
        ConfigError: it declares none.
    """
    if suite.quick is None:
        raise ConfigError(f"suite {suite.study!r} has no quick section")
    small = dict(suite.quick)
    seeds = small.pop("seeds", suite.seeds)
    arms = dict(suite.methods)
    for arm, own in small.pop("methods", {}).items():
        arms[arm] = (arms[arm] or {}) | own
    return replace(
        suite,
        study=f"{suite.study}-quick",
        seeds=tuple(seeds),
        settings=suite.settings | small,
        methods=arms,
        quick=None,
    )


def matrix(suite: Suite, overrides: Mapping[str, Any]) -> list[Cell]:
    """The cells of a suite, seed by seed; a flag reaches every method that has the setting.

    Raises:
        ConfigError: an unknown method or setting, arms with different budgets, or an engine that
            cannot run here.
    """
    shared = {name for names in section_names().values() for name in names}
    arms = {arm: _method_of(arm, own) for arm, own in suite.methods.items()}
    defaults = {arm: method_defaults(method) for arm, (method, _) in arms.items()}
    own_names = {arm: set(asdict(config)) for arm, config in defaults.items()}
    for name in overrides:
        if name not in shared and not any(name in names for names in own_names.values()):
            known = shared.union(*own_names.values())
            raise ConfigError(
                f"{name!r} is a setting of none of {', '.join(suite.methods)}"
                + suggestion(name, known)
            )
    cells = [
        Cell(
            arm=arm,
            method=method,
            seed=seed,
            config=cell_config(
                method,
                defaults[arm],
                suite.settings
                | own
                | {n: v for n, v in overrides.items() if n in shared or n in own_names[arm]}
                | {"seed": seed, "evaluate_start": False},
                where=f"suite {suite.study!r}, {arm}",
            ),
        )
        for seed in suite.seeds
        for arm, (method, own) in arms.items()
    ]
    _require_one_budget(cells)
    for cell in cells:
        check_engine(cell.config)
    return cells


def _method_of(arm: str, own: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """The method of an arm and the settings it brings."""
    settings = dict(own or {})
    return str(settings.pop("method", arm)), settings


def choose_methods(suite: Suite, methods: Sequence[str]) -> Suite:
    """The suite with only these arms; one it does not declare is a method with its defaults."""
    return replace(suite, methods={method: suite.methods.get(method) for method in methods})


def with_seeds(suite: Suite, count: int) -> Suite:
    """The suite with seeds 0 to `count` - 1."""
    return replace(suite, seeds=tuple(range(count)))


def _require_one_budget(cells: Sequence[Cell]) -> None:
    budgets = {(cell.config.budget.budget_axis, cell.config.budget.budget) for cell in cells}
    if len(budgets) > 1:
        stated = ", ".join(f"{value:g} {axis.value}" for axis, value in sorted(budgets, key=str))
        raise ConfigError(f"arms with different budgets cannot be compared: {stated}")
    if len({cell.config.evaluation for cell in cells}) > 1:
        raise ConfigError("every arm must be evaluated alike: set evaluation under settings")
    # What the suite holds fixed is the same world for every arm.
    for section in ("model", "task"):
        if len({getattr(cell.config, section) for cell in cells}) > 1:
            raise ConfigError(f"every arm must share the {section}: set it under settings")
