"""Our side: a whole cell as `bakeoff train` runs it, with its canaries, ledger and records."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from bakeoff.cell import run_cell
from bakeoff.records import RunDirectory, read_lines
from bakeoff.settings import cell_config, method_config
from benchmarks.against_peers.child import WARM_UP, Clock, Found, Job
from benchmarks.methods import build_method, method_defaults

_HERE = Path(__file__).parent


def settings(job: Job) -> dict[str, Any]:
    """The flat settings of the cell that does a job's work; whatever they leave out is default."""
    return {
        "model": job.model,
        "task": f"{_HERE / 'task.py'}:LetterTask",
        "train_problems": job.prompts,
        "reward": f"{_HERE / 'rewards.py'}:share_of_letter",
        "prompt_format": "plain",
        "device": job.device,
        "compute_dtype": job.compute_dtype,
        "threads": job.threads,
        "group_size": job.group_size,
        "problems_per_step": job.prompts,
        "max_response_tokens": job.max_response_tokens,
        "sampling_rows": job.samples,
        "epochs": job.epochs,
        "minibatches": 1,
        "kl_coefficient": job.kl_coefficient,
        "learning_rate": job.learning_rate,
        "budget_axis": "optimizer_steps",
        "budget": (WARM_UP + job.updates) * job.epochs,
        "checkpoint_every": 0,
        # The final evaluation is no part of the clock, and a cell cannot do without.
        "evaluate_start": False,
        "evaluations": 1,
        "evaluation_problems": 1,
        "evaluation_samples": 1,
        "final_samples": 1,
        "ood_problems": 0,
    }


def train(method: str, job: Job) -> Found:
    """Runs the cell; the clock ends an update when its records are written."""
    defaults = method_defaults(method)
    config = cell_config(method, defaults, settings(job))
    directory = RunDirectory(Path(job.scratch) / "cell")
    clock = Clock()
    algorithm = build_method(method_config(config, defaults))
    run_cell(config, algorithm, directory, echo=lambda _: clock.end())
    rows = list(read_lines(directory.metrics))
    tokens = [int(row["sampled_tokens"]) for row in rows]
    # A phase lowers the system's mark, and a card's, when it begins; the ledger remembers.
    peak_bytes = max(int(row["peak_bytes"]) for row in rows)
    found = clock.found(
        phases={
            phase: (seconds - rows[WARM_UP - 1]["seconds"].get(phase, 0.0)) / job.updates
            for phase, seconds in rows[-1]["seconds"].items()
        },
        peak_bytes=peak_bytes,
        device_bytes=None if job.device == "cpu" else peak_bytes,
    )
    return replace(
        found, sampled_tokens=[end - start for start, end in pairwise(tokens[WARM_UP - 1 :])]
    )
