import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.errors import BakeoffError
from bakeoff.records import (
    RunDirectory,
    append_lines,
    config_hash,
    keep_lines_through,
    read_json,
    read_lines,
    write_json,
)

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_json = st.dictionaries(
    st.text(), st.recursive(_scalars, lambda x: st.dictionaries(st.text(), x), max_leaves=8)
)


def shuffled(value: Any, rng: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    keys = list(value)
    rng.shuffle(keys)
    return {key: shuffled(value[key], rng) for key in keys}


@settings(max_examples=40)
@given(config=_json, rng=st.randoms(use_true_random=False))
def test_a_hash_does_not_depend_on_the_order_of_keys(
    config: dict[str, Any], rng: random.Random
) -> None:
    assert config_hash(shuffled(config, rng)) == config_hash(config)


@settings(max_examples=40)
@given(config=_json)
def test_a_hash_survives_json(config: dict[str, Any]) -> None:
    assert config_hash(json.loads(json.dumps(config))) == config_hash(config)


def test_a_hash_is_ten_digits_and_depends_on_every_leaf() -> None:
    one = config_hash({"a": {"b": 1}})
    assert len(one) == 10 and int(one, 16) >= 0
    assert len({one, config_hash({"a": {"b": 2}}), config_hash({"a": {"c": 1}})}) == 3


def test_what_was_hashed_once_keeps_its_hash() -> None:
    # A number from outside: `printf '{"method":"grpo","seed":0}' | b2sum -l 40`.
    assert config_hash({"seed": 0, "method": "grpo"}) == "3e174b51a1"


def test_a_record_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write_json(path, {"state": "running", "text": "π"})
    with pytest.raises(TypeError):
        write_json(path, {"state": "finished", "broken": object()})
    assert read_json(path) == {"state": "running", "text": "π"}
    assert [file.name for file in tmp_path.iterdir()] == ["status.json"]


def test_a_crash_before_the_replacement_leaves_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.json"
    write_json(path, {"sampled_tokens": 1})

    def crash(*_: object) -> None:
        # Everything that a reader will see is on disk by now, under another name.
        (other,) = set(tmp_path.iterdir()) - {path}
        assert read_json(other) == {"sampled_tokens": 2}
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_json(path, {"sampled_tokens": 2})
    assert read_json(path) == {"sampled_tokens": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "is not JSON"), ("[1]", "holds a list, expected a JSON object"), ("", "is not JSON")],
)
def test_a_file_that_is_no_record_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "study.json"
    path.write_text(text)
    with pytest.raises(BakeoffError) as caught:
        read_json(path)
    assert str(path) in str(caught.value) and told in str(caught.value)


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(BakeoffError, match=r"none\.json does not exist"):
        read_json(tmp_path / "none.json")


def test_lines_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert list(read_lines(path)) == []
    append_lines(path, [{"batch": 1, "reward": 0.1}, {"batch": 2, "text": "a\nb\u2028c π"}])
    append_lines(path, [{"batch": 3, "kl": 1 / 3}])
    assert list(read_lines(path)) == [
        {"batch": 1, "reward": 0.1},
        {"batch": 2, "text": "a\nb\u2028c π"},
        {"batch": 3, "kl": 1 / 3},
    ]
    assert len(path.read_bytes().splitlines()) == 3


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_lines(path, [{"batch": 1}])
    with path.open("a") as file:
        file.write('{"batch": 2')
    assert list(read_lines(path)) == [{"batch": 1}]


def test_a_line_after_a_cut_off_one_is_not_spoiled(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    append_lines(path, [{"batch": 1}])
    with path.open("a") as file:
        file.write('{"batch": 2, "text": "π')
    append_lines(path, [{"batch": 2}])
    assert list(read_lines(path)) == [{"batch": 1}, {"batch": 2}]


def test_a_file_of_a_cut_off_line_alone_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text('{"bat')
    append_lines(path, [{"batch": 1}])
    assert path.read_text() == '{"batch": 1}\n'


def test_lines_past_a_batch_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.jsonl"
    append_lines(path, [{"batch": b, "row": r} for b in (0, 2, 4) for r in "ab"])
    keep_lines_through(path, 2)
    assert [(row["batch"], row["row"]) for row in read_lines(path)] == [
        (0, "a"), (0, "b"), (2, "a"), (2, "b"),
    ]  # fmt: skip
    keep_lines_through(path, -1)
    assert path.read_text() == ""
    assert [file.name for file in tmp_path.iterdir()] == ["evaluations.jsonl"]


def test_a_run_directory_tells_its_state(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.state == "pending"
    run.write_status("running", progress=0.5, batch=3)
    assert run.state == "running"
    assert read_json(run.status) == {
        "state": "running",
        "progress": 0.5,
        "message": "",
        "pid": os.getpid(),
        "batch": 3,
    }
    run.write_status("failed", message="out of memory")
    assert run.state == "failed"


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"batch": 1}\n{"batch": 2,}\n')
    with pytest.raises(BakeoffError, match=r"rows\.jsonl, line 2 is not JSON"):
        list(read_lines(tmp_path / "rows.jsonl"))
