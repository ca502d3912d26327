"""Cells as processes of their own on this machine, a few at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.25
KILL_AFTER_SECONDS = 5.0
RESTARTS = 1  # of a process that a signal ended; it continues from its last checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command of this interpreter, with a log file for what it prints."""

    name: str
    arguments: tuple[str, ...]  # after the interpreter: ("-m", "bakeoff", "train", ...)
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """How a job ended."""

    job: Job
    returncode: int

    @property
    def reason(self) -> str:
        """Its last line, which for our commands is the error; or the signal that ended it."""
        if self.returncode < 0:
            return f"ended by {signal.Signals(-self.returncode).name}, see {self.job.log}"
        lines = self.job.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self.returncode}"


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int,
    on_tick: Callable[[Sequence[Job]], None] | None = None,
) -> list[JobResult]:
    """Runs the jobs, at most `workers` at once, and returns how each ended, in order of ending.

    No process outlives this call: an interrupt ends them all first. `on_tick` is called a few
    times a second with the jobs that run.
    """
    waiting = list(jobs)
    running: dict[Job, subprocess.Popen[bytes]] = {}
    starts: dict[Job, int] = {}
    results: list[JobResult] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop(0)
                starts[job] = starts.get(job, 0) + 1
                running[job] = _start(job)
            for job, process in list(running.items()):
                returncode = process.poll()
                if returncode is None:
                    continue
                del running[job]
                _signal_group(process, signal.SIGKILL)  # what it started and left behind
                if returncode < 0 and starts[job] <= RESTARTS:
                    waiting.insert(0, job)
                    continue
                results.append(JobResult(job=job, returncode=returncode))
            if on_tick is not None:
                on_tick(list(running))
            time.sleep(POLL_SECONDS)
    finally:
        _end(list(running.values()))
    return results


def _start(job: Job) -> subprocess.Popen[bytes]:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *job.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # One thread a cell: two cells of a tiny model outrun one with two threads. The
            # variable must be set before the libraries load.
            env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
            start_new_session=True,  # a group of its own, so that its children end with it
        )


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + KILL_AFTER_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        # The whole group, also when its leader is gone: a child may have ignored the first.
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # PermissionError is what macOS says of a group whose last member is a zombie.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
