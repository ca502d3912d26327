import json

import pytest
from click.testing import CliRunner

from benchmarks.overhead import main, overhead

LEDGER = {"wall_seconds": 100.0, "seconds": {"sample": 60.0, "update": 36.0, "measure": 1.5}}


def test_what_no_phase_is_charged_with_is_the_harness():
    found = overhead("grpo-s0", LEDGER)
    assert found.checks == pytest.approx(0.015)
    assert found.records == pytest.approx(0.025)
    assert found.harness == pytest.approx(0.04)
    assert found.phases == pytest.approx({"sample": 0.6, "update": 0.36})


def test_only_finished_cells_count(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps({"versions": {"python": "3"}}))
    for name, state in (("grpo-s0", "finished"), ("ppo-s0", "running")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ledger.json").write_text(json.dumps(LEDGER))
        (tmp_path / name / "status.json").write_text(json.dumps({"state": state}))
    out = tmp_path / "overhead.json"
    result = CliRunner().invoke(main, [str(tmp_path), "--json", str(out)])
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert [cell["cell"] for cell in record["cells"]] == ["grpo-s0"]
    assert record["median_harness"] == pytest.approx(0.04)


def test_a_folder_without_cells_is_refused_in_a_line(tmp_path):
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert result.exit_code == 1
    assert "no finished cells" in result.output
