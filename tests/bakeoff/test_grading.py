import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bakeoff import grading
from bakeoff.errors import CanaryError, ConfigError
from bakeoff.grading import Tally, grade
from bakeoff.interfaces import Verdict
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.tasks.arithmetic_task import ArithmeticTask
from bakeoff.tasks.corpora import CORPORA
from bakeoff.tasks.text_task import TextTask
from bakeoff.types import Problem

Fields = dict[str, Any]

GOLD = "He has 16 + 2 = <<16+2=18>>18.\n#### 18"


class Unsure:
    """An arithmetic task whose verifier fails on every answer that says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(ArithmeticTask(), name)

    def verifier(self) -> "Unsure":
        return self

    def verify(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        self.asked += responses
        return [
            Verdict(correct=None if text == "hang" else text == one.answer, extracted=text)
            for one, text in zip(problems, responses, strict=True)
        ]

    def close(self) -> None: ...


def write(path: Path, *rows: Fields) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[Fields]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(file: Path, out: Path, *, task: Any = None, ceiling: float = 0.02) -> Tally:
    with file.open("rb") as source:
        return grade(
            source,
            out,
            task=task or TextTask(CORPORA["gsm8k"]),
            workers=1,
            error_ceiling=ceiling,
        )


def error_of(file: Path, out: Path, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        run(file, out, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(
        tmp_path / "in.jsonl",
        {"question": "a?", "answer": GOLD, "response": "so \\boxed{18}", "model": "m"},
        {"question": "b?", "answer": 3, "response": ["It is 3.", "\\boxed{4}", "no idea"]},
        {"question": "c?", "answer": "1,080", "response": []},
    )


def test_each_line_comes_out_with_what_was_found(file: Path, tmp_path: Path) -> None:
    tally = run(file, tmp_path / "out.jsonl")
    rows = read(tmp_path / "out.jsonl")
    assert rows[0] == read(file)[0] | {"correct": True, "extracted": "18", "reason": ""}
    assert rows[1] == read(file)[1] | {
        "correct": [True, False, False],
        "extracted": [None, "4", None],
        "reason": ["", "is not 3", "no answer found"],
    }
    assert rows[2] == read(file)[2] | {"correct": [], "extracted": [], "reason": []}
    assert tally == Tally(
        lines=3, responses=4, correct=2, strictly_correct=1, formatted=2, errors=0
    )


def test_what_sampling_writes_can_be_graded(tmp_path: Path) -> None:
    row = {"id": "p/1", "question": "a?", "answer": "18", "responses": ["\\boxed{18}", "19"]}
    out = tmp_path / "out.jsonl"
    assert run(write(tmp_path / "in.jsonl", row), out).accuracy == 1 / 2
    (graded,) = read(out)
    assert (graded["responses"], graded["correct"]) == (row["responses"], [True, False])


def test_shares_leave_out_what_has_no_verdict() -> None:
    tally = Tally(lines=2, responses=8, correct=3, strictly_correct=1, formatted=4, errors=2)
    assert (tally.accuracy, tally.strict_accuracy) == (3 / 6, 1 / 6)
    assert (tally.format_rate, tally.error_share) == (4 / 8, 2 / 8)
    assert Tally().accuracy is None and Tally().error_share is None
    assert Tally(responses=1, errors=1).accuracy is None


def test_the_built_in_task_judges_its_own_format(tmp_path: Path) -> None:
    file = write(
        tmp_path / "in.jsonl",
        {"question": "47 +8", "answer": "55", "response": ["47+8=55\n#55", "#54", "55"]},
    )
    tally = run(file, tmp_path / "out.jsonl", task=ArithmeticTask())
    (row,) = read(tmp_path / "out.jsonl")
    assert (row["correct"], row["extracted"]) == ([True, False, False], ["55", "54", None])
    assert tally.accuracy == 1 / 3


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
@pytest.mark.parametrize("cut_off", [0, 1, 30])
def test_grading_continues_after_the_lines_that_are_there(
    file: Path, tmp_path: Path, kept: int, cut_off: int
) -> None:
    out = tmp_path / "out.jsonl"
    tally = run(file, out)
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.write_bytes(b"".join([*lines[:kept], *(line[:cut_off] for line in lines[kept : kept + 1])]))
    assert run(file, out) == tally
    assert out.read_bytes() == whole


def test_what_is_graded_already_is_not_judged_again(tmp_path: Path) -> None:
    rows = [{"question": "1?", "answer": "1", "response": str(number)} for number in range(6)]
    file, out = write(tmp_path / "in.jsonl", *rows[:4]), tmp_path / "out.jsonl"
    run(file, out, task=Unsure())
    task = Unsure()
    tally = run(write(file, *rows), out, task=task)
    assert task.asked == ["4", "5"]
    assert (tally.lines, tally.correct) == (6, 1)
    assert [row["correct"] for row in read(out)] == [False, True, False, False, False, False]


def test_a_graded_file_can_be_graded_anew(file: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    tally = run(file, first)
    first.write_text(first.read_text().replace('"correct": true', '"correct": false'))
    assert run(first, second) == tally
    assert read(second)[0]["correct"] is True
    assert run(first, second) == tally


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows[::-1],
        lambda rows: [rows[0] | {"response": "so \\boxed{19}"}],
        lambda rows: [rows[0] | {"model": "other"}],
        lambda rows: [{"some": "thing"}],
        lambda rows: [[1]],
        lambda rows: [{name: rows[0][name] for name in rows[0] if name != "correct"}],
        lambda rows: [rows[0], rows[1] | {"correct": [True]}],
        lambda rows: [*rows, rows[0]],
    ],
)
def test_an_out_of_another_input_is_refused_and_left_alone(
    file: Path, tmp_path: Path, spoil: Any
) -> None:
    out = tmp_path / "out.jsonl"
    run(file, out)
    write(out, *spoil(read(out)))
    before = out.read_bytes()
    message = error_of(file, out)
    assert "out.jsonl, line " in message and "name another --out" in message
    assert out.read_bytes() == before


@pytest.mark.parametrize("text", ["my notes", '{"question": "else', "not JSON\n"])
def test_an_out_that_is_no_such_file_is_left_alone(file: Path, tmp_path: Path, text: str) -> None:
    out = tmp_path / "notes.txt"
    out.write_text(text)
    assert "name another --out" in error_of(file, out)
    assert out.read_text() == text


def test_the_input_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"question": "a?", "answer": "1", "response": "1"}')  # without a line's end
    before = file.read_bytes()
    assert "is the input itself" in error_of(file, file)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "line 3: not JSON"),
        (b"[1]", "line 3: a list; one JSON object"),
        (b'{"question": "a?", "answer": "1"}', "line 3: one of 'response' and 'responses' must"),
        (b'{"question": "a?", "answer": "1", "response": [1]}', "line 3: one of 'response' and"),
        (b'{"question": "?", "answer": "1", "response": "", "responses": []}', "line 3: one of"),
        (b'{"question": "a?", "response": "1"}', "line 3: 'answer' must be text or a number"),
        (b'{"answer": "1", "response": "1"}', "line 3: 'question' must be text"),
        (b'{"question": "a?", "answer": "x ####", "response": "1"}', "line 3: 'answer' has noth"),
        (b'{"question": "\xff"}', "line 3: not UTF-8"),
        (b"[" * 100_000, "line 3: not JSON"),
        (b'{"question": "a?", "answer": ' + b"1" * 5000 + b', "response": "1"}', "line 3: not J"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: bytes, told: str) -> None:
    file = tmp_path / "in.jsonl"
    good = b'{"question": "a?", "answer": "1", "response": "1"}'
    file.write_bytes(good + b"\n\n" + line + b"\n")  # a blank line counts, and is skipped
    assert f"in.jsonl, {told}" in error_of(file, tmp_path / "out.jsonl")


def test_an_out_that_cannot_be_written_is_named(file: Path, tmp_path: Path) -> None:
    assert "cannot write" in error_of(file, tmp_path)
    assert run(file, tmp_path / "new" / "folder" / "out.jsonl").lines == 3


@pytest.mark.parametrize("ending", ["", "\n"])
def test_text_of_any_kind_survives(tmp_path: Path, ending: str) -> None:
    rows = [
        {"question": "多少？", "answer": "18", "response": "答案是18个。", "score": float("nan")},
        {"question": "\ud800", "answer": "18", "response": "\ud83d \x00\u202e18"},
    ]
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    text = "".join(json.dumps(row) + "\n" for row in rows).rstrip("\n") + ending
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    tally = run(file, out)
    assert (tally.responses, tally.correct) == (2, 2)
    assert "多少？" in out.read_text()
    assert read(out)[1]["response"] == rows[1]["response"]
    assert run(file, out) == tally


def test_too_many_responses_without_a_verdict_stop_it(tmp_path: Path) -> None:
    rows = [{"question": "1?", "answer": "1", "response": ["hang"] + ["1"] * 9}] * 10
    file, out = write(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl"
    with pytest.raises(CanaryError, match=r"10 of 100 responses \(10.0%\)"):
        run(file, out, task=Unsure())
    # What was judged is kept, and counts again.
    assert len(read(out)) == 10
    with pytest.raises(CanaryError, match="--error-ceiling"):
        run(file, out, task=Unsure())
    tally = run(file, out, task=Unsure(), ceiling=0.1)
    assert (tally.errors, tally.accuracy) == (10, 1.0)


def test_few_responses_say_nothing_about_the_verifier(tmp_path: Path) -> None:
    rows = [{"question": "1?", "answer": "1", "response": ["hang"] * 9}] * 11
    tally = run(write(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl", task=Unsure())
    assert (tally.errors, tally.responses, tally.accuracy) == (99, 99, None)


def test_what_was_judged_before_a_crash_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grading, "CHUNK_RESPONSES", 4)
    rows = [{"question": "1?", "answer": "1", "response": [str(n), "1"]} for n in range(9)]
    file, out = write(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl"
    seen: list[int] = []

    def interrupt(size: int, tally: Tally) -> None:
        seen.append(tally.lines)
        if tally.lines == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), file.open("rb") as source:
        grade(source, out, task=Unsure(), workers=1, error_ceiling=0.02, progress=interrupt)
    assert seen == [2, 4, 6]
    assert len(read(out)) == 6
    task = Unsure()
    assert run(file, out, task=task).lines == 9
    assert task.asked == ["6", "1", "7", "1", "8", "1"]


def test_progress_accounts_for_every_byte(file: Path, tmp_path: Path) -> None:
    sizes: list[int] = []
    for times in (1, 2):  # graded, and then found graded
        with file.open("rb") as source:
            grade(
                source,
                tmp_path / "out.jsonl",
                task=TextTask(CORPORA["gsm8k"]),
                workers=1,
                error_ceiling=0.02,
                progress=lambda size, tally: sizes.append(size),
            )
        assert sum(sizes) == times * os.path.getsize(file)


def test_answers_that_need_algebra_are_judged_by_as_many_children_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = MathVerifier(seconds=30)
    monkeypatch.setattr(TextTask, "verifier", lambda task: verifier)
    answers = [f"\\boxed{{{number}-x}}" for number in range(9)]
    rows = [{"question": "1?", "answer": "-x+4", "response": answers}]
    pids: list[int] = []
    with write(tmp_path / "in.jsonl", *rows).open("rb") as source:
        tally = grade(
            source,
            tmp_path / "out.jsonl",
            task=TextTask(CORPORA["math500"]),
            workers=2,
            error_ceiling=0.02,
            progress=lambda size, tally: pids.extend(verifier._pool.pids),
        )
    assert (tally.correct, tally.responses, len(pids)) == (1, 9, 2)
    assert verifier._pool.pids == []
