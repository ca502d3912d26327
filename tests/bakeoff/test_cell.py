"""A run that is killed and resumed equals one that was never interrupted, bit by bit."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from algorithms.configs import GRPOConfig, PPOConfig
from algorithms.registry import build
from bakeoff import cell as cell_module
from bakeoff import world as world_module
from bakeoff.cell import run_cell
from bakeoff.checkpoint import latest_checkpoint
from bakeoff.config import ModelConfig
from bakeoff.errors import CanaryError, ConfigError
from bakeoff.interfaces import Verdict
from bakeoff.models.loading import load_policy
from bakeoff.records import RunDirectory, read_json, read_lines
from bakeoff.reward_models.examples import LabelledSolution
from bakeoff.reward_models.folder import RewardHead, RewardKind
from bakeoff.reward_models.history import keep_history
from bakeoff.reward_models.model import new_reward_model, save_reward_model
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.settings import cell_config
from bakeoff.tasks.arithmetic_task import ArithmeticTask, ArithmeticVerifier

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
    "ppo": {"minibatches": 2, "critic_warmup_batches": 1},
    "grpo": {
        "epochs": 2,
        "iteration_batches": 3,
        "reset_reference": "true",
        "supervision": "process",
        "reward": "steps",
    },
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


TINY = {
    "model": "config:builtin",
    "train_problems": 16,
    "problems_per_step": 2,
    "group_size": 2,
    "max_response_tokens": 8,
    "checkpoint_every": 1,
    "evaluate_start": False,
    "evaluations": 1,
    "evaluation_problems": 2,
    "evaluation_samples": 1,
    "final_samples": 1,
    "ood_problems": 0,
    "budget_axis": "optimizer_steps",
    "budget": 4,
}


def tiny(directory, reward="", *, method=None, **settings):
    """A cell whose reward is the given body of a function, or the rule."""
    more = dict(settings)
    if reward:
        file = directory.path.with_name("reward.py")
        head = "import torch\ncalls = 0\ndef score(completions, **_):\n    global calls\n"
        file.write_text(f"{head}    calls += 1\n    {reward}\n")
        more["reward"] = f"{file}:score"
    config = method or GRPOConfig(kl_coefficient=0)
    return cell_config("method", config, TINY | more), build(config)


def test_a_cell_records_what_its_bytes_were_for(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    config, algorithm = tiny(directory, method=PPOConfig(), group_size=4, problems_per_step=4)
    run_cell(config, algorithm, directory)
    ledger = read_json(directory.ledger)
    phases = ledger["peak_components"]
    assert phases.keys() == {"load", "sample", "score", "annotate", "measure", "update"}
    weights = phases["load"]["policy weights"]
    assert {"critic weights", "reference"} <= phases["load"].keys()
    assert all(parts["policy weights"] == weights for parts in phases.values())
    # Two moments and a step count for every parameter, from the second batch on.
    assert phases["sample"]["policy optimizer"] == pytest.approx(2 * weights, rel=0.01)
    for phase, parts in phases.items():
        if phase != "load":
            assert sum(parts.values()) < ledger["peak_bytes"][phase]


GIVES_OUT = "return [1.0] * len(completions) if calls < 3 else 1 / 0"
OUT_OF_MEMORY = """if calls > 2:
        raise torch.OutOfMemoryError('CUDA out of memory')
    return [float(i % 2) for i in range(len(completions))]"""
SWALLOWS = """try:
        return [float(undefined) for _ in completions]
    except Exception:
        return [0.0] * len(completions)"""


@pytest.mark.parametrize(
    ("reward", "kind"), [(OUT_OF_MEMORY, "out_of_memory"), (GIVES_OUT, "error")]
)
def test_a_failed_cell_says_what_kind_of_end_it_was_and_what_it_cost(tmp_path, reward, kind):
    directory = RunDirectory(tmp_path / "run")
    config, algorithm = tiny(directory, reward)
    with pytest.raises(ConfigError, match="score raised"):
        run_cell(config, algorithm, directory)
    status, ledger = read_json(directory.status), read_json(directory.ledger)
    assert (status["state"], status["failure"]) == ("failed", kind)
    assert status["canaries"] == []
    # The second call is for gold, because nothing was right; the third is the second batch.
    assert ledger["optimizer_steps"] == 1
    assert ledger["sampled_tokens"] > 0


def test_a_reward_that_swallows_its_error_stops_the_cell(tmp_path, monkeypatch):
    """The verifier sees right and wrong answers; the reward is 0 for all, gold included."""
    monkeypatch.setattr(ArithmeticTask, "verifier", lambda task: _Coin())
    directory = RunDirectory(tmp_path / "run")
    config, algorithm = tiny(directory, SWALLOWS)
    with pytest.raises(CanaryError, match="the reward fails without saying so"):
        run_cell(config, algorithm, directory)
    status = read_json(directory.status)
    assert status["failure"] == "canary"
    assert status["canaries"] == [status["message"]]
    assert read_json(directory.ledger)["optimizer_steps"] == 2


def test_a_verifier_that_swallows_its_error_stops_the_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(ArithmeticTask, "verifier", lambda task: _Deaf())
    directory = RunDirectory(tmp_path / "run")
    config, algorithm = tiny(directory)
    with pytest.raises(CanaryError, match="the verifier fails without saying so"):
        run_cell(config, algorithm, directory)
    assert read_json(directory.status)["failure"] == "canary"


class _Deaf(ArithmeticVerifier):
    """Nothing is right."""

    def verify(self, problems, responses):
        return [Verdict(correct=False) for _ in responses]


class _Coin(ArithmeticVerifier):
    """Every second response is right, and so is gold."""

    def verify(self, problems, responses):
        return [Verdict(correct=index % 2 == 0) for index, _ in enumerate(responses)]


def test_a_model_that_does_not_fit_is_a_result_with_a_record(tmp_path):
    """The data segment may grow by too little for PPO's critic and reference."""
    directory = RunDirectory(tmp_path / "run")
    code = f"""
import resource
from pathlib import Path
from algorithms.configs import PPOConfig
from algorithms.registry import build
from bakeoff import cell
from bakeoff.records import RunDirectory
from bakeoff.settings import cell_config

settings = {TINY!r}
config = PPOConfig()
build_world = cell.build_world
def limited(config, **settings):
    world = build_world(config, **settings)
    text = Path("/proc/self/status").read_text()
    used = next(int(l.split()[1]) for l in text.splitlines() if l.startswith("VmData:")) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + (64 << 20), used + (64 << 20)))
    return world
cell.build_world = limited
engine = cell.LocalEngine
def wide(policy, plan, **settings):
    # As large a model as does not fit any more.
    import torch
    policy.model.register_buffer("large", torch.zeros(64 << 20))
    return engine(policy, plan, **settings)
cell.LocalEngine = wide
directory = RunDirectory(Path({str(directory.path)!r}))
cell.run_cell(cell_config("ppo", config, settings), build(config), directory)
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "can't allocate memory" in result.stderr
    status = read_json(directory.status)
    assert (status["state"], status["failure"]) == ("failed", "out_of_memory")
    assert directory.config.exists()
    assert read_json(directory.ledger)["sampled_tokens"] == 0


class _SaysNothing(TransformersSampler):
    """After a few batches the policy says its EOS at once, and is sure of it."""

    def sample(self, prompts, *, group_size, sampling, noise):
        groups = super().sample(prompts, group_size=group_size, sampling=sampling, noise=noise)
        if not isinstance(noise.batch, int) or noise.batch < 2:
            return groups
        eos = int(self._eos_token_ids[0])
        silent = {"text": "", "token_ids": (eos,), "logprobs": (-1e-7,), "finish": "stop"}
        return [[replace(completion, **silent) for completion in group] for group in groups]


def test_a_collapsed_cell_is_finished_evaluated_and_marked(tmp_path, monkeypatch):
    monkeypatch.setattr(cell_module.Canaries, "check_metrics", lambda *_: None)
    monkeypatch.setattr(world_module, "TransformersSampler", _SaysNothing)
    directory = RunDirectory(tmp_path / "run")
    config, algorithm = tiny(directory, budget_axis="sampled_tokens", budget=5000)
    run_cell(config, algorithm, directory)
    status = read_json(directory.status)
    assert (status["state"], status["collapsed"]) == ("finished", True)
    assert status["message"].startswith("collapsed at batch 10: ")
    assert [row["batch"] for row in read_lines(directory.metrics)] == list(range(1, 11))
    assert [row["final"] for row in read_lines(directory.evaluations)] == [True] * 2
    assert read_json(directory.ledger)["sampled_tokens"] < 5000
    assert directory.policy.exists()


def test_a_healthy_cell_is_marked_as_not_collapsed(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    config, algorithm = tiny(directory)
    run_cell(config, algorithm, directory)
    status = read_json(directory.status)
    assert (status["state"], status["collapsed"], status["message"]) == ("finished", False, "")
