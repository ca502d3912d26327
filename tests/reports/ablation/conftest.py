"""Ablations as records on disk, whose truth is chosen by hand."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff import records
from reports.ablation.trials import Sweep, sweep_of
from reports.load import load_study

BUDGET = 100_000
SEEDS = (1000, 1001)
PROBLEMS, SAMPLES = 40, 16


def factor(name: str, levels: Sequence[Any] = (), **changes: Any) -> dict[str, Any]:
    return {"name": name, "unit": "", "levels": list(levels), "low": None, "high": None,
            "log": False, "baseline": None} | changes  # fmt: skip


def trial(number: int, levels: Mapping[str, Any], rate: float, **changes: Any) -> dict[str, Any]:
    """A trial of the record, and beside it what its cells are to measure.

    `rate` is its true pass@1; `seeds` how many of its cells finished.
    """
    return {
        "number": number,
        "arm": " ".join(f"{name}={level}" for name, level in levels.items()),
        "levels": dict(levels),
        "state": "complete",
        "reason": "",
        "rate": rate,
        "seeds": None,
        "kl": 0.1,
        "peak_bytes": 4e8,
        "tokens_per_second": 9000.0,
    } | changes


def write_ablation(
    path: Path,
    *,
    factors: Sequence[Mapping[str, Any]],
    trials: Sequence[Mapping[str, Any]],
    seeds: Sequence[int] = SEEDS,
    seed_shift: float = 0.02,
    noise: bool = True,
    spread: float = 0.25,
    passed: bool = True,
    **ablation: Any,
) -> Path:
    """Problem p of a trial with rate r is solved at r + skill[p], seed i adds `seed_shift` x i."""
    path.mkdir(parents=True)
    rng = np.random.default_rng(5)
    skill = np.linspace(-spread, spread, PROBLEMS)
    cells: list[dict[str, Any]] = []
    for one in trials:
        done = len(seeds) if one["seeds"] is None else one["seeds"]
        if any(cell["method"] == one["arm"] for cell in cells):
            continue
        for index, seed in enumerate(seeds[:done]):
            directory = f"t{one['number']}-s{seed}-abcdef0123"
            cells.append({"method": one["arm"], "seed": seed, "directory": directory,
                          "trial": one["number"]})  # fmt: skip
            rates = np.clip(one["rate"] + skill + seed_shift * index, 0.0, 1.0)
            _write_cell(path / directory, one, seed, rates, rng if noise else None)
    shown = ("number", "arm", "levels", "state", "reason")
    records.write_json(
        path / "study.json",
        {
            "schema": 1,
            "kind": "ablation",
            "study": path.name,
            "state": "finished",
            "task": "arithmetic",
            "model": "builtin",
            "budget": {"axis": "sampled_tokens", "value": BUDGET},
            "seeds": list(seeds),
            "gate": {"passed": passed, "failed": [] if passed else ["gradients differ"]},
            "command": f"bakeoff ablate {path.name}",
            "git_revision": "c477b68d0f",
            "versions": {"torch": "2.11.0", "optuna": "4.5.0"},
            "machine": "2 cores, Linux",
            "methods": list(dict.fromkeys(one["arm"] for one in trials)),
            "cells": cells,
            "ablation": {
                "title": "Group size x KL coefficient",
                "question": "Does a larger group need a smaller KL coefficient?",
                "design": "grid",
                "pruner": "none",
                "objectives": ["pass@1"],
                "factors": list(factors),
                "trials": [
                    {key: one[key] for key in shown}
                    | {
                        "values": {"pass@1": one["rate"]} if one["state"] == "complete" else None,
                        "intermediate": [],
                        "cost": _cost(len(seeds) if one["seeds"] is None else one["seeds"]),
                    }
                    for one in trials
                ],
                "importances": None,
                "fits_bytes": None,
            }
            | ablation,
        },
    )
    return path


def _cost(cells: int) -> dict[str, float]:
    return {"device_seconds": 40.0 * cells, "wall_seconds": 50.0 * cells,
            "sampled_tokens": float(BUDGET * cells), "flops": 1e13 * cells}  # fmt: skip


def _write_cell(
    path: Path,
    one: Mapping[str, Any],
    seed: int,
    rates: np.ndarray,
    rng: np.random.Generator | None,
) -> None:
    run = records.RunDirectory(path)
    path.mkdir()
    run.write_status("finished", progress=1.0)
    settings = {"group_size": 8, "kl_coefficient": 0.04, "clip_epsilon": 0.2} | one["levels"]
    records.write_json(
        run.config,
        {
            "method": "grpo",
            "method_settings": settings,
            "model": {"model": "builtin"},
            "task": {"task": "arithmetic"},
            "reward": {"reward": "rule"},
            "sampling": {"temperature": 1.0, "max_response_tokens": 64},
            "optimizer": {"learning_rate": 5e-5},
            "training": {"problems_per_step": 16},
            "budget": {"budget_axis": "sampled_tokens", "budget": BUDGET},
            "evaluation": {"evaluations": 2},
            "seeds": {"seed": seed},
            "conventions": {"advantage": "group mean and std", "loss": "clipped", "kl": "k3"},
            "aggregation": "sequence_mean",
            "source": "current_policy",
            "updates_per_batch": 1,
            "hash": "abcdef0123",
            "git_revision": "c477b68d0f",
        },
    )
    for done, final in ((0.5, False), (1.0, True)):
        wanted = np.clip(rates - 0.1 * (1 - done), 0, 1)
        right = (
            np.round(wanted * SAMPLES).astype(int) if rng is None else rng.binomial(SAMPLES, wanted)
        )
        records.append_lines(
            run.evaluations,
            [
                {
                    "batch": round(10 * done), "final": final, "split": "validation",
                    "problem": f"arithmetic/validation/{index:03d}",
                    "optimizer_steps": 100 * done, "sampled_tokens": BUDGET * done,
                    "device_seconds": 40.0 * done, "flops": 1e13 * done,
                    "greedy": bool(hits * 2 > SAMPLES),
                    "correct": [k < hits for k in range(SAMPLES)],
                    "answers": ["42" if k < hits else "41" for k in range(SAMPLES)],
                    "response_tokens": [30] * SAMPLES,
                    "kl_to_start": one["kl"] * done,
                }
                for index, hits in enumerate(right.tolist())
            ],
        )  # fmt: skip
    records.append_lines(
        run.metrics,
        [{"batch": batch, "pass_rate": 0.5, "zero_variance_share": 0.25} for batch in (1, 2)],
    )
    records.write_json(
        run.ledger,
        {
            "sampled_tokens": BUDGET, "device_seconds": 40.0, "wall_seconds": 50.0,
            "tokens_per_second": one["tokens_per_second"] * (1 + 0.01 * (seed % 7)),
            "peak_bytes": {"sample": 1e8, "update": one["peak_bytes"]},
        },
    )  # fmt: skip


GROUP_SIZES, COEFFICIENTS = (4, 8, 16), (0.0, 0.01, 0.04)
RATES = {4: 0.45, 8: 0.55, 16: 0.60}
SHIFTS = {0.0: -0.05, 0.01: 0.03, 0.04: 0.0}


def grid_trials(states: Mapping[tuple[int, float], Mapping[str, Any]]) -> list[dict[str, Any]]:
    places = [(g, k) for g in GROUP_SIZES for k in COEFFICIENTS]
    return [
        trial(
            number,
            {"group_size": g, "kl_coefficient": k},
            RATES[g] + SHIFTS[k],
            kl=0.02 + 0.3 * (0.05 - k),
            **states.get((g, k), {}),
        )
        for number, (g, k) in enumerate(places)
    ]


GRID_FACTORS = (
    factor("group_size", GROUP_SIZES, unit="rollouts a problem", log=True, baseline=8),
    factor("kl_coefficient", COEFFICIENTS, log=True, baseline=0.04),
)
HOLES = {
    (4, 0.0): {"state": "pruned", "reason": "median: 0.41 below 0.55", "seeds": 1},
    (16, 0.04): {"state": "failed", "reason": "loss is not finite", "seeds": 0},
}


@pytest.fixture
def full_grid(tmp_path: Path) -> Path:
    return write_ablation(
        tmp_path / "grid",
        factors=GRID_FACTORS,
        trials=grid_trials({}),
        importances={"group_size": 0.8, "kl_coefficient": 0.2},
    )


@pytest.fixture
def holed_grid(tmp_path: Path) -> Path:
    """3 x 3 with a pruned trial, one that failed, and one more at the same point."""
    trials = grid_trials(HOLES)
    again = trials[8] | {"number": 9}
    return write_ablation(
        tmp_path / "holed-grid",
        factors=GRID_FACTORS,
        trials=[*trials, again],
        pruner="median",
        importances={"group_size": 0.8, "kl_coefficient": 0.2},
    )


@pytest.fixture
def sampled(tmp_path: Path) -> Path:
    """12 trials of TPE with two objectives: more memory, more accuracy, and three laggards."""
    rng = np.random.default_rng(11)
    trials = []
    for number in range(12):
        learning_rate = float(10 ** rng.uniform(-5, -3)) if number else 1e-4
        size = int(rng.choice([4, 8, 16])) if number else 8
        rate = 0.5 + 0.03 * np.log2(size / 4) - 0.1 * abs(np.log10(learning_rate) + 4)
        trials.append(
            trial(number, {"learning_rate": learning_rate, "group_size": size}, float(rate),
                  peak_bytes=1e8 * size + 1e7 * number, kl=0.05 * number)
        )  # fmt: skip
    return write_ablation(
        tmp_path / "tpe",
        factors=[
            factor("learning_rate", low=1e-5, high=1e-3, log=True, baseline=1e-4),
            factor("group_size", (4, 8, 16), unit="rollouts a problem", log=True, baseline=8),
        ],
        trials=trials,
        design="tpe",
        objectives=["pass@1", "peak_bytes"],
        importances={"learning_rate": 0.7, "group_size": 0.3},
        fits_bytes=1.2e9,
    )


@pytest.fixture
def leave_one_out(tmp_path: Path) -> Path:
    """The whole recipe, and each of three parts away from it."""
    whole = {"clip": "higher", "filter": "on", "loss": "token_mean"}
    away = [({}, 0.60), ({"clip": "symmetric"}, 0.59), ({"filter": "off"}, 0.40),
            ({"loss": "sequence_mean"}, 0.52)]  # fmt: skip
    return write_ablation(
        tmp_path / "leave-one-out",
        factors=[
            factor("clip", ("higher", "symmetric"), baseline="higher"),
            factor("filter", ("on", "off"), baseline="on"),
            factor("loss", ("token_mean", "sequence_mean"), baseline="token_mean"),
        ],
        trials=[trial(n, whole | moved, rate) for n, (moved, rate) in enumerate(away)],
        seeds=(1000, 1001, 1002),
        design="leave_one_out",
    )


Read = Callable[[Path], Sweep]
MakeGrid = Callable[..., Path]


@pytest.fixture
def read() -> Read:
    """The measured trials of a study on disk."""
    return lambda path: sweep_of(load_study(path), rng=np.random.default_rng(1))


@pytest.fixture
def make_grid(tmp_path: Path) -> MakeGrid:
    """Writes a grid of group_size x kl_coefficient from the rates of its places.

    Rates in steps of 1 / 16 are measured exactly, unless there is noise or a spread of problems.
    """

    def make(
        rates: Mapping[tuple[int, float], float],
        *,
        changes: Mapping[tuple[int, float], Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> Path:
        trials = [
            trial(number, {"group_size": g, "kl_coefficient": k}, rate)
            | (changes or {}).get((g, k), {})
            for number, ((g, k), rate) in enumerate(rates.items())
        ]
        return write_ablation(
            tmp_path / "made",
            factors=[
                factor("group_size", sorted({g for g, _ in rates}), baseline=8),
                factor("kl_coefficient", sorted({k for _, k in rates}), baseline=0.04),
            ],
            trials=trials,
            **({"noise": False, "spread": 0.0, "seed_shift": 0.0} | settings),
        )

    return make


@pytest.fixture
def make_ablation(tmp_path: Path) -> Callable[..., Path]:
    """Writes a study of any factors, name -> levels, from the exact rates of its places."""

    def make(levels: Mapping[str, Sequence[Any]], rates: Mapping[tuple[Any, ...], float]) -> Path:
        return write_ablation(
            tmp_path / "made",
            factors=[factor(name, found, baseline=found[0]) for name, found in levels.items()],
            trials=[
                trial(number, dict(zip(levels, place, strict=True)), rate)
                for number, (place, rate) in enumerate(rates.items())
            ],
            noise=False,
            spread=0.0,
            seed_shift=0.0,
        )

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2)
