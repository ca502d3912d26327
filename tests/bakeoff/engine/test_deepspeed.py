import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

pytest.importorskip("deepspeed", reason="pip install deepspeed")

ROOT = Path(__file__).parents[3]
RANK = Path(__file__).with_name("parity_of_engines.py")
PARENT = """
import sys
from bakeoff.processes import run_ranks
sys.exit(run_ranks(sys.argv[2:], processes=int(sys.argv[1])))
"""
ROUNDED = {
    "loss": 1e-6,
    "critic_loss": 1e-6,
    "grad_norm": 1e-5,
    "token_means": 2e-4,
    "policy": 1e-5,
    "critic": 1e-5,
    "frozen": 1e-5,
    "moments": 1e-6,
    "steps": 0.0,
}
# Other micro-batches round bfloat16 otherwise: a matter of the cut, on one engine as well.
ROUNDED_IN_BFLOAT16 = ROUNDED | {
    "loss": 1e-3,
    "critic_loss": 1e-3,
    "grad_norm": 1e-2,
    "token_means": 1e-2,
    "policy": 2e-3,
    "critic": 2e-3,
    "moments": 1e-3,
}


def run_group(processes, folder, before=None):
    folder.mkdir()
    result = subprocess.run(
        [
            *(sys.executable, "-c", PARENT, str(processes), str(RANK), str(folder)),
            *([] if before is None else [str(before)]),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads((folder / "found.json").read_text())


def assert_engines_agree(gaps, *, processes):
    for name, found in gaps.items():
        bounds = ROUNDED_IN_BFLOAT16 if "bfloat16" in name and processes > 1 else ROUNDED
        for quantity, bound in bounds.items():
            assert found[quantity] <= bound, (processes, name, quantity, found)
        assert found["same_counts"] and found["same_checksums"] and found["same_version"], name
        assert ("nothing kept" in name) == (found["moments_moved"] == 0), name


@pytest.mark.slow
def test_every_preset_learns_the_same_on_every_stage_of_zero_on_one_process_and_on_two(tmp_path):
    """Every case, resume and export in two groups of processes: starting one takes longest.

    Offloading, adapters, checkpointed activations, minibatches, a warm-up and a rank without rows
    that count are among the cases.
    """
    alone = run_group(1, tmp_path / "alone")
    assert_engines_agree(alone["gaps"], processes=1)
    both = run_group(2, tmp_path / "both", tmp_path / "alone")
    assert_engines_agree(both["gaps"], processes=2)
    assert both["gaps"].keys() == alone["gaps"].keys()

    for found in (alone["resumed"], both["resumed"]):
        same = [gap for name, gap in found.items() if name.startswith("same layout")]
        assert same == [0.0, 0.0, 0.0]
    other = [gap for name, gap in both["resumed"].items() if name.startswith("other layout")]
    assert len(other) == 3 and 0 < max(other) < 1e-5

    # From two processes at stage 3 back to one, on the local engine.
    sys.path.insert(0, str(RANK.parent))
    try:
        import parity_of_engines as parity
    finally:
        sys.path.pop(0)
    bench = parity.Bench(tmp_path / "alone")
    local = bench.local(parity.PPO)
    local.load(tmp_path / "both" / "saved-3")
    bench.updates(local, parity.PPO, count=2)
    (tmp_path / "local").mkdir()
    local.save(tmp_path / "local")
    ends = [parity.tensors_in(tmp_path / name) for name in ("local", "both/straight-3")]
    assert parity.furthest(*ends, of="") < 1e-5

    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "both" / "policy-3")
    trained = parity.tensors_in(tmp_path / "both" / "resumed-3")
    for name, parameter in exported.named_parameters():
        assert torch.equal(parameter, trained[f"policy/{name}"]), name
