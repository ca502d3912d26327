"""A run that is killed and resumed equals one that was never interrupted, bit by bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from algorithms.configs import GRPOConfig, PPOConfig
from algorithms.registry import build
from bakeoff.cell import run_cell
from bakeoff.checkpoint import latest_checkpoint
from bakeoff.config import ModelConfig
from bakeoff.errors import ConfigError
from bakeoff.models.loading import load_policy
from bakeoff.records import RunDirectory, read_json, read_lines
from bakeoff.reward_models.examples import LabelledSolution
from bakeoff.reward_models.folder import RewardHead, RewardKind
from bakeoff.reward_models.history import keep_history
from bakeoff.reward_models.model import new_reward_model, save_reward_model
from bakeoff.settings import cell_config
from bakeoff.tasks.arithmetic_task import ArithmeticTask

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
    "rft": {"epochs": 2, "pool_problems": 16, "deduplicate": "text"},
    "online_rft": {},
    "ppo": {"minibatches": 2, "critic_warmup_batches": 1},
    "grpo": {
        "epochs": 2,
        "iteration_batches": 3,
        "reset_reference": "true",
        "supervision": "process",
        "reward": "steps",
    },
    "dpo": {"pool_problems": 16, "epochs": 2},
    "dapo": {"sampling_rounds": 2, "wrong_reward": -1, "overlong_buffer_tokens": 8},
    "grpo_iterative": {"reward": "model", "iteration_batches": 3, "refit_learning_rate": 1e-3},
}
CLOCKS = {
    "device_seconds",
    "seconds",
    "tokens_per_second",
    "sampling_tokens_per_second",
    "training_tokens_per_second",
    "peak_bytes",
}


def start(method: str, out: Path, **more: str) -> subprocess.Popen[bytes]:
    settings = SETTINGS | METHODS[method] | more
    flags = [part for k, v in settings.items() for part in (f"--{k.replace('_', '-')}", str(v))]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "bakeoff", "train", "--method", method),
            *("--steps", str(STEPS), "--out", str(out), "--quiet", *flags),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def require_equal(one: Path, other: Path) -> None:
    tensors, others = load_file(one), load_file(other)
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert tensor.equal(others[name]), name


def without_clocks(rows):
    return [{k: v for k, v in row.items() if k not in CLOCKS} for row in rows]


@pytest.fixture
def reward_model(tmp_path):
    """An untrained reward model with something to replay."""
    config = ModelConfig()
    loaded = new_reward_model(
        load_policy(config, init_seed=0),
        kind=RewardKind.OUTCOME,
        head=RewardHead.SCALAR,
        config=config,
        instruction=ArithmeticTask.instruction,
        init_seed=0,
    )
    folder = tmp_path / "reward-model"
    folder.mkdir()
    save_reward_model(loaded, folder, info=loaded.info)
    earlier = [
        LabelledSolution(question="2 +3", response=f"#{n}", ends=(2,), labels=(float(n == 5),))
        for n in range(10)
    ]
    keep_history(folder, earlier, seed=0)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_kill_and_resume_equals_an_uninterrupted_run(method, tmp_path, request):
    whole, broken = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "broken")
    more = {}
    if METHODS[method].get("reward") == "model":
        more["reward_model"] = str(request.getfixturevalue("reward_model"))
    first, second = start(method, whole.path, **more), start(method, broken.path, **more)
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
    assert start(method, broken.path, **more).wait(120) == 0

    require_equal(*(d.policy / "model.safetensors" for d in (whole, broken)))
    if more:
        last = [
            latest_checkpoint(d.checkpoints) / "reward_model.safetensors" for d in (whole, broken)
        ]
        require_equal(*last)
    for file in ("metrics", "evaluations", "transcripts"):
        rows = [without_clocks(read_lines(getattr(d, file))) for d in (whole, broken)]
        assert rows[0] == rows[1], file
        assert rows[0], file
    ledgers = [read_json(d.ledger) for d in (whole, broken)]
    counters = ("rollouts", "sampled_tokens", "trained_tokens", "optimizer_steps", "flops")
    for counter in (*counters, "reward_model_tokens"):
        assert ledgers[0][counter] == ledgers[1][counter], counter
    assert whole.state == broken.state == "finished"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (GRPOConfig(supervision="process"), "supervised step by step"),
        (PPOConfig(supervision="process"), "supervised step by step"),
        (
            GRPOConfig(iteration_batches=2, refit_reward_model=True),
            "needs a reward model to refit",
        ),
    ],
)
@pytest.mark.parametrize("shaping", [{}, {"length_penalty": 0.1}])
def test_a_reward_that_the_method_cannot_use_is_refused_before_anything_is_written(
    config, told, shaping, tmp_path
):
    cell = cell_config("method", config, {"model": "config:builtin", **shaping})
    with pytest.raises(ConfigError, match=told):
        run_cell(cell, build(config), RunDirectory(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
