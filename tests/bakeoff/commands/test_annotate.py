import json

import pytest

from bakeoff.records import read_json, read_lines
from bakeoff.reward_models.examples import RewardKind, read_examples
from bakeoff.reward_models.labels import label_accuracy

TINY = ("--model", "config:builtin", "--max-response-tokens", "8", "--completions", 2)


@pytest.fixture
def responses(tmp_path):
    """Five solutions of two problems; the second problem's are cut or have no text."""

    def write(name="r.jsonl"):
        rows = [
            {
                "id": "one",
                "question": "5 +3 -2",
                "answer": "6",
                "responses": ["5+3=8\n8-2=6\n#6", "5+3=9\n9-2=7\n#7", "5+3=8\n8-2=5\n#5"],
            },
            {
                "question": "4 +1 -2",
                "answer": "3",
                "responses": ["4+1=5\n5-", ""],
                "finish": ["length", "stop"],
            },
        ]
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def test_the_folder_holds_records_the_published_format_and_what_they_cost(
    bakeoff, responses, tmp_path
):
    ended = bakeoff("annotate", responses(), "--out", "a", "--completions", 4)
    assert ended.code == 0, ended.err
    records = list(read_lines(tmp_path / "a" / "annotations.jsonl"))
    assert [(record["id"], record["number"], len(record["steps"])) for record in records] == [
        *(("one", number, 3) for number in range(3)),
        ("4 +1 -2", 0, 2),
        ("4 +1 -2", 1, 0),
    ]
    assert [record["truth"] for record in records] == [
        [1, 1, 1],
        [0, 0, 0],
        [1, 0, 0],
        [1, None],
        [],
    ]
    # The built-in model finishes the right beginning, and #6 after a right chain is right.
    assert records[0]["steps"][0]["right"] > 0
    assert [step["right"] for step in records[0]["steps"]][-1] == 4
    assert [record["steps"][-1]["hard"] for record in records[1:3]] == [0, 0]

    published = list(read_lines(tmp_path / "a" / "math_shepherd.jsonl"))
    assert len(published) == 4  # of the solutions that have steps
    assert published[0]["input"] == ("5 +3 -2 Step 1: 5+3=8 ки\nStep 2: 8-2=6 ки\nStep 3: #6 ки")
    state = read_json(tmp_path / "a" / "annotation.json")
    assert state["labels"]["solutions"] == 5
    assert state["labels"]["steps"] == 11
    accuracy = label_accuracy(records, [1, 2, 4])
    assert list(state["label_accuracy"]) == ["1", "2", "4"]
    assert state["label_accuracy"]["4"]["hard"] == pytest.approx(accuracy[4].hard)
    assert state["label_accuracy"]["4"]["steps"] == 10
    # Prompt and response to the longest prefix that is continued; the empty one is not read.
    read = len("5 +3 -2\n5+3=8\n8-2=6\n")
    assert state["ledger"]["prompt_tokens"] == 3 * read + len("4 +1 -2\n4+1=5\n5-")
    assert state["ledger"]["rollouts"] == 4 * (2 + 2 + 2 + 2)
    assert f"{state['ledger']['sampled_tokens']:,} tokens sampled" in ended.out
    assert "N=  4  label accuracy: hard" in ended.out


def test_both_files_are_read_as_training_examples(bakeoff, responses, tmp_path):
    assert bakeoff("annotate", responses(), "--out", "a", *TINY).code == 0
    records, published = (
        list(read_examples(tmp_path / "a" / name, kind=RewardKind.PROCESS))
        for name in ("annotations.jsonl", "math_shepherd.jsonl")
    )
    assert [example.labels for example in records] == [example.labels for example in published]
    assert [example.finished for example in records] == [True, True, True, False]


def test_what_bakeoff_sample_writes_is_annotated(bakeoff, tmp_path):
    assert bakeoff("sample", "--out", "s.jsonl", "--problems", 2, *TINY[:4]).code == 0
    assert bakeoff("annotate", "s.jsonl", "--out", "a", *TINY).code == 0
    records = list(read_lines(tmp_path / "a" / "annotations.jsonl"))
    written = [
        (row["id"], response, finish)
        for row in read_lines(tmp_path / "s.jsonl")
        for response, finish in zip(row["responses"], row["finish"], strict=True)
    ]
    assert [(one["id"], one["response"], one["finish"]) for one in records] == written


def test_shards_are_disjoint_and_their_files_make_up_the_whole(bakeoff, responses, tmp_path):
    source = responses()
    assert bakeoff("annotate", source, "--out", "whole", *TINY).code == 0
    parts = []
    for index in (1, 2, 3):
        out = f"part{index}"
        arguments = ("--shard", f"{index}/3", "--limit-solutions", 4)
        assert bakeoff("annotate", source, "--out", out, *TINY, *arguments).code == 0
        parts.append(list(read_lines(tmp_path / out / "annotations.jsonl")))
    assert [len(part) for part in parts] == [2, 1, 1]
    together = sorted((one for part in parts for one in part), key=lambda one: one["response"])
    whole = list(read_lines(tmp_path / "whole" / "annotations.jsonl"))[:4]
    assert together == sorted(whole, key=lambda one: one["response"])


def test_a_finished_folder_is_left_as_it_is_and_anything_else_is_refused(
    bakeoff, responses, tmp_path
):
    source = responses()
    arguments = ("annotate", source, "--out", "a", *TINY)
    first = bakeoff(*arguments)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    again = bakeoff(*arguments)
    assert (again.code, again.out, again.err) == (0, first.out, "")
    for other, told in (
        (("--completions", 3), "completions was 2 and is 3"),
        (("--shard", "1/2"), "shard was '1/1' and is '1/2'"),
        (("--seed", 1), "seed was 0 and is 1"),
    ):
        refused = bakeoff(*arguments, *other)
        assert refused.code == 2
        assert told in refused.err and refused.err.count("\n") == 1
    source.write_text(source.read_text().replace("#6", "#7"))
    assert "source_digest was" in bakeoff(*arguments).err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("none.jsonl", "cannot read none.jsonl"),
        ("r.jsonl --shard 3/2", "shard 3/2 does not exist"),
        ("r.jsonl --shard half", "shard 'half' is not of the form I/N"),
        ("r.jsonl --shard 9/9", "shard 9/9 of 5 solutions is empty"),
        ("r.jsonl --temperature 0", "at temperature 0 the 2 completions of a step are equal"),
        ("r.jsonl --learning-rate 1", "--learning-rate does nothing in `bakeoff annotate`"),
        ("r.jsonl --task arithmetik", "no task 'arithmetik'"),
        ("r.jsonl --model ./none", "model folder './none' does not exist"),
        ("r.jsonl --completions 0", "0 is not in the range"),
        ("r.jsonl --limit-solutions 0", "0 is not in the range"),
        ("r.jsonl --out r.jsonl", "--out r.jsonl is a file"),
        ("bad.jsonl", "bad.jsonl, line 1: not JSON"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(bakeoff, responses, tmp_path, arguments, told):
    responses()
    (tmp_path / "bad.jsonl").write_text("{\n")
    before = sorted(tmp_path.iterdir())
    ended = bakeoff("annotate", "--out", "a", *TINY, *arguments.split())
    assert ended.code == 2
    assert ended.err.startswith("bakeoff: ") and ended.err.count("\n") == 1, ended.err
    assert told in ended.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_question_of_another_task_is_one_line(bakeoff, tmp_path):
    row = {"id": "apples", "question": "How many apples?", "answer": "6", "response": "#6"}
    (tmp_path / "r.jsonl").write_text(json.dumps(row) + "\n")
    ended = bakeoff("annotate", "r.jsonl", "--out", "a", *TINY)
    assert ended.code == 2
    assert "'apples' cannot be checked by task arithmetic" in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_repeats_nothing(bakeoff, killed, tmp_path):
    assert bakeoff("sample", "--out", "s.jsonl", "--problems", 64, "--samples", 4).code == 0
    arguments = ("annotate", "s.jsonl", "--completions", 4)
    state = tmp_path / "a" / "annotation.json"
    killed(
        *(*arguments, "--out", "a"),
        when=lambda: state.exists() and 64 <= read_json(state)["done"] < 256,
        folder=tmp_path,
    )
    kept = read_json(state)["done"]
    assert kept in (64, 128, 192)
    assert not (tmp_path / "a" / "math_shepherd.jsonl").exists()
    before = list(read_lines(tmp_path / "a" / "annotations.jsonl"))[:kept]
    with (tmp_path / "a" / "annotations.jsonl").open("a") as file:
        file.write('{"id": "what a kill in the middle of a line le')

    assert bakeoff(*arguments, "--out", "a").code == 0
    assert bakeoff(*arguments, "--out", "whole").code == 0
    for name in ("annotations.jsonl", "math_shepherd.jsonl"):
        rows = list(read_lines(tmp_path / "a" / name))
        assert len(rows) == 256
        assert rows == list(read_lines(tmp_path / "whole" / name))
    assert list(read_lines(tmp_path / "a" / "annotations.jsonl"))[:kept] == before
    interrupted, whole = (read_json(tmp_path / out / "annotation.json") for out in ("a", "whole"))
    for name in ("labels", "label_accuracy", "done", "hash"):
        assert interrupted[name] == whole[name]
    for name in ("rollouts", "prompt_tokens", "sampled_tokens", "verifier_calls", "flops"):
        assert interrupted["ledger"][name] == pytest.approx(whole["ledger"][name])
