import json
from collections import namedtuple
from pathlib import Path

import pytest

from bakeoff.config import SECTIONS
from bakeoff.errors import ConfigError
from benchmarks.synthetic_study import PROBLEMS, SAMPLES, Size, write_study
from reports.load import METRIC_KEYS, load_study

SMALL = Size(methods=2, seeds=2, rows=6)


def test_a_study_loads_with_every_cell_batch_and_evaluation(tmp_path: Path) -> None:
    write_study(tmp_path, SMALL)
    study = load_study(tmp_path)
    assert study.methods == ("grpo_00", "grpo_01")
    assert [(cell.method, cell.seed) for cell in study.of("grpo_01")] == [
        ("grpo_01", 0),
        ("grpo_01", 1),
    ]
    for cell in study.cells:
        assert cell.metrics["batch"].tolist() == [1, 2, 3, 4, 5, 6]
        assert all(len(set(cell.metrics["entropy"])) == 6 for cell in study.cells)
        middle, end = cell.evaluations["test"]
        assert (middle.batch, middle.final, end.batch, end.final) == (3, False, 6, True)
        assert end.samples.tolist() == [SAMPLES] * PROBLEMS
        assert SECTIONS.keys() <= cell.config.keys() | {"seeds"}
    assert set(study.start) == {0, 1}
    # Learning is what a report has to show.
    assert study.cells[0].evaluations["test"][0].right.sum() < end.right.sum()


def test_a_line_has_every_metric_that_a_report_draws(tmp_path: Path) -> None:
    write_study(tmp_path, SMALL)
    file = next(tmp_path.glob("grpo_00-s0-*/metrics.jsonl"))
    line = json.loads(file.read_text().splitlines()[0])
    assert set(METRIC_KEYS) <= line.keys()


def test_the_same_size_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_study(tmp_path / name, SMALL)
    files = [
        {f.relative_to(tmp_path / name): f.read_bytes() for f in (tmp_path / name).rglob("*.jsonl")}
        for name in "ab"
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 3 * 4 + 2


def test_the_disk_is_asked_for_what_is_written_and_not_for_half_more(tmp_path: Path) -> None:
    size = Size(methods=1, seeds=1, rows=400)
    write_study(tmp_path, size)
    written = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert written < size.bytes < 1.5 * written


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    with pytest.raises(ConfigError, match=r"0\.0 GB free, the study takes 14\.\d GB"):
        write_study(tmp_path, Size(methods=20, seeds=500, rows=1000))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not empty"):
        write_study(tmp_path, SMALL)
