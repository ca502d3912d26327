"""What a run of each method takes in memory, measured on a short one."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bakeoff.cell import run_cell
from bakeoff.config import CellConfig
from bakeoff.interfaces import Algorithm
from bakeoff.memory import lenient_task
from bakeoff.memory.components import Component
from bakeoff.memory.tracker import PeakMemory, Timeline
from bakeoff.provenance import git_revision, machine, versions
from bakeoff.records import RunDirectory, read_json

TASK = f"{lenient_task.__file__}:LenientTask"
POINTS = 120  # of a phase in a timeline; each is the highest moment of its stretch
# The second batch, for there is no optimizer state before the first update.
BATCHES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """A method to be measured; it is made in the process that measures it."""

    config: CellConfig
    make: Callable[[], Algorithm]


def measure(methods: Mapping[str, Profiled], *, say: Callable[[str], None]) -> dict[str, Any]:
    """A record of every method, each run in a process of its own for two batches.

    Per method: bytes by phase and component, the process's or the allocator's own marks, seconds
    by phase (tracked, so longer than a run's), and the timeline of the second batch.
    """
    found = {}
    for name, profiled in methods.items():
        say(f"measuring {name}")
        # One process a method, or the peak of one would hide that of the next.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
            found[name] = pool.submit(measure_one, profiled).result()
    return {
        "schema": 1,
        "machine": machine(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": versions(),
        "git": git_revision(),
        "methods": found,
    }


def measure_one(profiled: Profiled) -> dict[str, Any]:
    """The record of one method, measured in this process."""
    made: list[PeakMemory] = []

    def memory(device: torch.device) -> PeakMemory:
        made.append(PeakMemory(device, every_time=True))
        return made[-1]

    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory(Path(folder) / "run")
        algorithm = profiled.make()
        run_cell(profiled.config, algorithm, directory, memory=memory)
        ledger = read_json(directory.ledger)
    (measured,) = made
    counts = ("problems", "rollouts", "prompt_tokens", "sampled_tokens", "trained_tokens")
    return (
        measured.record()
        | {"seconds": ledger["seconds"], "counts": {name: ledger[name] for name in counts}}
        | {"timeline": [thinned(run) for run in second_batch(measured.timelines)]}
    )


def second_batch(timelines: Iterable[Timeline]) -> list[Timeline]:
    """The runs of its phases in order; a pool's sampling comes from before the first batch."""
    chosen = [run for run in timelines if run.batch == BATCHES - 1 and run.phase != "evaluate"]
    if not any(run.phase == "sample" for run in chosen):
        before = {
            run.phase: run
            for run in timelines
            if run.batch is None and run.phase in ("sample", "score")
        }
        chosen = [*before.values(), *chosen]
    return chosen


def thinned(run: Timeline) -> dict[str, Any]:
    """Bytes by component over the seconds of a phase, at no more than `POINTS` moments."""
    live: Counter[Component] = Counter()
    before = sum(seconds < run.start for seconds, *_ in run.changes)
    stretch = max(1, -(-(len(run.changes) - before) // (POINTS - 1)))
    moments: list[tuple[float, dict[Component, int]]] = []
    highest: tuple[int, float, dict[Component, int]] | None = None
    total = 0
    for index, (seconds, which, change) in enumerate(run.changes, 1 - before):
        live[which] += change
        total += change
        if index < 0:
            continue
        if highest is None or total > highest[0]:
            highest = (total, max(seconds, run.start), dict(live))
        if index % stretch == 0 or index == len(run.changes) - before:
            moments.append((highest[1], highest[2]))
            highest = None
    names = [which for which in Component if any(parts.get(which) for _, parts in moments)]
    return {
        "phase": run.phase,
        "seconds": [round(seconds - run.start, 6) for seconds, _ in moments],
        "bytes": {which.value: [parts.get(which, 0) for _, parts in moments] for which in names},
    }


def table(record: Mapping[str, Any]) -> Sequence[tuple[str, str, int, int, str]]:
    """Method, phase, bytes of tensors, the machine's own mark, and the largest components."""
    rows = []
    for method, found in record["methods"].items():
        for phase, parts in found["peak_components"].items():
            largest = sorted(parts.items(), key=lambda item: -item[1])[:2]
            told = ", ".join(
                f"{name} {100 * count / sum(parts.values()):.0f} %"
                for name, count in largest
                if count
            )
            mark = found["peak_bytes"].get(phase, 0)
            rows.append((method, phase, sum(parts.values()), mark, told))
    return rows
