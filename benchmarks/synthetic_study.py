"""A study of any size whose records have the shapes of real ones and the numbers of none."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.records import (
    SCHEMA,
    START,
    RunDirectory,
    append_lines,
    config_hash,
    write_json,
)

PROBLEMS, SAMPLES = 32, 4  # of an evaluation
EVALUATIONS = 2  # of a cell, the last one final
TRANSCRIPTS = 4
TOKENS_PER_BATCH = 4500

# Bytes of what a cell writes, by which the disk is asked first.
METRICS_LINE, EVALUATION_LINE, CELL = 1400, 440, 20_000
# The tails of so many lines are drawn and then repeated: text is as long to parse the second time.
_TAILS = 512
_PHASES = ("load", "sample", "score", "annotate", "measure", "update", "evaluate", "checkpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is written."""

    methods: int
    seeds: int
    rows: int  # of metrics.jsonl in a cell

    @property
    def cells(self) -> int:
        return self.methods * self.seeds

    @property
    def bytes(self) -> int:
        """About what it takes on disk."""
        evaluated = EVALUATIONS * PROBLEMS * EVALUATION_LINE
        return self.cells * (self.rows * METRICS_LINE + evaluated + CELL)


def write_study(folder: Path, size: Size) -> None:
    """Writes the study; the same size gives the same bytes.

    Raises:
        ConfigError: the folder holds something, or the disk cannot hold the study.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; give a folder of its own")
    free = shutil.disk_usage(folder).free
    if free < size.bytes:
        raise ConfigError(
            f"{folder} has {free / 1e9:.1f} GB free, the study takes {size.bytes / 1e9:.1f} GB; "
            "take fewer --cells or --rows, or another --out"
        )
    configs = {f"grpo_{n:02d}": _config(n) for n in range(size.methods)}
    cells = [
        {"method": arm, "seed": seed, "directory": f"{arm}-s{seed}-{_hash(configs[arm], seed)}"}
        for seed, arm in product(range(size.seeds), configs)
    ]
    write = partial(_write_cell, folder, configs=configs, rows=size.rows)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for _ in pool.map(write, cells, chunksize=8):
            pass
    _write_start(folder / START, seeds=size.seeds)
    first = configs["grpo_00"]
    write_json(
        folder / "study.json",
        {
            "schema": SCHEMA,
            "study": "synthetic",
            "state": "finished",
            "task": "arithmetic",
            "model": "builtin",
            "budget": {"axis": "sampled_tokens", "value": float(size.rows * TOKENS_PER_BATCH)},
            "seeds": list(range(size.seeds)),
            "methods": list(configs),
            "cells": cells,
            "gate": {"passed": True, "failed": [], "forced": False},
            "command": "python -m benchmarks.report_scale",
        }
        | {key: first[key] for key in ("git_revision", "versions", "machine")},
    )


def _config(number: int) -> dict[str, Any]:
    """The frozen config of an arm: GRPO at a learning rate of its own."""
    from algorithms import PRESETS
    from algorithms.registry import build
    from bakeoff.identity import config_record
    from bakeoff.settings import cell_config

    method = PRESETS["grpo"]
    config = cell_config("grpo", method, {"learning_rate": 1e-5 * (1 + number)})
    return config_record(config, build(method))


def _hash(config: Mapping[str, Any], seed: int) -> str:
    return config_hash({"of": config["hash"], "seed": seed})


def _write_cell(
    folder: Path, cell: Mapping[str, Any], *, configs: Mapping[str, Mapping[str, Any]], rows: int
) -> None:
    arm, seed = cell["method"], cell["seed"]
    random_state = random.Random(f"{arm}/{seed}")
    skill = 0.4 + 0.01 * list(configs).index(arm) + 0.02 * random_state.gauss(0, 1)
    run = RunDirectory(folder / cell["directory"])
    run.path.mkdir()
    config = dict(configs[arm])
    config["hash"] = _hash(configs[arm], seed)
    config["seeds"] = config["seeds"] | {"seed": seed}
    write_json(run.config, config)
    run.metrics.write_text("".join(_metrics(random_state, rows)), encoding="utf-8")
    for point in range(1, EVALUATIONS + 1):
        place = _place(rows * point // EVALUATIONS) | {"final": point == EVALUATIONS}
        append_lines(
            run.evaluations,
            [place | row for row in _evaluation(random_state, skill * point / EVALUATIONS)],
        )
    append_lines(run.transcripts, [place | row for row in _transcripts(random_state)])
    write_json(run.ledger, _ledger(random_state, rows))
    run.write_status("finished", progress=1.0, step=rows, reward=skill, tokens_per_second=1.2e4)


def _write_start(folder: Path, *, seeds: int) -> None:
    random_state = random.Random("start")
    run = RunDirectory(folder)
    folder.mkdir()
    for seed in range(seeds):
        place = _place(0) | {"final": False, "seed": seed}
        append_lines(run.evaluations, [place | row for row in _evaluation(random_state, 0.3)])
    append_lines(run.transcripts, [place | row for row in _transcripts(random_state)])


def _metrics(random_state: random.Random, rows: int) -> Iterator[str]:
    tails = [json.dumps(_measured(random_state))[1:] for _ in range(min(rows, _TAILS))]
    for batch in range(1, rows + 1):
        yield f"{json.dumps(_place(batch))[:-1]}, {tails[batch % len(tails)]}\n"


def _place(batch: int) -> dict[str, Any]:
    return {
        "batch": batch,
        "optimizer_steps": batch,
        "sampled_tokens": batch * TOKENS_PER_BATCH,
        "device_seconds": batch * 0.4043927112345,
        "flops": batch * 7559261787.8,
    }


def _measured(random_state: random.Random) -> dict[str, Any]:
    """What a line of metrics.jsonl holds beside its place."""
    share, noise = random_state.random, random_state.gauss
    rate = share()
    return {
        "reward": rate,
        "pass_rate": rate,
        "unscorable": 0,
        "response_tokens": 34 + noise(0, 1),
        "response_tokens_correct": 33 + noise(0, 1),
        "response_tokens_wrong": 36 + noise(0, 1),
        "truncated_share": 0.0,
        "zero_variance_share": share(),
        "unique_share": share(),
        "loss": noise(0, 1e-4),
        "critic_loss": None,
        "grad_norm": 0.3 + 0.1 * share(),
        "critic_grad_norm": None,
        "kept_rollouts": 128,
        "trained_tokens": TOKENS_PER_BATCH,
        "entropy": 0.1 * share(),
        "kl_to_start": 0.01 * share(),
        "kl_to_reference": 0.01 * share(),
        "clip_fraction": 0.0,
        "ratio_mean": 1.0,
        "ratio_max": 1.0,
        "sampler_gap_mean": 1e-7 * share(),
        "sampler_gap_max": 1e-5 * share(),
        "explained_variance": None,
        "advantage_std": 1 + noise(0, 0.01),
        "seconds": {phase: share() for phase in _PHASES[:6]},
        "tokens_per_second": 1e4 * share(),
        "sampling_tokens_per_second": 3e4 * share(),
        "training_tokens_per_second": 2e4 * share(),
        "peak_bytes": 595_062_784,
    }


def _evaluation(random_state: random.Random, skill: float) -> Iterator[dict[str, Any]]:
    for number in range(PROBLEMS):
        chance = min(1.0, max(0.0, skill + 0.4 * (number / PROBLEMS - 0.5)))
        correct = [random_state.random() < chance for _ in range(SAMPLES)]
        yield {
            "split": "test",
            "problem": f"arithmetic/test/{number}",
            "greedy": random_state.random() < chance,
            "correct": correct,
            "answers": ["94" if hit else str(random_state.randint(90, 99)) for hit in correct],
            "response_tokens": [random_state.randint(25, 60) for _ in correct],
            "kl_to_start": 0.0059106620028615,
        }


def _transcripts(random_state: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(TRANSCRIPTS):
        said = random_state.randint(90, 99)
        yield {
            "problem": f"arithmetic/test/{number}",
            "question": "61 +18 -45 +27 +23 +10",
            "answer": "94",
            "response": f"61+18=79\n79-45=34\n34+27=61\n61+23=84\n84+10={said}\n#{said}",
            "reward": float(said == 94),
            "correct": said == 94,
        }


def _ledger(random_state: random.Random, rows: int) -> dict[str, Any]:
    seconds = {phase: rows * random_state.random() for phase in _PHASES}
    place = _place(rows)
    return {
        "problems": 16 * rows,
        "rollouts": 128 * rows,
        "prompt_tokens": 275 * rows,
        "sampled_tokens": place["sampled_tokens"],
        "trained_tokens": place["sampled_tokens"],
        "verifier_calls": 128 * rows,
        "verifier_errors": 0,
        "unscorable": 0,
        "reward_model_tokens": 0,
        "optimizer_steps": rows,
        "flops": place["flops"],
        "seconds": seconds,
        "device_seconds": place["device_seconds"],
        "wall_seconds": sum(seconds.values()),
        "tokens_per_second": 11807.400004176616,
        "sampling_tokens_per_second": 32142.46090511111,
        "training_tokens_per_second": 24826.358599757088,
        "peak_bytes": {phase: 604_356_608 + random_state.randint(0, 9999) for phase in _PHASES},
    }
