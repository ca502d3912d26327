import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.responses import load_responses
from bakeoff.tasks.corpora import CORPORA
from bakeoff.tasks.text_task import TextTask
from bakeoff.types import Split

LINE: dict[str, Any] = {"question": "2+2?", "answer": 4, "responses": ["\\boxed{4}", "It is 5."]}


def write(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "responses.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_task_s_verifier_judges_and_extracts(tmp_path: Path) -> None:
    responses = ["\\boxed{4}", "so \\boxed{ 5 }", "The answer is 4.", "no idea", "#### 4"]
    (problem,) = load_responses(write(tmp_path, LINE | {"responses": responses}))
    assert problem.correct == (True, False, True, False, True)
    assert problem.answers == ("4", "5", None, None, "4")  # None: not in the asked format
    assert problem.id == "2+2?"
    assert problem.scores == {}


def test_another_task_brings_another_verifier(tmp_path: Path) -> None:
    line = {"question": "2 +2", "answer": "4", "responses": ["2+2=4\n#4", "2+2=5\n#5", "4"]}
    (problem,) = load_responses(write(tmp_path, line), task="arithmetic")
    assert problem.correct == (True, False, False)
    assert problem.answers == ("4", "5", None)


def test_what_is_judged_already_is_taken_as_it_is(tmp_path: Path) -> None:
    # The opposite of what the verifier would say.
    given = {"correct": [False, None], "extracted": [None, "6"]}
    (problem,) = load_responses(write(tmp_path, LINE | given), task="no such task is asked")
    assert problem.correct == (False, None)
    assert problem.answers == (None, "6")


def test_half_a_judgement_is_completed(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        LINE | {"id": 1, "correct": [False, True]},
        LINE | {"id": 2},
        LINE | {"id": 3, "correct": [True, True], "extracted": ["7", "8"]},
        LINE | {"id": 4, "extracted": ["7", None], "correct": None},
    )
    problems = load_responses(path)
    assert [problem.id for problem in problems] == ["1", "2", "3", "4"]
    assert [problem.correct for problem in problems] == [
        *((False, True), (True, False), (True, True), (True, False)),
    ]
    assert [problem.answers for problem in problems] == [
        *(("4", None), ("4", None), ("7", "8"), ("7", None)),
    ]


def test_scores_have_the_names_of_their_verifiers(tmp_path: Path) -> None:
    (plain,) = load_responses(write(tmp_path, LINE | {"scores": [1, -0.5]}))
    assert plain.scores == {"score": (1.0, -0.5)}
    (named,) = load_responses(write(tmp_path, LINE | {"scores": {"orm": [0, 1], "prm": [1, 2]}}))
    assert named.scores == {"orm": (0.0, 1.0), "prm": (1.0, 2.0)}


def test_a_worked_solution_counts_by_its_final_answer(tmp_path: Path) -> None:
    answers = ["He has 2 + 2 = <<2+2=4>>4.\n#### 4", "Since 2+2 = 4, it is $\\boxed{4}$."]
    lines = [LINE | {"id": i, "answer": answer} for i, answer in enumerate(answers)]
    problems = load_responses(write(tmp_path, *lines))
    assert [problem.correct for problem in problems] == [(True, False), (True, False)]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"responses": []}, "'responses' is empty"),
        ({"responses": "4"}, "'responses' must be a list of texts"),
        ({"responses": ["4", 5]}, "'responses' must be texts, its value 2 is 5"),
        ({"question": " "}, "'question' must be text"),
        ({"answer": None}, "'answer' must be text"),
        ({"id": ["a"]}, "'id' must be text or a number"),
        ({"scores": [1.0]}, "'scores' has 1 values for 2 responses"),
        ({"scores": 1.0}, "'scores' must be a list of finite numbers"),
        ({"scores": [1.0, float("nan")]}, "'scores' must be finite numbers, its value 2 is nan"),
        ({"scores": [1.0, float("-inf")]}, "its value 2 is -inf"),
        ({"scores": [1.0, 10**400]}, "'scores' must be finite numbers, its value 2"),
        ({"scores": [True, 1.0]}, "'scores' must be finite numbers, its value 1 is True"),
        ({"scores": {"orm": [1.0, None]}}, "'scores.orm' must be finite numbers, its value 2"),
        ({"correct": [1, 0]}, "'correct' must be true, false or null, its value 1 is 1"),
        ({"correct": [True]}, "'correct' has 1 values for 2 responses"),
        ({"extracted": [4, None]}, "'extracted' must be texts or null, its value 1 is 4"),
    ],
)
def test_a_line_that_does_not_fit_is_named(
    tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    path = write(tmp_path, LINE | {"id": "first"}, LINE | fields)
    with pytest.raises(ConfigError) as refused:
        load_responses(path)
    assert str(refused.value).startswith(f"{path}, line 2: ")
    assert told in str(refused.value)


def test_every_line_needs_scores_of_the_same_verifiers(tmp_path: Path) -> None:
    first = LINE | {"scores": {"orm": [1, 2]}}
    path = write(tmp_path, first, LINE | {"id": 2, "scores": [1, 2]})
    with pytest.raises(ConfigError, match=r"line 2: 'scores' are of 'score', .* of 'orm'"):
        load_responses(path)
    with pytest.raises(ConfigError, match=r"line 2: 'scores' are of no verifier, .* of 'orm'"):
        load_responses(write(tmp_path, first, LINE | {"id": 2}))


def test_a_problem_stands_on_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, LINE, LINE | {"id": "other"}, LINE | {"responses": ["6"]})
    with pytest.raises(ConfigError, match="line 3: the same problem as line 1"):
        load_responses(path)


def test_a_file_that_is_judged_needs_no_torch(tmp_path: Path) -> None:
    path = write(tmp_path, LINE | {"correct": [True, False], "extracted": ["4", "5"]})
    code = (
        "import sys; from pathlib import Path; from bakeoff.responses import load_responses\n"
        f"(problem,) = load_responses(Path({str(path)!r}))\n"
        "print(problem.answers, 'torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.stdout == "('4', '5') False\n", ended.stderr


def test_gold_responses_of_a_published_set_are_all_correct(
    tmp_path: Path, data_folder: Path
) -> None:
    task = TextTask(CORPORA["math500"], data=str(data_folder))
    asked = task.problems(Split.TEST, count=100)
    lines = [
        {
            "id": problem.id,
            "question": problem.question,
            "answer": problem.answer,
            "responses": [task.gold_response(problem), "I cannot tell."],
        }
        for problem in asked
    ]
    judged = load_responses(write(tmp_path, *lines), task="math500")
    assert [problem.id for problem in judged] == [problem.id for problem in asked]
    assert {problem.correct for problem in judged} == {(True, False)}
