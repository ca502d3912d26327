"""`bakeoff grade` in this process, as the installed command calls it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bakeoff = Callable[..., Any]  # of the conftest: exit code, output and errors of a command

ROOT = Path(__file__).parents[3]

HANGING_TASK = """
from bakeoff.interfaces import Verdict
from bakeoff.tasks.arithmetic_task import ArithmeticTask

class Mine(ArithmeticTask):
    name = "mine"
    def verifier(self):
        return self
    def verify(self, problems, responses):
        return [Verdict(correct=None, reason="it hung") for _ in responses]
    def close(self):
        pass
"""


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bakeoff.tasks.text_task.read_hub", None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [
        {"question": "a?", "answer": "He has 18.\n#### 18", "response": "\\boxed{18}"},
        {"question": "b?", "answer": "3", "response": ["It is 3.", "\\boxed{4}", "no idea"]},
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def numbers(ended: Any) -> dict[str, str]:
    """The summary's rows: a name, and a number as the last word."""
    rows = (line.rsplit(maxsplit=1) for line in ended.out.splitlines())
    return {row[0].strip(): row[1] for row in rows if len(row) == 2}


def test_a_file_is_graded_beside_itself_and_summed_up(bakeoff: Bakeoff, file: Path) -> None:
    ended = bakeoff("grade", file.name)
    assert (ended.code, ended.err) == (0, "")
    assert numbers(ended) == {
        "lines": "2",
        "responses": "4",
        "accuracy": "50.00%",
        "strict accuracy": "25.00%",
        "format rate": "50.00%",
        "errors": "0",
        "error share": "0.00%",
        "graded:": "answers.graded.jsonl",
    }
    lines = file.with_name("answers.graded.jsonl").read_text().splitlines()
    assert [json.loads(line)["correct"] for line in lines] == [True, [True, False, False]]


def test_running_it_again_says_the_same(bakeoff: Bakeoff, file: Path) -> None:
    first = bakeoff("grade", file.name, "--workers", 2)
    out = file.with_name("answers.graded.jsonl")
    whole = out.read_text()
    out.write_text(whole[: len(whole) // 2])
    again = bakeoff("grade", file.name)
    assert (again.code, again.out) == (0, first.out)
    assert out.read_text() == whole


def test_another_task_judges_by_its_own_format(bakeoff: Bakeoff, tmp_path: Path) -> None:
    row = {"question": "47 +8", "answer": "55", "response": ["#55", "\\boxed{55}"]}
    (tmp_path / "in.jsonl").write_text(json.dumps(row))
    ended = bakeoff("grade", "in.jsonl", "--task", "arithmetic", "--out", "o.jsonl")
    assert (ended.code, numbers(ended)["accuracy"]) == (0, "50.00%")
    assert json.loads((tmp_path / "o.jsonl").read_text())["correct"] == [True, False]


def test_standard_input_needs_a_name_for_what_comes_out(file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bakeoff", "grade", "-"]
    settings: dict[str, Any] = {
        "input": file.read_text(),
        "cwd": tmp_path,
        "env": {**os.environ, "PYTHONPATH": str(ROOT)},
        "capture_output": True,
        "text": True,
    }
    refused = subprocess.run(command, **settings)
    assert refused.returncode == 2 and "give --out" in refused.stderr
    graded = subprocess.run([*command, "--out", "o.jsonl"], **settings)
    assert (graded.returncode, graded.stderr) == (0, "")
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 2


def test_a_verifier_that_fails_too_often_ends_it_with_code_1(
    bakeoff: Bakeoff, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(HANGING_TASK)
    row = {"question": "1?", "answer": "1", "response": ["1"] * 100}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    ended = bakeoff("grade", "in.jsonl", "--task", "mine.py:Mine")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("bakeoff: the verifier failed on 100 of 100")
    assert ended.err.count("\n") == 1
    ended = bakeoff("grade", "in.jsonl", "--task", "mine.py:Mine", "--error-ceiling", 1)
    assert (ended.code, numbers(ended)["error share"]) == (0, "100.00%")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("none.jsonl", "none.jsonl"),
        ("broken.jsonl", "broken.jsonl, line 2: not JSON"),
        ("answers.jsonl --task gsm8", "did you mean 'gsm8k'"),
        ("answers.jsonl --out answers.jsonl", "is the input itself"),
        ("answers.jsonl --out notes.txt", "notes.txt, line 1"),
        ("answers.jsonl --workers 0", "--workers"),
        ("answers.jsonl --error-ceiling 2", "--error-ceiling"),
        ("", "FILE.jsonl"),
    ],
)
def test_what_cannot_be_graded_is_one_line_and_code_2(
    bakeoff: Bakeoff, file: Path, arguments: str, told: str
) -> None:
    file.with_name("broken.jsonl").write_text(file.read_text().split("\n")[0] + "\n{")
    file.with_name("notes.txt").write_text("mine\n")
    ended = bakeoff("grade", *arguments.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("bakeoff: ") and ended.err.count("\n") == 1
    assert told in ended.err
