"""Tasks by their setting."""

import difflib
from pathlib import Path
from typing import Any, cast

from bakeoff.config import TaskConfig
from bakeoff.errors import ConfigError
from bakeoff.interfaces import Task, Verifier
from bakeoff.plugins import is_plugin, load_object
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.tasks.arithmetic_task import ArithmeticTask
from bakeoff.tasks.corpora import CORPORA
from bakeoff.tasks.gsm_symbolic import GsmSymbolicTask
from bakeoff.tasks.jsonl_task import JsonlTask
from bakeoff.tasks.text_task import TextTask

TASKS = ("arithmetic", *CORPORA, "gsm_symbolic")

_MEMBERS = (
    "name",
    "instruction",
    "problems",
    "demonstrations",
    "gold_demonstrations",
    "gold_response",
    "verifier",
    "step_checker",
)


def load_task(config: TaskConfig) -> Task:
    """The task of a setting: a built-in name, FILE.jsonl, or FILE.py:NAME.

    Raises:
        ConfigError: no such task, data that it cannot use, or an object that is no task.
    """
    if config.task in CORPORA:
        return TextTask(CORPORA[config.task], data=config.data)
    if config.data is not None and (config.task in TASKS or _is_path(config.task)):
        raise ConfigError(
            f"task {config.task} takes no data, got {config.data!r}; leave it out (a data folder "
            f"is for {', '.join(CORPORA)})"
        )
    if config.task == "arithmetic":
        return ArithmeticTask()
    if config.task == "gsm_symbolic":
        return GsmSymbolicTask()
    if config.task.endswith(".jsonl"):
        return JsonlTask(Path(config.task).expanduser())
    if is_plugin(config.task):
        return _plugin_task(config.task)
    close = difflib.get_close_matches(config.task, TASKS, n=1)
    suggestion = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(
        f"no task {config.task!r}; {suggestion}there are: {', '.join(TASKS)}, "
        "a FILE.jsonl of question and answer, or FILE.py:NAME"
    )


def load_verifier(task: Task, config: TaskConfig) -> Verifier:
    """The task's verifier with the limits of the settings, where it has any."""
    verifier = task.verifier()
    if isinstance(verifier, MathVerifier):
        verifier.resize(config.verifier_workers)
        verifier.limit(config.verifier_seconds)
    return verifier


def _is_path(spec: str) -> bool:
    return spec.endswith(".jsonl") or is_plugin(spec)


def _plugin_task(spec: str) -> Task:
    loaded: Any = load_object(spec, what="task")
    # A class has the members of its instances, but is no task itself.
    is_factory = isinstance(loaded, type) or (callable(loaded) and _missing(loaded))
    if is_factory:
        try:
            loaded = loaded()
        except Exception as error:
            raise ConfigError(
                f"task {spec!r} cannot be built: {type(error).__name__}: "
                f"{' '.join(str(error).split())}; it is called without arguments"
            ) from error
    missing = _missing(loaded)
    if missing:
        raise ConfigError(
            f"task {spec!r} is a {type(loaded).__name__} without {', '.join(missing)}; it must "
            f"have {', '.join(_MEMBERS)} (see bakeoff.interfaces.Task)"
        )
    task = cast(Task, loaded)
    _check_instruction(spec, task)
    return task


def _missing(candidate: object) -> list[str]:
    return [member for member in _MEMBERS if not hasattr(candidate, member)]


def _check_instruction(spec: str, task: Task) -> None:
    marker = "\x00question\x00"
    try:
        prompt = task.instruction.format(question=marker)
    except (AttributeError, KeyError, IndexError, ValueError):
        prompt = ""
    if marker not in prompt:
        raise ConfigError(
            f"task {spec!r} has the instruction {task.instruction!r}; it must be a format string "
            "with {question} in it, and with every other brace doubled"
        )
