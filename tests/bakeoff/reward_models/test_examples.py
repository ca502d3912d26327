import json
from pathlib import Path

import pytest

from bakeoff.errors import ConfigError
from bakeoff.reward_models.examples import (
    LabelledSolution,
    hold_out,
    read_examples,
    responses_of,
    stream_rows,
)
from bakeoff.reward_models.folder import RewardKind
from bakeoff.rewards.steps import split_steps

ANNOTATED = {
    "id": "a",
    "question": "2 +3 *2",
    "answer": "10",
    "response": "2+3=5\n5*2=11\n#11",
    "finish": "stop",
    "steps": [
        {"text": "2+3=5", "end": 6, "hard": 1, "soft": 0.75, "completions": 4, "right": 3},
        {"text": "5*2=11", "end": 13, "hard": 1, "soft": 0.25, "completions": 4, "right": 1},
        {"text": "#11", "end": 16, "hard": 0, "soft": 0.0, "completions": 4, "right": 0},
    ],
}
# As the data set's card shows it.
PUBLISHED = {
    "input": "If Buzz ate 78 slices, how many? Step 1: The ratio is 5+8 = <<5+8=13>>13. ки\n"
    "Step 2: He ate 78 x 5 / 13 = 30. ки\nStep 3: So 30. The answer is: 30 ки",
    "label": "If Buzz ate 78 slices, how many? Step 1: The ratio is 5+8 = <<5+8=13>>13. +\n"
    "Step 2: He ate 78 x 5 / 13 = 30. +\nStep 3: So 30. The answer is: 30 -",
    "task": "GSM8K",
}


@pytest.fixture
def read(tmp_path):
    def run(*rows, kind=RewardKind.PROCESS, estimate="hard"):
        path = tmp_path / "data.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return list(read_examples(path, kind=kind, estimate=estimate))

    return run


@pytest.mark.parametrize(
    ("estimate", "labels"), [("hard", (1.0, 1.0, 0.0)), ("soft", (0.75, 0.25, 0.0))]
)
def test_annotated_steps_have_the_estimate_that_is_asked_for(read, estimate, labels):
    assert read(ANNOTATED, estimate=estimate) == [
        LabelledSolution(
            question="2 +3 *2", response="2+3=5\n5*2=11\n#11", ends=(6, 13, 16), labels=labels
        )
    ]


def test_the_last_step_says_the_outcome_of_an_annotated_solution(read):
    [example] = read(ANNOTATED, kind=RewardKind.OUTCOME)
    assert (example.ends, example.labels) == ((16,), (0.0,))


def test_a_cut_solution_is_wrong_whatever_it_could_still_become(read):
    [first, *_] = ANNOTATED["steps"]
    row = ANNOTATED | {"response": "2+3=5\n", "finish": "length", "steps": [first]}
    [outcome] = read(row, kind=RewardKind.OUTCOME)
    assert (outcome.labels, outcome.finished) == ((0.0,), False)
    [process] = read(row)
    assert (process.labels, process.finished) == ((1.0,), False)


def test_without_a_label_on_the_last_step_there_is_no_outcome(read):
    row = ANNOTATED | {"steps": ANNOTATED["steps"][:2]}
    assert read(row, kind=RewardKind.OUTCOME) == []
    assert read(row)[0].labels == (1.0, 1.0)
    assert read(ANNOTATED | {"steps": []}) == []


def test_the_published_format_is_read_without_its_tags(read):
    [example] = read(PUBLISHED)
    assert example.question == "If Buzz ate 78 slices, how many?"
    assert example.response == (
        "Step 1: The ratio is 5+8 = <<5+8=13>>13.\nStep 2: He ate 78 x 5 / 13 = 30.\n"
        "Step 3: So 30. The answer is: 30"
    )
    assert example.labels == (1.0, 1.0, 0.0)
    # Where the steps of a response are scored later.
    assert example.ends == tuple(step.end for step in split_steps(example.response))
    [outcome] = read(PUBLISHED, kind=RewardKind.OUTCOME)
    assert (outcome.ends, outcome.labels) == ((len(example.response),), (0.0,))


def test_steps_of_several_lines_and_an_untagged_end_keep_their_text(read):
    [example] = read(
        {
            "input": "Q? Step 1: a\n\nb ки\n\nStep 2: c - ки\nStep 3: d",
            "label": "Q? Step 1: a\n\nb +\n\nStep 2: c - -\nStep 3: d",
        }
    )
    assert example.response == "Step 1: a\n\nb\n\nStep 2: c -\nStep 3: d"
    assert [example.response[:end] for end in example.ends] == [
        "Step 1: a\n\nb\n\n",
        "Step 1: a\n\nb\n\nStep 2: c -\n",
    ]
    assert example.labels == (1.0, 0.0)


def test_every_graded_response_with_a_verdict_is_an_example(read):
    examples = read(
        {
            "question": "1 +1",
            "responses": ["#2", "#3", "#4", " "],
            "correct": [True, False, None, 0],
        },
        {"question": "1 +2", "response": "#3", "correct": True},
        {"question": "1 +3", "response": ["#4", "1+"], "correct": [True, False], "finish": None},
        {"question": "1 +4", "responses": ["1+"], "correct": [False], "finish": ["length"]},
        kind=RewardKind.OUTCOME,
    )
    assert [(e.question, e.response, e.ends, e.labels, e.finished) for e in examples] == [
        ("1 +1", "#2", (2,), (1.0,), True),
        ("1 +1", "#3", (2,), (0.0,), True),
        ("1 +2", "#3", (2,), (1.0,), True),
        ("1 +3", "#4", (2,), (1.0,), True),
        ("1 +3", "1+", (2,), (0.0,), True),
        ("1 +4", "1+", (2,), (0.0,), False),
    ]


def test_one_file_may_hold_all_forms(read):
    graded = {"question": "1 +1", "responses": ["#2"], "correct": [True]}
    assert len(read(ANNOTATED, PUBLISHED, graded, kind=RewardKind.OUTCOME)) == 3


STEP = {"end": 6, "hard": 1, "soft": 1.0}
GRADED = {"question": "1 +1", "responses": ["#2", "#3"], "correct": [True, False]}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (GRADED, "labelled steps"),
        (ANNOTATED | {"question": ""}, "'question' must be text"),
        (ANNOTATED | {"response": None}, "'response' a text"),
        (ANNOTATED | {"response": ["a", "b"], "finish": None}, "one 'response'"),
        (ANNOTATED | {"steps": {"0": STEP}}, "a list of 'steps'"),
        (ANNOTATED | {"steps": [STEP, STEP]}, "ends at 6; .* above 6 and at most 16"),
        (ANNOTATED | {"steps": [STEP | {"end": 17}]}, "ends at 17"),
        (ANNOTATED | {"steps": ["2+3=5"]}, "ends at None"),
        (ANNOTATED | {"steps": [STEP | {"hard": 2}]}, "hard label 2; expected 0 to 1"),
        (ANNOTATED | {"steps": [{"end": 6}]}, "hard label None"),
        (ANNOTATED | {"finish": "eos"}, "'finish' must hold .* got 'eos'"),
        (PUBLISHED | {"input": 3}, "must be text"),
        (
            PUBLISHED | {"input": "Q? Step 1: no tag", "label": "Q? Step 1: no tag"},
            "steps that end",
        ),
        (PUBLISHED | {"label": PUBLISHED["input"]}, r"\+ or - for every ки.* at character 74"),
        (PUBLISHED | {"label": PUBLISHED["label"] + " more"}, "the same text"),
        ({"input": "Q? ки", "label": "Q? +"}, "'Step 1:'"),
    ],
)
def test_a_line_that_is_no_labelled_step_is_one_error_with_its_number(read, row, told):
    with pytest.raises(ConfigError, match=told) as caught:
        read(ANNOTATED, row)
    assert "data.jsonl, line 2: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": "1 +1", "responses": ["#2"]}, "takes 'correct'"),
        (GRADED | {"correct": [True]}, "'correct' has 1 values for 2 responses"),
        (GRADED | {"correct": ["yes", "no"]}, "true, false or null, got 'yes'"),
        (GRADED | {"responses": ["#2", 3]}, "must be a list of texts"),
        (GRADED | {"finish": "stop"}, "'finish' has 1 values for 2 responses"),
        ({"question": "1 +1"}, "must be a list of texts"),
    ],
)
def test_a_line_that_is_no_graded_response_is_refused(read, row, told):
    with pytest.raises(ConfigError, match=told):
        read(row, kind=RewardKind.OUTCOME)


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": "x\xe2\x80\xa8y"}\r\n\n[1]\n')
    rows = stream_rows(path)
    first = next(rows)
    assert (first.fields, first.number) == ({"a": "x\u2028y"}, 1)
    with pytest.raises(ConfigError, match=r"a\.jsonl, line 3: a list"):
        next(rows)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "No such file"), (b"{\n", "line 1: not JSON"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, content, told):
    path = tmp_path / "a.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=told) as caught:
        list(stream_rows(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_responses_without_a_finish_ended_by_themselves(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"response": "a"}\n{"responses": ["a", "b"], "finish": ["length", "stop"]}\n')
    assert [responses_of(row) for row in stream_rows(path)] == [
        (["a"], [True]),
        (["a", "b"], [False, True]),
    ]


def examples(count: int) -> list[LabelledSolution]:
    return [
        LabelledSolution(question=f"{i % 200} +1", response=f"#{i}", ends=(2,), labels=(1.0,))
        for i in range(count)
    ]


def test_no_question_is_in_both_parts() -> None:
    kept, held_out = hold_out(examples(1000), share=0.25)
    questions = [{example.question for example in part} for part in (kept, held_out)]
    assert questions[0] & questions[1] == set()
    assert len(kept) + len(held_out) == 1000
    # 200 questions, 50 expected: more than five standard deviations of a fair draw on either side.
    assert 19 < len(questions[1]) < 81


def test_a_file_that_grows_moves_no_example() -> None:
    _, few = hold_out(examples(100), share=0.3)
    _, many = hold_out(examples(150), share=0.3)
    assert few == many[: len(few)]


def test_nothing_is_held_out_at_share_zero() -> None:
    assert hold_out(examples(50), share=0) == (examples(50), [])
