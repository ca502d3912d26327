import pytest

from bakeoff.records import read_json, read_lines

TINY = ("--model", "config:builtin", "--max-response-tokens", "8")


def test_a_line_a_problem_with_judged_responses(bakeoff, tmp_path):
    ended = bakeoff("sample", "--out", "s.jsonl", "--problems", 3, "--samples", 2, "--seed", 1)
    assert ended.code == 0, ended.err
    rows = list(read_lines(tmp_path / "s.jsonl"))
    assert [row["id"] for row in rows] == [f"arithmetic/train/{n}" for n in range(3)]
    for row in rows:
        assert set(row) == {
            *("id", "question", "answer", "responses", "correct", "extracted", "finish")
        }
        for response, correct, extracted in zip(
            row["responses"], row["correct"], row["extracted"], strict=True
        ):
            assert correct == response.endswith(f"\n#{row['answer']}")
            assert extracted is None or response.endswith(f"#{extracted}")
    assert any(True in row["correct"] for row in rows)  # the built-in model can reason a little
    assert f"{sum(sum(row['correct']) for row in rows) / 6:.1%} correct" in ended.out
    assert ended.err.startswith("3 of 3 problems")
    state = read_json(tmp_path / "s.jsonl.settings.json")
    assert state["settings"]["samples"] == 2
    assert state["ledger"]["rollouts"] == state["ledger"]["verifier_calls"] == 6


def test_responses_that_are_cut_are_wrong(bakeoff, tmp_path):
    bakeoff("sample", "--out", "s.jsonl", "--problems", 2, "--max-response-tokens", 3)
    for row in read_lines(tmp_path / "s.jsonl"):
        assert row["finish"] == ["length"] * 4
        assert row["correct"] == [False] * 4


def test_a_split_seed_or_more_samples_change_what_they_should(bakeoff, tmp_path):
    def responses(*arguments):
        name = "-".join(map(str, arguments)) + ".jsonl"
        ended = bakeoff("sample", "--out", name, "--problems", 2, *TINY, *arguments)
        assert ended.code == 0, ended.err
        return [row["responses"] for row in read_lines(tmp_path / name)]

    few = responses("--samples", 2)
    assert [row[:2] for row in responses("--samples", 5)] == few
    assert responses("--samples", 2, "--seed", 1) != few
    assert responses("--samples", 2, "--split", "test") != few


def test_a_finished_file_is_left_as_it_is_and_other_settings_are_refused(bakeoff, tmp_path):
    arguments = ("sample", "--out", "s.jsonl", "--problems", 2, *TINY)
    first = bakeoff(*arguments)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = bakeoff(*arguments)
    assert (again.code, again.out, again.err) == (0, first.out, "")
    refused = bakeoff(*arguments, "--temperature", "0.5")
    assert refused.code == 2
    assert "temperature was 1.0 and is 0.5; choose another --out" in refused.err
    assert refused.err.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--task arithmetik", "no task 'arithmetik'"),
        ("--model ./none", "model folder './none' does not exist"),
        ("--split training", "'training' is not one of"),
        ("--problems 99999", "the split has 20000"),
        ("--temperature 0", "at temperature 0 the 4 responses to a problem are equal"),
        ("--learning-rate 1", "--learning-rate does nothing in `bakeoff sample`"),
        ("--temperature hot", "temperature = 'hot'"),
        ("--config none.yaml", "none.yaml does not exist"),
        ("--out .", "is a folder; name a file"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(bakeoff, tmp_path, arguments, told):
    ended = bakeoff("sample", "--out", "s.jsonl", "--problems", 2, *arguments.split())
    assert ended.code == 2
    assert ended.err.startswith("bakeoff: ") and ended.err.count("\n") == 1, ended.err
    assert told in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_run_goes_on_and_repeats_nothing(bakeoff, killed, tmp_path):
    # Two problems a chunk, so that there are many to be killed between.
    arguments = ("--problems", 80, "--sampling-rows", 2, *TINY)
    state = tmp_path / "s.jsonl.settings.json"
    killed(
        *("sample", "--out", "s.jsonl", *arguments),
        when=lambda: state.exists() and 10 <= read_json(state)["done"] < 60,
        folder=tmp_path,
    )
    kept = read_json(state)["done"]
    before = list(read_lines(tmp_path / "s.jsonl"))[:kept]
    assert 10 <= kept < 80
    assert bakeoff("sample", "--out", "s.jsonl", *arguments).code == 0
    assert bakeoff("sample", "--out", "whole.jsonl", *arguments).code == 0
    rows = list(read_lines(tmp_path / "s.jsonl"))
    assert rows[:kept] == before
    assert rows == list(read_lines(tmp_path / "whole.jsonl"))
    interrupted, whole = (
        read_json(tmp_path / f"{name}.jsonl.settings.json")["ledger"] for name in ("s", "whole")
    )
    assert interrupted["problems"] == 80
    for name in ("problems", "rollouts", "sampled_tokens", "verifier_calls", "flops"):
        assert interrupted[name] == pytest.approx(whole[name])
