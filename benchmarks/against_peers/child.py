"""What every child of this benchmark is told and tells. Standard library only: peers read it too.

A child is `python -m benchmarks.against_peers.NAME JOB.json`. It trains `WARM_UP` + `job.updates`
times and prints one line with what it found; the first updates are not counted.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

MARK = "against_peers: "  # begins the line that matters; libraries print others
# The first, and the one in 64 that ours follows for what its memory is for: a run has 64 times as
# many others.
WARM_UP = 2
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The work of one child; every side gets the same but for `micro_batch`."""

    model: str  # folder
    scratch: str  # folder the child may write to
    prompts: int  # first so many of `task.questions()`
    group_size: int
    max_response_tokens: int
    epochs: int  # of PPO; 1 for GRPO
    kl_coefficient: float
    learning_rate: float
    updates: int  # timed
    threads: int
    micro_batch: int  # rows of a peer's forward and backward pass; we cut by tokens
    rollout_batch: int  # rows of TRL's PPO that are sampled and scored at once
    device: str = "cpu"  # or cuda
    compute_dtype: str = "float32"  # of forward and backward passes, or bfloat16

    @property
    def samples(self) -> int:
        """Completions an update."""
        return self.prompts * self.group_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a child measured."""

    seconds: list[float]  # of each timed update
    cpu_seconds: list[float]  # of all threads; what other programs do moves them less
    sampled_tokens: list[int]  # of each timed update
    peak_bytes: int  # of the child from its start, as it knows; resident, or a card's
    phases: Mapping[str, float] = field(default_factory=dict)  # seconds an update, where known


class Clock:
    """Marks the ends of updates and counts what was sampled in them."""

    def __init__(self) -> None:
        self._ends: list[float] = []
        self._cpu_ends: list[float] = []
        self._tokens: list[int] = []
        self._open = 0

    def count(self, tokens: int) -> None:
        """Adds tokens to the update that runs."""
        self._open += tokens

    def end(self) -> None:
        """Ends an update."""
        self._ends.append(time.perf_counter())
        self._cpu_ends.append(time.process_time())
        self._tokens.append(self._open)
        self._open = 0

    def found(
        self,
        *,
        phases: Mapping[str, float] | None = None,
        peak_bytes: int = 0,
        device_bytes: int | None = None,
    ) -> Found:
        """What came after the warm-up; a card's bytes take the place of resident ones."""
        return Found(
            seconds=_differences(self._ends[WARM_UP - 1 :]),
            cpu_seconds=_differences(self._cpu_ends[WARM_UP - 1 :]),
            sampled_tokens=self._tokens[WARM_UP:],
            peak_bytes=max(peak_bytes, resident_peak()) if device_bytes is None else device_bytes,
            phases=phases or {},
        )


def resident_peak() -> int:
    """The most bytes this process has had resident, as the system kept it."""
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for line in _STATUS.read_text().splitlines() if _STATUS.exists() else ():
        if line.startswith("VmHWM:"):
            peak = max(peak, 1024 * int(line.split()[1]))
    return peak


def device_bytes(job: Job) -> int | None:
    """The most bytes that a card's allocator has handed out; None for a job on the processor."""
    if job.device == "cpu":
        return None
    import torch

    return torch.cuda.max_memory_allocated()


def _differences(marks: list[float]) -> list[float]:
    return [end - start for start, end in pairwise(marks)]


def read_job() -> Job:
    """The job that the command line names."""
    values: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    return Job(**values)


def write_job(job: Job, file: Path) -> None:
    """Writes a job for `read_job`."""
    file.write_text(json.dumps(asdict(job)), encoding="utf-8")


def tell(found: Found) -> None:
    """Prints what was found, for `heard`."""
    print(f"\n{MARK}{json.dumps(asdict(found))}", flush=True)


def heard(output: str) -> Found:
    """What a child told; ValueError when it told nothing."""
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if not lines:
        raise ValueError("the child printed no result")
    return Found(**json.loads(lines[-1].removeprefix(MARK)))
