"""The house rules of docs/design: who may import whom, and what may not be in the way."""

import ast
import importlib.util
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from algorithms import PRESETS
from bakeoff.config import SECTIONS

ROOT = Path(__file__).parents[1]
ROOMS = ("ablations", "algorithms", "bakeoff", "benchmarks", "reports")
THE_ROOF = Path("bakeoff/cli.py")

# Modules that say "standard library only" and are imported where nothing else may be.
PLAIN = ("types", "config", "records", "errors", "provenance")
# Where a package that not every machine has may be imported at module level.
HOMES = {
    "datasets": (),
    "deepspeed": ("bakeoff/engine/deepspeed.py",),
    "math_verify": ("bakeoff/rewards/math_child.py",),
    "mlflow": ("bakeoff/tracking.py",),
    "optuna": ("ablations/",),
    "pydantic": ("bakeoff/settings.py",),
    "reasoning_gym": (),
}
# Tests that mirror no one source file, and why.
NO_SOURCE = {
    "tests/bakeoff/rewards/test_hostile_answers.py": "is about all of the verifier's files",
    "tests/ablations/test_studies.py": "is about the YAML files of ablations/studies",
    "tests/benchmarks/test_suites.py": "is about the YAML files of benchmarks/suites",
    "tests/test_layout.py": "is about all of them",
}

# Absent as if never installed: a finder that raised would break `find_spec`, which libraries ask.
WITHOUT = """
import sys
class Without:
    def __init__(self, finder): self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}: return None
        return self.finder.find_spec(name, path, target)
    def __getattr__(self, name): return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def sources(room: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in (ROOT / room).rglob("*.py"))


def imported(path: Path, *, module_level: bool = False) -> Iterator[str]:
    """Dotted names of what a file imports, also inside functions unless `module_level`."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for node in _module_level(tree) if module_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if is_module(full) else node.module


def _module_level(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that runs when the module is imported; a try or an if hides nothing."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _module_level(child)


def is_module(name: str) -> bool:
    file = ROOT.joinpath(*name.split("."))
    return file.with_suffix(".py").is_file() or (file / "__init__.py").is_file()


def top(name: str) -> str:
    return name.partition(".")[0]


def imports_of_rooms(room: str, *allowed: str) -> list[str]:
    """Imports of our own packages in a room that are not in the allowed ones or their children."""
    return [
        f"{path} imports {name}"
        for path in sources(room)
        for name in imported(path)
        if top(name) in ROOMS
        and not any(name == one or name.startswith(f"{one}.") for one in allowed)
    ]


def in_python(code: str, *, without: set[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(absent=without) + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_instrument_imports_nothing_of_the_study() -> None:
    found = imports_of_rooms("bakeoff", "bakeoff")
    assert [line for line in found if not line.startswith(f"{THE_ROOF} ")] == []
    assert found, "the roof imports the study; if it does not, this test reads nothing"


def test_methods_import_records_and_seams_only() -> None:
    seams = ("bakeoff.types", "bakeoff.batch", "bakeoff.interfaces")
    plain = ("bakeoff.config", "bakeoff.errors")
    assert imports_of_rooms("algorithms", "algorithms", *seams, *plain) == []
    foreign = {
        top(name)
        for path in sources("algorithms")
        for name in imported(path)
        if top(name) not in (*ROOMS, *sys.stdlib_module_names)
    }
    assert foreign == {"torch"}


def test_settings_of_methods_need_no_torch() -> None:
    for path in (Path("algorithms/__init__.py"), Path("algorithms/configs.py")):
        assert {top(name) for name in imported(path)} <= {
            "algorithms",
            "bakeoff",
            *sys.stdlib_module_names,
        }


def test_comparisons_import_methods_and_the_instrument_only() -> None:
    assert imports_of_rooms("benchmarks", "algorithms", "bakeoff", "benchmarks") == []


def test_ablations_import_no_reports() -> None:
    allowed = ("algorithms", "bakeoff", "benchmarks", "ablations")
    assert imports_of_rooms("ablations", *allowed) == []


def test_reports_read_records_only() -> None:
    allowed = ("reports", "bakeoff.records", "bakeoff.types", "bakeoff.errors")
    assert imports_of_rooms("reports", *allowed) == []
    heavy = {"torch", "transformers", "deepspeed", "safetensors", "mlflow", "optuna"}
    foreign = {top(name) for path in sources("reports") for name in imported(path)}
    assert foreign & heavy == set()
    assert "numpy" in foreign, "reports compute with numpy; if not, this test reads nothing"


@pytest.mark.parametrize("name", PLAIN)
def test_plain_modules_need_the_standard_library_only(name: str) -> None:
    for found in imported(Path(f"bakeoff/{name}.py")):
        assert top(found) in sys.stdlib_module_names or found in {
            f"bakeoff.{plain}" for plain in PLAIN
        }, found


def test_no_import_cycle_at_module_level() -> None:
    graph = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): {
            name for name in imported(path, module_level=True) if top(name) in ROOMS
        }
        for room in ROOMS
        for path in sources(room)
    }
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name in done or name not in graph:
            return
        for other in graph[name] - {name}:
            visit(other, (*way, name))
        done.add(name)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_name_means_ours(room: str) -> None:
    spec = importlib.util.find_spec(room)
    assert spec is not None and spec.origin is not None
    assert Path(spec.origin) == ROOT / room / "__init__.py"


def test_files_are_named_after_a_subject() -> None:
    nameless = {"utils", "util", "helpers", "helper", "misc", "common", "stuff"}
    files = [path for room in (*ROOMS, "tests") for path in sources(room)]
    assert [path for path in files if path.stem in nameless] == []


def test_no_source_is_longer_than_400_lines() -> None:
    lengths = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines())
        for room in ROOMS
        for path in sources(room)
    }
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


@pytest.mark.parametrize("package", sorted(HOMES))
def test_a_heavy_package_is_imported_at_module_level_only_at_home(package: str) -> None:
    assert [
        str(path)
        for room in ROOMS
        for path in sources(room)
        if package in {top(name) for name in imported(path, module_level=True)}
        and not str(path).startswith(HOMES[package])
    ] == []


def test_training_needs_none_of_the_packages_that_a_gpu_machine_may_lack() -> None:
    modules = [
        "bakeoff.cell",
        "bakeoff.world",
        "bakeoff.loop",
        "bakeoff.engine.local",
        *(
            ".".join(path.with_suffix("").parts)
            for path in (*sources("bakeoff/rollouts"), *sources("algorithms"))
            if path.stem != "__init__"
        ),
    ]
    absent = set(HOMES)
    code = f"""
import importlib
for name in {modules!r}:
    importlib.import_module(name)
print(sorted(name for name in {absent!r} if name in sys.modules), len({modules!r}))
"""
    result = in_python(code, without=absent)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.split()[0] == "[]"
    # The same finder does hide what it is told to hide.
    hidden = in_python("import bakeoff.settings", without=absent)
    assert "No module named 'pydantic'" in hidden.stderr


def test_the_help_of_every_command_needs_neither_torch_nor_any_other_slow_package() -> None:
    slow = {"torch", "transformers", "numpy", "pandas", "scipy", "matplotlib", "pydantic", "mlflow"}
    code = f"""
from bakeoff.cli import cli
for command in [[], *([name] for name in cli.commands)]:
    try:
        cli([*command, "--help"], standalone_mode=True)
    except SystemExit as end:
        print("ended", *command, end.code)
print("loaded", sorted({slow!r} & sys.modules.keys()))
"""
    result = in_python(code, without=slow)
    assert result.returncode == 0, result.stderr[-2000:]
    ends = [line for line in result.stdout.splitlines() if line.startswith("ended")]
    assert {"ended 0", "ended train 0", "ended compare 0", "ended report 0"} <= set(ends)
    assert all(line.endswith(" 0") for line in ends)
    assert result.stdout.splitlines()[-1] == "loaded []"


def test_every_test_file_mirrors_a_source() -> None:
    tests = {
        path.relative_to(ROOT)
        for path in (ROOT / "tests").rglob("test_*.py")
        if str(path.relative_to(ROOT)) not in NO_SOURCE
    }
    orphans = []
    for path in sorted(tests):
        room = Path(*path.parts[1:-1])
        name = path.stem.removeprefix("test_")
        # Two rooms have a registry: tests/bakeoff/tasks/test_tasks_registry.py.
        candidates = (name, name.removeprefix(f"{room.name}_"))
        if not any((ROOT / room / f"{one}.py").is_file() for one in candidates):
            orphans.append(str(path))
    assert orphans == []


def test_the_exceptions_to_mirroring_still_exist() -> None:
    assert [path for path in NO_SOURCE if not (ROOT / path).is_file()] == []


def test_a_setting_has_one_name_in_one_place() -> None:
    names = Counter(field.name for config in SECTIONS.values() for field in fields(config))
    assert [name for name, count in names.items() if count > 1] == []
    for method, defaults in PRESETS.items():
        own = {field.name for field in fields(defaults)}  # type: ignore[arg-type]
        assert own & names.keys() == set(), method
