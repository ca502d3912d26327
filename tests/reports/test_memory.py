import pytest

from bakeoff.records import read_json, write_json
from reports.load import load_study
from reports.memory import WHOLE, memory_meaning, peak_bytes


def change_ledger(path, seed, peaks):
    file = path / f"ppo-s{seed}-abcdef0123/ledger.json"
    write_json(file, read_json(file) | {"peak_bytes": peaks})


def test_peaks_are_means_over_cells_by_component_where_there_are_any(make_study):
    path = make_study(methods=("ppo",), seeds=(0, 1))
    change_ledger(path, 0, {"load": 100, "update": {"policy": 10, "critic": 6}})
    change_ledger(path, 1, {"load": 300, "update": {"policy": 20, "critic": 8}})
    assert peak_bytes(load_study(path).of("ppo")) == {
        "load": {WHOLE: 200.0},
        "update": {"policy": 15.0, "critic": 7.0},
    }


@pytest.mark.parametrize(
    ("torch", "device", "meaning"),
    [
        ("2.13.0+cpu", "auto", "resident set"),
        ("2.13.0", "cpu", "resident set"),
        ("2.13.0", "cuda:0", "bytes that the CUDA allocator handed out"),
        ("2.13.0", "auto", "handed out; on a CPU, the resident set"),
    ],
)
def test_the_report_says_what_was_counted(make_study, torch, device, meaning):
    path = make_study(methods=("ppo",), seeds=(0,))
    study = read_json(path / "study.json")
    write_json(path / "study.json", study | {"versions": {"torch": torch}})
    file = path / "ppo-s0-abcdef0123/config.json"
    write_json(file, read_json(file) | {"model": {"device": device}})
    assert meaning in memory_meaning(load_study(path))
