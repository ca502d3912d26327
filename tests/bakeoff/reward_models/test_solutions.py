import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import ConfigError
from bakeoff.reward_models.solutions import Shard, parse_shard, read_solutions


@pytest.fixture
def file(tmp_path):
    def write(*rows):
        path = tmp_path / "responses.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def test_every_response_of_every_line_is_a_solution(file):
    path = file(
        {"id": "a", "question": "1 +1", "answer": "2", "responses": ["#2", "#3"]},
        {"question": "1 +2", "answer": 3, "response": " #3\n", "finish": "length"},
    )
    found = read_solutions(path)
    assert [(s.problem.id, s.number, s.response, s.finish) for s in found] == [
        ("a", 0, "#2", "stop"),
        ("a", 1, "#3", "stop"),
        ("1 +2", 0, " #3\n", "length"),  # spaces are the model's own
    ]
    assert [s.problem.answer for s in found] == ["2", "2", "3"]
    assert read_solutions(path, limit=2) == found[:2]
    assert read_solutions(path, limit=9) == found


def test_solutions_of_one_problem_are_numbered_over_its_lines(file):
    row = {"id": "a", "question": "1 +1", "answer": "2"}
    path = file(row | {"response": "#2"}, row | {"responses": ["#3", "#4"]})
    assert [solution.number for solution in read_solutions(path)] == [0, 1, 2]


def test_the_answer_is_taken_out_of_a_worked_solution(file):
    path = file({"question": "?", "answer": "1+1=2\n#### 2", "response": "x"})
    assert read_solutions(path)[0].problem.answer == "2"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": "?", "answer": "1"}, "'responses' must be a list of texts"),
        ({"question": "?", "answer": "1", "responses": [1]}, "'responses' must be a list of"),
        ({"question": "?", "response": "x"}, "'answer'"),
        ({"question": "?", "answer": "1", "response": "x", "finish": "eos"}, "'eos'"),
        ({"question": "?", "answer": "1", "responses": []}, "holds no responses"),
    ],
)
def test_a_line_that_does_not_fit_is_refused(file, row, told):
    with pytest.raises(ConfigError, match=told):
        read_solutions(file(row))


@given(st.integers(0, 40), st.integers(1, 12))
def test_shards_are_disjoint_and_make_up_the_whole(solutions, count):
    every = list(range(solutions))
    parts = [Shard(index=index, count=count).of(every) for index in range(1, count + 1)]
    assert sorted(one for part in parts for one in part) == every
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2", "1/2/3", "1.5/2"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="shard"):
        parse_shard(text)


def test_a_shard_counts_from_one():
    assert parse_shard("2/3").of("abcdefgh") == ["b", "e", "h"]
