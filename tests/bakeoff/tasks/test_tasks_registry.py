from pathlib import Path
from typing import Any

import pytest

from bakeoff.config import TaskConfig
from bakeoff.errors import ConfigError
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier
from bakeoff.tasks.registry import TASKS, load_task, load_verifier
from bakeoff.types import Split

PLUGIN = """
from bakeoff.tasks.arithmetic_task import ArithmeticTask, ArithmeticVerifier

class Mine:
    name = "mine"
    instruction = "Q: {question}"
    def problems(self, split, *, count=None):
        return []
    def demonstrations(self, *, seed):
        return iter(())
    def gold_demonstrations(self, *, seed):
        return iter(())
    def gold_response(self, problem):
        return problem.answer
    def verifier(self):
        return ArithmeticVerifier()
    def step_checker(self):
        return None

class BadInstruction(Mine):
    instruction = "no place for it, {} {other}"

class NeedsArgument(Mine):
    def __init__(self, path):
        pass

class Half:
    name = "half"

class NoSteps(Mine):
    gold_demonstrations = property()
    step_checker = property()

mine = Mine()

def build():
    return Mine()
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


def error_of(task: str, **settings: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_task(TaskConfig(task=task, **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_default_task_needs_nothing() -> None:
    task = load_task(TaskConfig())
    assert task.name == "arithmetic"
    assert len(task.problems(Split.TEST, count=3)) == 3


@pytest.mark.parametrize("name", TASKS)
def test_every_name_loads_without_reading_anything(name: str) -> None:
    assert load_task(TaskConfig(task=name)).name == name


def test_an_unknown_name_suggests_a_close_one_and_lists_all() -> None:
    message = error_of("gsm8")
    assert "did you mean 'gsm8k'?" in message
    assert all(name in message for name in TASKS)
    assert "did you mean" not in error_of("something else")


def test_a_jsonl_file_is_a_task(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "1+1?", "answer": 2}\n')
    assert load_task(TaskConfig(task=str(path))).name == "own"
    assert "none.jsonl" in error_of(str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("name", ["mine", "Mine", "build"])
def test_an_object_a_class_or_a_function_of_a_file_is_a_task(plugin: Path, name: str) -> None:
    assert load_task(TaskConfig(task=f"{plugin}:{name}")).name == "mine"


def test_what_is_no_task_is_refused(plugin: Path) -> None:
    assert "without instruction, problems" in error_of(f"{plugin}:Half")
    assert "without gold_demonstrations, step_checker" in error_of(f"{plugin}:NoSteps")
    assert "{question}" in error_of(f"{plugin}:BadInstruction")
    assert "without arguments" in error_of(f"{plugin}:NeedsArgument")


@pytest.mark.parametrize("task", ["arithmetic", "own.jsonl", "mine.py:mine"])
def test_data_for_a_task_that_reads_none_is_refused(task: str) -> None:
    assert "takes no data" in error_of(task, data="somewhere")


def test_a_task_s_verifier_keeps_to_the_limits_of_the_settings() -> None:
    config = TaskConfig(task="gsm8k", verifier_seconds=0.5, verifier_workers=2)
    verifier = load_verifier(load_task(config), config)
    assert isinstance(verifier, MathVerifier)
    assert (verifier._pool.workers, verifier._pool.seconds) == (2, 0.5)
    verifier.close()
    exact = load_verifier(load_task(TaskConfig()), config)
    assert isinstance(exact, ArithmeticVerifier)


@pytest.mark.parametrize(
    "settings",
    [{"verifier_seconds": 0}, {"verifier_workers": 0}, {"verifier_error_ceiling": 1.5}],
)
def test_limits_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        TaskConfig(**settings)
