import pytest

from bakeoff.records import read_json, write_json
from reports.load import load_study
from reports.memory import WHOLE, memory_meaning, peak_bytes, peak_components


def change_ledger(path, seed, peaks, *, name="peak_bytes"):
    file = path / f"ppo-s{seed}-abcdef0123/ledger.json"
    write_json(file, read_json(file) | {name: peaks})


def test_peaks_are_means_over_cells_by_component_where_there_are_any(make_study):
    path = make_study(methods=("ppo",), seeds=(0, 1))
    change_ledger(path, 0, {"load": 100, "update": {"policy": 10, "critic": 6}})
    change_ledger(path, 1, {"load": 300, "update": {"policy": 20, "critic": 8}})
    assert peak_bytes(load_study(path).of("ppo")) == {
        "load": {WHOLE: 200.0},
        "update": {"policy": 15.0, "critic": 7.0},
    }


def test_components_are_means_over_tracked_cells_and_one_that_is_missing_is_none(make_study):
    path = make_study(methods=("ppo",), seeds=(0, 1, 2))
    change_ledger(path, 0, {"update": {"activations": 10, "KV cache": 6}}, name="peak_components")
    change_ledger(path, 1, {"update": {"activations": 20}}, name="peak_components")
    assert peak_components(load_study(path).of("ppo")) == {
        "update": {"activations": 15.0, "KV cache": 3.0}
    }
    assert memory_meaning(load_study(path)).startswith("tensors allocated, by component")


def test_untracked_cells_have_no_components(make_study):
    study = load_study(make_study(methods=("ppo",), seeds=(0,)))
    assert peak_components(study.of("ppo")) == {}
    assert "tensors" not in memory_meaning(study)


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
