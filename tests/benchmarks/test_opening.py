"""What an opening refuses; gates that pass or fail are in test_compare and test_run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bakeoff.errors import ConfigError
from bakeoff.settings import cell_config
from benchmarks.methods import method_defaults
from benchmarks.opening import Gate, closed_gate, open_study
from benchmarks.suite import Cell

MakeCell = Callable[..., Cell]


@pytest.fixture
def cell() -> MakeCell:
    def make(method: str = "online_rft", **changes: Any) -> Cell:
        values = {
            "model": "config:builtin",
            "max_response_tokens": 8,
            "train_problems": 8,
            "evaluation_problems": 3,
            "evaluation_split": "validation",
            "final_samples": 2,
            "ood_problems": 0,
        }
        config = cell_config(method, method_defaults(method), values | changes)
        return Cell(arm=method, method=method, seed=0, config=config)

    return make


def open_in(folder: Path, arm: Cell, gates: list[Gate]) -> None:
    open_study(
        folder,
        arms=[arm],
        seeds=[1000, 1001],
        workers=2,
        force=False,
        console=Console(quiet=True),
        on_gate=gates.append,
    )


def test_a_gate_is_closed_before_it_was_tried() -> None:
    assert closed_gate(force=True) == {"passed": False, "failed": [], "forced": True}


@pytest.mark.slow
def test_what_only_loading_can_refuse_is_a_settings_error_without_a_gate(
    cell: MakeCell, tmp_path: Path
) -> None:
    gates: list[Gate] = []
    # From an earlier opening; it says nothing about these settings.
    (tmp_path / "gate.json").write_text('{"passed": true, "failed": []}')
    with pytest.raises(ConfigError, match=r"^gate: model folder '\./none' does not exist"):
        open_in(tmp_path, cell(model="./none"), gates)
    assert gates == []
