import json
from pathlib import Path

import pytest

from bakeoff.settings import cell_config, read_settings
from benchmarks.cells import cell_job, settings_file, write_settings
from benchmarks.launch import run_jobs
from benchmarks.methods import method_defaults
from benchmarks.suite import Cell


@pytest.fixture
def cell() -> Cell:
    values = {"learning_rate": 1e-4, "kl_coefficient": 0.1, "clip_epsilon": None, "seed": 7}
    config = cell_config("grpo", method_defaults("grpo"), values)
    return Cell(arm="gentle", method="grpo", seed=7, config=config)


def test_a_settings_file_makes_the_same_config_again(cell: Cell, tmp_path: Path) -> None:
    file = write_settings(cell, tmp_path / "study")
    assert file == settings_file(cell, tmp_path / "study")
    assert file.name == f"{cell.name}.json"
    values = read_settings(file)
    method = values.pop("method")
    assert method == "grpo"
    assert cell_config(method, method_defaults(method), values) == cell.config


def test_a_job_trains_the_cell_in_its_folder_from_its_settings(cell: Cell, tmp_path: Path) -> None:
    job = cell_job(cell, tmp_path)
    assert job.name == cell.name
    assert job.arguments == (
        *("-m", "bakeoff", "train", "--config", str(tmp_path / "settings" / f"{cell.name}.json")),
        *("--out", str(tmp_path / cell.name), "--quiet"),
    )
    assert json.loads(settings_file(cell, tmp_path).read_text())["kl_coefficient"] == 0.1


def test_a_job_says_nothing_of_an_earlier_one_in_its_log(cell: Cell, tmp_path: Path) -> None:
    first = cell_job(cell, tmp_path)
    first.log.parent.mkdir(exist_ok=True)
    first.log.write_text("from before\n")
    assert not cell_job(cell, tmp_path).log.exists()


def test_settings_that_the_process_refuses_are_its_reason(cell: Cell, tmp_path: Path) -> None:
    job = cell_job(cell, tmp_path)
    file = settings_file(cell, tmp_path)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"kl_coeficient": 1}))
    (result,) = run_jobs([job], workers=1)
    assert result.returncode == 2
    assert "did you mean 'kl_coefficient'" in result.reason
    assert not (tmp_path / cell.name).exists()
