import itertools
import json
from pathlib import Path

import pytest

from bakeoff.errors import ConfigError
from bakeoff.tasks import arithmetic
from bakeoff.tasks.jsonl_task import JsonlTask
from bakeoff.types import Split

PARTS = (Split.TRAIN, Split.VALIDATION, Split.TEST)


def write(path: Path, count: int, **extra: str) -> Path:
    rows = [{"question": f"What is {n}+1?", "answer": n + 1} | extra for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_splits_are_disjoint_complete_and_near_80_10_10(tmp_path: Path) -> None:
    task = JsonlTask(write(tmp_path / "sums.jsonl", 1000))
    parts = [{problem.question for problem in task.problems(split)} for split in PARTS]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 1000
    assert [round(len(part) / 100) for part in parts] == [8, 1, 1]
    assert task.problems(Split.OOD) == []


def test_appended_lines_move_no_earlier_problem(tmp_path: Path) -> None:
    before = JsonlTask(write(tmp_path / "sums.jsonl", 100))
    after = JsonlTask(write(tmp_path / "sums.jsonl", 300))
    for split in PARTS:
        problems = before.problems(split)
        assert after.problems(split, count=len(problems)) == problems


def test_equal_questions_stay_together(tmp_path: Path) -> None:
    path = write(tmp_path / "sums.jsonl", 100)
    path.write_text(path.read_text() * 2)
    parts = [[problem.question for problem in JsonlTask(path).problems(s)] for s in PARTS]
    assert sum(map(len, parts)) == 200
    for one, other in itertools.combinations(parts, 2):
        assert not set(one) & set(other)


def test_a_problem_is_named_after_its_file_and_line(tmp_path: Path) -> None:
    task = JsonlTask(write(tmp_path / "sums.jsonl", 100))
    assert task.name == "sums"
    for problem in task.problems(Split.TRAIN):
        line = int(problem.id.removeprefix("sums/"))
        assert problem.question == f"What is {line - 1}+1?"
        assert problem.answer == str(line)


def test_a_split_that_would_be_empty_is_explained(tmp_path: Path) -> None:
    task = JsonlTask(write(tmp_path / "tiny.jsonl", 1))
    (used,) = [split for split in PARTS if task._rows[split]]
    for split in set(PARTS) - {used}:
        with pytest.raises(ConfigError, match=f"no {split.value} problems.*{used.value} 1"):
            task.problems(split)
    assert len(task.problems(used)) == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"question": "a"}', "'answer' must be text or a number"),
        ('{"answer": "1"}', "'question' must be text or a number"),
        ('{"question": "a", "answer": ""}', "'answer'"),
        ("oops", "not JSON"),
    ],
)
def test_a_bad_line_is_named_when_the_task_is_loaded(
    tmp_path: Path, line: str, expected: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"question": "a", "answer": "1"}\n' + line)
    with pytest.raises(ConfigError, match=f"line 2: .*{expected}|line 2: {expected}"):
        JsonlTask(path)


def test_solutions_are_the_demonstrations(tmp_path: Path) -> None:
    task = JsonlTask(write(tmp_path / "sums.jsonl", 100, solution="So \\boxed{1}."))
    training = {problem.id for problem in task.problems(Split.TRAIN)}
    shown = list(itertools.islice(task.demonstrations(seed=0), len(training)))
    assert {problem.id for problem, _ in shown} == training
    assert {text for _, text in shown} == {"So \\boxed{1}."}
    assert list(itertools.islice(task.gold_demonstrations(seed=0), len(shown))) == shown
    assert task.step_checker() is None


def test_without_solutions_there_are_no_demonstrations(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'solution'"):
        JsonlTask(write(tmp_path / "sums.jsonl", 100)).demonstrations(seed=0)


def test_questions_of_another_tasks_split_still_spread_over_every_split(tmp_path):
    file = tmp_path / "exported.jsonl"
    exported = arithmetic.problems(Split.TRAIN, count=300)
    file.write_text(
        "".join(json.dumps({"question": p.question, "answer": p.answer}) + "\n" for p in exported)
    )
    task = JsonlTask(file)
    for split, share in ((Split.TRAIN, 0.8), (Split.VALIDATION, 0.1), (Split.TEST, 0.1)):
        assert len(task.problems(split)) == pytest.approx(300 * share, rel=0.5)
