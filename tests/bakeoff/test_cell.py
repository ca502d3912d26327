"""A run that is killed and resumed equals one that was never interrupted, bit by bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from bakeoff.records import RunDirectory, read_json, read_lines

pytestmark = pytest.mark.slow

STEPS = 8
SETTINGS = {
    "model": "builtin",
    "train_problems": 64,
    "problems_per_step": 4,
    "group_size": 4,
    "max_response_tokens": 40,
    "learning_rate": 1e-3,
    "checkpoint_every": 2,
    "evaluations": 2,
    "evaluation_problems": 8,
    "evaluation_samples": 2,
    "final_samples": 2,
    "ood_problems": 0,
    "seed": 5,
}
METHODS = {
    "sft": {},
    "rft": {"epochs": 2, "pool_problems": 16, "deduplicate": "true"},
    "online_rft": {},
    "ppo": {"minibatches": 2, "critic_warmup_batches": 1},
    "grpo": {"epochs": 2, "reference_refresh_every": 3},
}
CLOCKS = {
    "device_seconds",
    "seconds",
    "tokens_per_second",
    "sampling_tokens_per_second",
    "training_tokens_per_second",
    "peak_bytes",
}


def start(method: str, out: Path) -> subprocess.Popen[bytes]:
    settings = SETTINGS | METHODS[method]
    flags = [part for k, v in settings.items() for part in (f"--{k.replace('_', '-')}", str(v))]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "bakeoff", "train", "--method", method),
            *("--steps", str(STEPS), "--out", str(out), "--quiet", *flags),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def without_clocks(rows):
    return [{k: v for k, v in row.items() if k not in CLOCKS} for row in rows]


@pytest.mark.parametrize("method", METHODS)
def test_kill_and_resume_equals_an_uninterrupted_run(method, tmp_path):
    whole, broken = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "broken")
    first, second = start(method, whole.path), start(method, broken.path)
    # Killed with batches done past the last checkpoint, which then have to be done again.
    deadline = time.monotonic() + 120
    while len(list(read_lines(broken.metrics))) < 3 and time.monotonic() < deadline:
        assert second.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    os.kill(second.pid, signal.SIGKILL)
    second.wait()
    assert broken.state == "running"
    assert not broken.policy.exists()
    assert first.wait(120) == 0
    assert start(method, broken.path).wait(120) == 0

    one, two = (load_file(d.policy / "model.safetensors") for d in (whole, broken))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert tensor.equal(two[name]), name
    for file in ("metrics", "evaluations", "transcripts"):
        rows = [without_clocks(read_lines(getattr(d, file))) for d in (whole, broken)]
        assert rows[0] == rows[1], file
        assert rows[0], file
    ledgers = [read_json(d.ledger) for d in (whole, broken)]
    for counter in ("rollouts", "sampled_tokens", "trained_tokens", "optimizer_steps", "flops"):
        assert ledgers[0][counter] == ledgers[1][counter], counter
    assert whole.state == broken.state == "finished"
