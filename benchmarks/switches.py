"""What each switch of the fast path brings: ``python -m benchmarks.switches``.

Two variants of the same work take turns, A B A B, in one process: processor seconds, and the most
bytes that tensors took in a separate pass that counts them. Ratios are of runs side by side.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import click
import torch
from rich.console import Console
from rich.table import Table
from transformers.cache_utils import DynamicLayer

from bakeoff import logprobs
from bakeoff.batch import TokenBatch
from bakeoff.config import TrainingConfig
from bakeoff.engine import training
from bakeoff.memory.attribution import AllocationTracker
from bakeoff.packing import Packed, pack
from bakeoff.provenance import git_revision, machine, measured_by
from bakeoff.records import write_json
from bakeoff.rollouts import attention, cache, sampler
from bakeoff.rollouts.cache import RoomyLayer
from benchmarks.workbench import Shape, Workbench, workbench

SMALL = Shape(problems=32)
LONG = Shape(problems=16, max_response_tokens=256, ends=False)
QUESTIONS = Shape(problems=16, prompt_tokens=(150, 250), max_response_tokens=128, ends=False)
WIDE = Shape(
    hidden_size=64, layers=2, vocabulary=32_000, problems=8, max_response_tokens=32, ends=False
)
DEEP = Shape(hidden_size=256, layers=8, problems=8, ends=False)

Work = Callable[[Workbench], object]
Around = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One side of a switch."""

    training: Mapping[str, Any]
    around: Around = nullcontext
    compute_dtype: torch.dtype | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Two ways to do the same work."""

    name: str
    shape: Shape
    work: Callable[[Workbench], Work]  # prepares, and returns what is measured
    on: Variant
    off: Variant


def sampling(bench: Workbench) -> Work:
    """Sampling one batch."""
    return lambda b: b.sample(1)


def updating(bench: Workbench) -> Work:
    """One optimizer step on a batch that lies ready."""
    batch = bench.annotate(bench.sample(0))
    return lambda b: b.update(batch)


def annotating_and_updating(bench: Workbench) -> Work:
    """A step with what the engine adds to the batch before."""
    rollouts = bench.sample(0)
    return lambda b: b.update(b.annotate(rollouts))


def one_sequence_a_row(batch: TokenBatch) -> Packed:
    """Rows as a plain batch has them: every sequence in one of its own."""
    with mock.patch(
        "bakeoff.packing.best_fit", lambda lengths: (range(len(lengths)), [0] * len(lengths))
    ):
        return pack(batch)


@contextmanager
def prompts_apart(reader: Callable[[TokenBatch], Packed] = pack) -> Iterator[None]:
    """Every response with a prompt of its own."""
    with (
        mock.patch.object(logprobs, "shares_prompts", lambda _: False),
        mock.patch.object(training, "shares_prompts", lambda _: False),
        mock.patch.object(logprobs, "pack", reader),
    ):
        yield


class ConcatenatedLayer(RoomyLayer):
    """A layer of the cache without room for what is to come."""

    update = DynamicLayer.update
    batch_select_indices = DynamicLayer.batch_select_indices


@contextmanager
def prompts_cached_apart() -> Iterator[None]:
    """Every rollout with its prompt's keys and values."""
    with mock.patch.object(sampler, "can_branch", lambda *_: False):
        yield


@contextmanager
def by_the_fused_kernel() -> Iterator[None]:
    """PyTorch's attention for single tokens too."""
    with prompts_cached_apart(), mock.patch.dict(attention.BY_PRODUCTS, {"cpu": False}):
        yield


@contextmanager
def old_logprobs_apart() -> Iterator[None]:
    """pi_old by a pass of its own, which one update per rollout batch does not need."""
    with mock.patch("bakeoff.interfaces.Plan.needs_old_logprobs", property(lambda _: True)):
        yield


def _patched(target: object, name: str, value: object) -> Around:
    return lambda: mock.patch.object(target, name, value)


def _variant(around: Around = nullcontext, **training: Any) -> Variant:
    return Variant(training=training, around=around)


SWITCHES = (
    Switch(
        name="a prompt read once / with every response",
        shape=SMALL,
        work=updating,
        on=_variant(),
        off=_variant(prompts_apart),
    ),
    Switch(
        name="where prompts are not shared: packed end to end / one a row",
        shape=SMALL,
        work=updating,
        on=_variant(prompts_apart),
        off=_variant(lambda: prompts_apart(one_sequence_a_row)),
    ),
    Switch(
        name="micro-batches of 4,096 tokens / of 16,384",
        shape=SMALL,
        work=updating,
        on=_variant(micro_batch_tokens=4096),
        off=_variant(micro_batch_tokens=16384),
    ),
    Switch(
        name="pi_old from the update's own pass / a pass before",
        shape=SMALL,
        work=annotating_and_updating,
        on=_variant(),
        off=_variant(old_logprobs_apart),
    ),
    Switch(
        name="logits in tiles / of all tokens at once",
        shape=WIDE,
        work=updating,
        on=_variant(),
        off=_variant(_patched(logprobs, "LOGITS_PER_TILE", {"cpu": 1 << 40, "cuda": 1 << 40})),
    ),
    Switch(
        name="activation checkpointing / none",
        shape=DEEP,
        work=updating,
        on=_variant(activation_checkpointing=True),
        off=_variant(),
    ),
    Switch(
        name="LoRA of rank 8 / full training",
        shape=DEEP,
        work=updating,
        on=_variant(lora_rank=8),
        off=_variant(),
    ),
    Switch(
        name="bfloat16 passes / float32",
        shape=DEEP,
        work=updating,
        on=Variant(training={}, compute_dtype=torch.bfloat16),
        off=_variant(),
    ),
    Switch(
        name="compiled layers / not",
        shape=DEEP,
        work=updating,
        on=_variant(compile_model=True),
        off=_variant(),
    ),
    Switch(
        name="cache with room / concatenated at every token",
        shape=LONG,
        work=sampling,
        on=_variant(),
        off=_variant(_patched(cache, "RoomyLayer", ConcatenatedLayer)),
    ),
    Switch(
        name="a prompt cached once / with every response",
        shape=QUESTIONS,
        work=sampling,
        on=_variant(),
        off=_variant(prompts_cached_apart),
    ),
    Switch(
        name="where prompts are cached apart: single tokens by products / by the fused kernel",
        shape=LONG,
        work=sampling,
        on=_variant(prompts_cached_apart),
        off=_variant(by_the_fused_kernel),
    ),
    Switch(
        name="finished rows leave / stay",
        shape=SMALL,
        work=sampling,
        on=_variant(),
        off=_variant(_patched(sampler, "COMPACT_SHARE", 2.0)),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One switch, measured."""

    name: str
    on_seconds: list[float]
    off_seconds: list[float]
    ratios: list[float]  # off / on, of neighbours: above 1, the switch is faster
    on_bytes: int
    off_bytes: int


def measure(switch: Switch, *, rounds: int) -> Found:
    """Both sides in turn, after a warm-up of each."""
    sides = {name: _side(switch, variant) for name, variant in _variants(switch).items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(rounds + 1):
        for name, run in sides.items():
            taken = run()
            if round_number:
                seconds[name].append(taken)
    peaks = {name: _peak(switch, variant) for name, variant in _variants(switch).items()}
    return Found(
        name=switch.name,
        on_seconds=seconds["on"],
        off_seconds=seconds["off"],
        ratios=[off / on for on, off in zip(seconds["on"], seconds["off"], strict=True)],
        on_bytes=peaks["on"],
        off_bytes=peaks["off"],
    )


def _variants(switch: Switch) -> dict[str, Variant]:
    return {"on": switch.on, "off": switch.off}


def _bench(switch: Switch, variant: Variant) -> tuple[Workbench, Work]:
    bench = workbench(
        switch.shape,
        training=TrainingConfig(measure_kl=False, **variant.training),
        compute_dtype=variant.compute_dtype,
    )
    return bench, switch.work(bench)


def _side(switch: Switch, variant: Variant) -> Callable[[], float]:
    with variant.around():
        bench, work = _bench(switch, variant)

    def run() -> float:
        with variant.around():
            start = time.process_time()
            work(bench)
            return time.process_time() - start

    return run


def _peak(switch: Switch, variant: Variant) -> int:
    with variant.around():
        bench, work = _bench(switch, variant)
        work(bench)
        tracker = AllocationTracker(device_type="cpu")
        for which, tensors in bench.engine.memory_owners().items():
            tracker.own(which, tensors)
        with tracker:
            work(bench)
    return tracker.peak_bytes


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="write the numbers too")
def main(rounds: int, threads: int, json_file: Path | None) -> None:
    """Measures every switch and prints a table."""
    torch.set_num_threads(threads)
    load = round(os.getloadavg()[0], 2)
    table = Table(
        "switch", "CPU s", "CPU s without", "x faster (min, median, max)", "MB", "without"
    )
    rows = []
    for switch in SWITCHES:
        found = measure(switch, rounds=rounds)
        rows.append(
            {name: getattr(found, name) for name in found.__slots__}
            | {"median_ratio": statistics.median(found.ratios)}
        )
        low, middle, high = min(found.ratios), statistics.median(found.ratios), max(found.ratios)
        table.add_row(
            switch.name,
            f"{statistics.median(found.on_seconds):.2f}",
            f"{statistics.median(found.off_seconds):.2f}",
            f"{low:.2f}, {middle:.2f}, {high:.2f}",
            f"{found.on_bytes / 1e6:,.0f}",
            f"{found.off_bytes / 1e6:,.0f}",
        )
    table.caption = f"{machine()}; {threads} thread(s); load {load}; commit {git_revision()}"
    Console(width=140).print(table)
    if json_file is not None:
        record = {
            **measured_by("switches"),
            "threads": threads,
            "load_before": load,
            "switches": rows,
        }
        write_json(json_file, record)


if __name__ == "__main__":
    main()
