import json
import sys
from pathlib import Path

import pytest

from bakeoff.errors import ConfigError
from bakeoff.tasks.rows import HubDataSet, Row, read_hub, read_jsonl


def row(**fields: object) -> Row:
    return Row(fields=fields, number=3, where="file.jsonl, line 3")


def test_rows_know_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "一"}\n\n{"question": "二"}\n', encoding="utf-8")
    rows = read_jsonl(path)
    assert [(row.number, row.text("question")) for row in rows] == [(1, "一"), (3, "二")]
    assert rows[1].where == f"{path}, line 3"


def test_a_separator_inside_a_string_does_not_end_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "a\u2028b"}\n', encoding="utf-8")
    assert read_jsonl(path)[0].text("question") == "a\u2028b"


def test_a_byte_order_mark_is_no_data(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"question": "a"}\r\n')
    assert read_jsonl(path)[0].text("question") == "a"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ('{"question": "a"}\n{"question": ', "line 2: not JSON"),
        ("[1, 2]", "line 1: a list"),
    ],
)
def test_what_is_no_data_is_refused_with_its_line(
    tmp_path: Path, content: str, expected: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError, match=expected) as caught:
        read_jsonl(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_jsonl(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl: No such file"):
        read_jsonl(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("value", "expected"), [(" a ", "a"), (145.0, "145"), (2.5, "2.5"), (7, "7"), (0, "0")]
)
def test_text_and_numbers_are_text(value: object, expected: str) -> None:
    assert row(answer=value).text("answer") == expected


@pytest.mark.parametrize("value", [None, "", "  ", True, [1], {"a": 1}])
def test_what_is_neither_text_nor_number_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"line 3: 'answer' must be text.*it has: answer"):
        row(answer=value).text("answer")


def test_the_first_field_that_is_there_is_taken() -> None:
    assert row(answer=None, answer_number=3).text("answer", "answer_number") == "3"


def test_a_hub_data_set_is_read_by_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `datasets` takes a folder of files wherever it takes a hub id.
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "hub"
    folder.mkdir()
    for split in ("train", "test"):
        rows = [{"question": f"{split} {index}", "answer": index} for index in range(3)]
        text = "".join(json.dumps(fields) + "\n" for fields in rows)
        (folder / f"{split}.jsonl").write_text(text)
    rows = read_hub(HubDataSet(repository=str(folder)), "train+test")
    assert [row.text("question") for row in rows] == [
        f"{split} {index}" for split in ("train", "test") for index in range(3)
    ]
    assert [row.number for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[0].where.endswith("train+test, row 1")


def test_a_hub_that_cannot_be_read_says_how_to_do_without(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(ConfigError, match="set data to a folder") as caught:
        read_hub(HubDataSet(repository=str(tmp_path / "nothing" / "here" / "at-all")), "test")
    assert "\n" not in str(caught.value)


def test_without_datasets_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match="pip install datasets"):
        read_hub(HubDataSet(repository="openai/gsm8k"), "test")
