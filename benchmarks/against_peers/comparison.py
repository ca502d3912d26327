"""Runs of both sides in turns, and what they come to."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from bakeoff.errors import BakeoffError
from benchmarks.against_peers.child import Found, Job, heard, write_job
from benchmarks.report_scale import resident_bytes

POLL_SECONDS = 0.25  # a look at all processes takes milliseconds of a core
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One child: medians over its timed updates."""

    seconds_per_update: float
    cpu_seconds_per_update: float  # of all threads
    samples_per_second: float
    tokens_per_sample: float
    peak_bytes: int  # resident, of the child and what it started; or a card's
    phases: Mapping[str, float] = field(default_factory=dict)  # seconds an update, of ours
    load_before: float = 0.0  # of the machine: what others do to it


def measure(python: Path, script: str, job: Job) -> Run:
    """One child run from start to end.

    Raises:
        BakeoffError: it failed, or told nothing.
    """
    scratch = Path(job.scratch)
    scratch.mkdir(parents=True)
    file = scratch / "job.json"
    write_job(job, file)
    # Packages that lie elsewhere are for this interpreter, and must not enter a peer's.
    further = os.environ.get("PYTHONPATH") if python == our_python() else None
    paths = [str(ROOT), *([further] if further else [])]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(job.threads),
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if job.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    load = round(os.getloadavg()[0], 2)
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.against_peers.{script}", str(file)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=errors,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident_bytes(process.pid))
            time.sleep(POLL_SECONDS)
        output.seek(0)
        errors.seek(0)
        told, said = output.read(), errors.read().strip().splitlines()
    if process.returncode:
        last = (said or ["no message"])[-1]
        raise BakeoffError(f"{script} ended with code {process.returncode}: {last}")
    try:
        found = heard(told)
    except ValueError as error:
        raise BakeoffError(f"{script}: {error}") from None
    return replace(
        summarised(found, samples=job.samples),
        peak_bytes=max(peak, found.peak_bytes) if job.device == "cpu" else found.peak_bytes,
        load_before=load,
    )


def summarised(found: Found, *, samples: int) -> Run:
    """A child's updates as one run."""
    seconds = statistics.median(found.seconds)
    return Run(
        seconds_per_update=seconds,
        cpu_seconds_per_update=statistics.median(found.cpu_seconds),
        samples_per_second=samples / seconds,
        tokens_per_sample=statistics.fmean(found.sampled_tokens) / samples,
        peak_bytes=found.peak_bytes,
        phases=found.phases,
    )


def alternate(
    ours: Callable[[int], Run], peer: Callable[[int], Run], *, rounds: int
) -> tuple[list[Run], list[Run]]:
    """Runs of ours and of the peer, one after the other, so often; a round has its number."""
    our_runs, peer_runs = [], []
    for number in range(rounds):
        our_runs.append(ours(number))
        peer_runs.append(peer(number))
    return our_runs, peer_runs


def compared(ours: Sequence[Run], peer: Sequence[Run]) -> dict[str, Any]:
    """Medians and spreads of both sides, and ratios of the runs that came together.

    A ratio of speeds is ours over the peer's, and so is that of bytes: speeds above 1 and bytes
    below 1 are in our favour.
    """
    pairs = list(zip(ours, peer, strict=True))
    return {
        "ours": _side(ours),
        "peer": _side(peer),
        "ratios": {
            "samples_per_second": spread(
                [a.samples_per_second / b.samples_per_second for a, b in pairs]
            ),
            "samples_per_cpu_second": spread(
                [b.cpu_seconds_per_update / a.cpu_seconds_per_update for a, b in pairs]
            ),
            "peak_bytes": spread([a.peak_bytes / b.peak_bytes for a, b in pairs]),
            "tokens_per_sample": spread(
                [a.tokens_per_sample / b.tokens_per_sample for a, b in pairs]
            ),
        },
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, most and all of them."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "runs": list(values),
    }


def our_python() -> Path:
    """The interpreter that runs this."""
    return Path(sys.executable)


def _side(runs: Sequence[Run]) -> dict[str, Any]:
    numbers = (
        "samples_per_second",
        "seconds_per_update",
        "cpu_seconds_per_update",
        "peak_bytes",
        "tokens_per_sample",
    )
    phases = {phase for run in runs for phase in run.phases}
    return {name: spread([getattr(run, name) for run in runs]) for name in numbers} | {
        "phases": {
            phase: statistics.median(run.phases.get(phase, 0.0) for run in runs)
            for phase in sorted(phases)
        },
        "load_before": [run.load_before for run in runs],
    }
