"""Synthetic studies whose truth is chosen by hand."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff import records

BUDGET = 200_000
# method -> (shift of the log-odds of a correct answer, device seconds)
TRUTH = {
    "ppo": (1.0, 900.0),
    "rft": (0.5, 420.0),
    "online_rft": (0.95, 460.0),
    "grpo": (1.7, 620.0),
}
START = 0.0
CONVENTIONS = {
    "ppo": {"advantage": "GAE, gamma 1, lambda 1", "loss": "clipped surrogate, epsilon 0.2",
            "kl": "k1 in the reward, beta 0.04"},
    "rft": {"advantage": "1 if correct, else left out (eq. 10)", "loss": "-log pi", "kl": "none"},
    "online_rft": {"advantage": "1 if correct, else left out (eq. 10)", "loss": "-log pi",
                   "kl": "none"},
    "grpo": {"advantage": "outcome reward, group mean and population std",
             "loss": "clipped surrogate, epsilon 0.2", "kl": "k3 in the loss, beta 0.04"},
}  # fmt: skip
REWARD = {"reward": "rule", "wrong_reward": 0.0, "length_penalty": 0.0,
          "overlong_buffer_tokens": None}  # fmt: skip
REWARDS = {"dapo": {"wrong_reward": -1.0, "overlong_buffer_tokens": 16},
           "grpo_model": {"reward": "model", "length_penalty": 0.5},
           "grpo_random": {"reward": "random"}}  # fmt: skip
AGGREGATIONS = {"dapo": "token_mean"}

MakeStudy = Callable[..., Path]


@pytest.fixture
def make_study(tmp_path: Path) -> MakeStudy:
    """Writes a study and returns its directory."""

    def make(**changes: Any) -> Path:
        return write_study(tmp_path / "study", **changes)

    return make


def write_study(
    path: Path,
    *,
    methods: Sequence[str] = tuple(TRUTH),
    seeds: Sequence[int] = (0, 1, 2),
    problems: int = 24,
    interim: int = 2,
    batches: int = 12,
    seed_spread: float = 0.05,
    gate: Mapping[str, Any] | None = None,
    unfinished: Sequence[tuple[str, int]] = (),
    budget_axis: str = "sampled_tokens",
) -> Path:
    rng = np.random.default_rng(7)
    skill = rng.normal(-0.3, 1.6, problems)
    cells = [
        {"method": m, "seed": s, "directory": f"{m}-s{s}-abcdef0123"}
        for m in methods
        for s in seeds
    ]
    path.mkdir(parents=True)
    records.write_json(
        path / "study.json",
        {
            "schema": 1,
            "study": "four methods on arithmetic",
            "task": "arithmetic",
            "model": "builtin",
            "budget": {"axis": budget_axis, "value": BUDGET},
            "seeds": list(seeds),
            "methods": list(methods),
            "cells": cells,
            "gate": gate or {"passed": True, "failed": [], "forced": False},
            "command": "bakeoff compare --methods ppo,rft,online_rft,grpo --seeds 3",
            "git_revision": "c477b68d0f",
            "versions": {"torch": "2.11.0", "transformers": "5.17.0", "numpy": "2.4.6"},
            "machine": "2 cores, Linux",
        },
    )
    (path / "start").mkdir()
    for seed in seeds:
        rows = _evaluation(rng, skill + START, samples=16, spent=0.0, batch=0, final=True)
        records.append_lines(
            path / "start/evaluations.jsonl", [row | {"seed": seed} for row in rows]
        )
    records.append_lines(path / "start/transcripts.jsonl", _transcripts(rng, -1.0, final=False))
    for cell in cells:
        if (cell["method"], cell["seed"]) in unfinished:
            (path / cell["directory"]).mkdir()
            records.RunDirectory(path / cell["directory"]).write_status(
                "failed", progress=0.4, message="killed: out of memory"
            )
        else:
            _write_cell(path / cell["directory"], cell, rng, skill, interim, batches, seed_spread)
    return path


def _write_cell(
    path: Path, cell: Mapping[str, Any], rng: np.random.Generator, skill: np.ndarray,
    interim: int, batches: int, seed_spread: float,
) -> None:  # fmt: skip
    method = cell["method"]
    shift, device_seconds = TRUTH.get(method, (0.8, 500.0))
    shift += seed_spread * rng.normal()
    run = records.RunDirectory(path)
    path.mkdir()
    run.write_status("finished", progress=1.0)
    offline = method == "rft"
    group_size = 1 if method == "ppo" else 8
    records.write_json(run.config, _config(method, cell["seed"], group_size))
    for point in range(1, interim + 2):
        done, final = point / (interim + 1), point == interim + 1
        rows = _evaluation(
            rng,
            skill + START + shift * done**0.6,
            samples=16 if final else 4,
            spent=1.0 if offline else done,
            seconds=device_seconds * (0.6 + 0.4 * done if offline else done),
            batch=round(done * batches),
            final=final,
        )
        records.append_lines(run.evaluations, rows)
    records.append_lines(
        run.metrics, [_metrics(rng, b, batches, shift, method) for b in range(batches)]
    )
    records.append_lines(run.transcripts, _transcripts(rng, shift, final=True))
    update = 0.62 if method == "ppo" else 0.35
    phases = {"load": 2.0, "sample": device_seconds * (1 - update - 0.05), 
              "score": device_seconds * 0.05,
              "update": device_seconds * update, "evaluate": 40.0, "checkpoint": 6.0}  # fmt: skip
    if not offline:
        phases["measure"] = 1.0
    records.write_json(
        run.ledger,
        {
            "problems": 1600, "rollouts": 1600 * group_size, "prompt_tokens": 40_000,
            "sampled_tokens": BUDGET, "trained_tokens": BUDGET // (2 if "rft" in method else 1),
            "verifier_calls": 1600 * group_size, "verifier_errors": 0, "reward_model_tokens": 0,
            "optimizer_steps": 100, "flops": 3.1e14 * (2 if method == "ppo" else 1),
            "seconds": phases, "device_seconds": device_seconds,
            "wall_seconds": device_seconds + 48, "tokens_per_second": BUDGET / device_seconds,
            "peak_bytes": {
                "sample": 310_000_000, "update": 640_000_000 if method == "ppo" else 420_000_000
            },
        },
    )  # fmt: skip


def _config(method: str, seed: int, group_size: int) -> dict[str, Any]:
    settings: dict[str, Any] = {"group_size": group_size}
    if method in ("ppo", "grpo"):
        settings |= {"kl_coefficient": 0.04, "clip_epsilon": 0.2, "epochs": 1}
    return {
        "method": method,
        "method_settings": settings,
        "model": {"model": "builtin", "compute_dtype": "float32"},
        "task": {"task": "arithmetic"},
        "reward": REWARD | REWARDS.get(method, {}),
        "sampling": {"temperature": 1.0, "max_response_tokens": 64},
        "optimizer": {"learning_rate": 1e-4 if method == "rft" else 5e-5, "max_grad_norm": 1.0},
        "training": {"problems_per_step": 16, "aggregation": None},
        "budget": {"budget_axis": "sampled_tokens", "budget": BUDGET},
        "evaluation": {"evaluations": 6, "final_samples": 16},
        "seeds": {"seed": seed},
        "conventions": CONVENTIONS.get(method, {}),
        "aggregation": AGGREGATIONS.get(method, "sequence_mean"),
        "updates_per_batch": 1,
        "source": "initial_policy" if method == "rft" else "current_policy",
        "hash": "abcdef0123",
        "versions": {},
        "git_revision": "c477b68d0f",
    }


def _evaluation(
    rng: np.random.Generator, log_odds: np.ndarray, *, samples: int, spent: float, batch: int,
    final: bool, seconds: float = 0.0,
) -> list[dict[str, Any]]:  # fmt: skip
    rows = []
    splits = [("test", log_odds)]
    if final:
        splits.append(("ood", log_odds[: len(log_odds) // 2] - 0.8))
    for split, odds in splits:
        for index, odd in enumerate(odds):
            p = 1 / (1 + np.exp(-odd))
            correct = [bool(hit) for hit in rng.random(samples) < p]
            rows.append(
                {
                    "batch": batch, "final": final, "split": split,
                    "problem": f"arithmetic/{split}/{index}",
                    "optimizer_steps": int(100 * spent), "sampled_tokens": int(BUDGET * spent),
                    "device_seconds": seconds, "flops": 3e14 * spent,
                    "greedy": bool(p > 0.5), "correct": correct,
                    "answers": [_answer(rng, hit) for hit in correct],
                    "response_tokens": [int(n) for n in rng.integers(18, 40, samples)],
                    "kl_to_start": 0.08 * spent,
                }
            )  # fmt: skip
    return rows


def _answer(rng: np.random.Generator, correct: bool) -> str | None:
    if correct:
        return "42"
    return None if rng.random() < 0.15 else str(rng.integers(38, 42))


def _metrics(
    rng: np.random.Generator, batch: int, batches: int, shift: float, method: str
) -> dict[str, Any]:
    done = batch / max(1, batches - 1)
    return {
        "batch": batch,
        "optimizer_steps": batch,
        "sampled_tokens": int(BUDGET * done),
        "pass_rate": float(np.clip(0.4 + 0.15 * shift * done + 0.03 * rng.normal(), 0, 1)),
        "entropy": float(0.7 - 0.3 * shift * done + 0.02 * rng.normal()),
        "kl_to_start": float(0.05 * shift * done + 0.002 * abs(rng.normal())),
        "grad_norm": float(0.4 + 0.1 * rng.random()),
        "zero_variance_share": None if method == "ppo" else float(0.2 + 0.2 * done),
        "response_tokens_correct": 28.0 + float(rng.normal()),
        "response_tokens_wrong": 33.0 + 4 * done + float(rng.normal()),
    }


def _transcripts(rng: np.random.Generator, shift: float, *, final: bool) -> list[dict[str, Any]]:
    rows = []
    for index, (a, b) in enumerate([(17, 25), (8, 9), (120, 77), (31, 14)]):
        right = bool(rng.random() < 1 / (1 + np.exp(-shift)))
        said = a + b if right else a + b - 10
        text = f"{a} + {b}\nadd the ones, then the tens\n#### {said}"
        rows.append(
            {
                "batch": 12, "final": final, "problem": f"arithmetic/test/{index}",
                "question": f"Ann has {a} apples and is given {b} more. How many has she?",
                "answer": str(a + b), "response": text, "reward": float(right), "correct": right,
            }
        )  # fmt: skip
    return rows


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)
