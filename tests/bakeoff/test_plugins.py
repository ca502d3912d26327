import pickle
import sys
from pathlib import Path

import pytest

from bakeoff.errors import ConfigError
from bakeoff.plugins import is_plugin, load_object

SOURCE = """
from math import sqrt
import os

class Point:
    pass

def double(value):
    return 2 * value

_hidden = 1
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def error_of(spec: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_object(spec, what="reward")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_named_object_is_returned(plugin: Path) -> None:
    assert load_object(f"{plugin}:double", what="reward")(21) == 42


def test_a_file_runs_once_and_its_objects_keep_their_identity(plugin: Path) -> None:
    first = load_object(f"{plugin}:Point", what="task")
    assert load_object(f"{plugin}:Point", what="task") is first
    assert isinstance(pickle.loads(pickle.dumps(first())), first)
    assert sys.modules[first.__module__].Point is first


def test_an_edited_file_is_read_again(plugin: Path) -> None:
    load_object(f"{plugin}:double", what="reward")
    plugin.write_text(SOURCE.replace("2 * value", "3 * value"))
    assert load_object(f"{plugin}:double", what="reward")(2) == 6


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"WHERE = {folder!r}")
    values = [load_object(f"{tmp_path}/{x}/mine.py:WHERE", what="task") for x in ("a", "b")]
    assert values == ["a", "b"]


def test_a_dataclass_can_be_defined_in_a_plugin(tmp_path: Path) -> None:
    path = tmp_path / "records.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass(frozen=True, slots=True)\nclass Settings:\n    width: int = 3\n"
    )
    assert load_object(f"{path}:Settings", what="method")().width == 3


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none.py" in error_of(f"{tmp_path}/none.py:double")


def test_a_missing_name_lists_what_the_file_defines(plugin: Path) -> None:
    message = error_of(f"{plugin}:triple")
    assert "'triple'" in message
    assert "it has: Point, double" in message
    assert "sqrt" not in message and "_hidden" not in message


def test_a_spec_without_a_name_asks_for_one(plugin: Path) -> None:
    assert "it has: Point, double" in error_of(str(plugin))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def broken(:\n    pass", "SyntaxError"),
        ("import no_such_package_here", "line 1: ModuleNotFoundError"),
        ("x = 1\nx / 0", "line 2: ZeroDivisionError"),
    ],
)
def test_a_file_that_does_not_run_says_where(tmp_path: Path, source: str, expected: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(source)
    assert expected in error_of(f"{path}:anything")
    assert not any(name.startswith("bakeoff_plugin_broken") for name in sys.modules)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("mine.py:reward", True),
        ("folder/mine.py:Task", True),
        ("C:\\folder\\mine.py:Task", True),
        ("mine.py", True),
        ("gsm8k", False),
        ("problems.jsonl", False),
        ("package:model/file.gguf", False),
        ("mine.py:", True),
        ("mine.py:not a name", False),
    ],
)
def test_a_plugin_is_told_from_a_name(spec: str, expected: bool) -> None:
    assert is_plugin(spec) is expected
