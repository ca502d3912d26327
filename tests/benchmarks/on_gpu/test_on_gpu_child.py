from pathlib import Path

from benchmarks.on_gpu.child import append, attempted, rows_of


def test_a_piece_of_work_that_raises_is_a_row_too() -> None:
    def raises() -> dict[str, object]:
        raise MemoryError("too much\nand more")

    assert attempted("a", lambda: {"value": 1}) | {"wall_seconds": 0} == {
        "name": "a",
        "value": 1,
        "wall_seconds": 0,
    }
    assert attempted("b", raises)["failed"] == "MemoryError: too much"


def test_a_row_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    assert rows_of(file) == []
    append(file, [{"name": "one"}, {"name": "two"}])
    with file.open("a") as lines:
        lines.write('{"name": "th')
    assert rows_of(file) == [{"name": "one"}, {"name": "two"}]
