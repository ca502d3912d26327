from algorithms import PRESETS
from bakeoff.records import read_json
from bakeoff.settings import cell_config
from benchmarks.gate import run_gate

SETTINGS = {"model": "config:builtin", "max_response_tokens": 16}
ARMS = [
    (cell_config(name, PRESETS[name], SETTINGS), PRESETS[name]) for name in ("online_rft", "grpo")
]


def test_a_shortened_gate_says_so_on_screen_and_on_disk(tmp_path, capsys):
    for shortened in (True, False):
        file = tmp_path / "gate.json"
        assert run_gate(ARMS, json_file=file, shortened=shortened)
        assert read_json(file) == {"passed": True, "failed": [], "shortened": shortened}
        assert ("shortened: 64 gold answers" in capsys.readouterr().out) == shortened


def test_a_failed_gate_names_the_check_and_its_reason(tmp_path):
    # Random weights at an absurd temperature: the first token's rounding alone passes the ceiling.
    config = cell_config("grpo", PRESETS["grpo"], SETTINGS | {"temperature": 1e-6})
    assert not run_gate([(config, PRESETS["grpo"])], json_file=tmp_path / "gate.json")
    record = read_json(tmp_path / "gate.json")
    assert not record["passed"]
    assert all(row.keys() == {"check", "reason"} for row in record["failed"])
