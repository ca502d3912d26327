"""How cost grows: ``python -m benchmarks.scaling``.

Processor seconds and peak bytes of tensors, of sampling and of a GRPO update, against group size,
response length, model size and vocabulary, one at a time around the same middle. Points are
measured in turn, round after round, so that a slow minute of the machine falls on all of them.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table

from bakeoff.memory.attribution import AllocationTracker
from bakeoff.provenance import git_revision, machine, measured_by
from bakeoff.records import write_json
from benchmarks.workbench import Shape, Workbench, workbench

MIDDLE = Shape(problems=4, group_size=16, hidden_size=128, layers=4, vocabulary=1024, ends=False)
AXES: Mapping[str, Sequence[Shape]] = {
    "group size": [replace(MIDDLE, group_size=g) for g in (4, 8, 16, 32, 64)],
    "response tokens": [replace(MIDDLE, max_response_tokens=t) for t in (32, 64, 128, 256, 512)],
    "parameters": [
        replace(MIDDLE, hidden_size=h, layers=n)
        for h, n in ((64, 2), (128, 4), (256, 4), (256, 8), (384, 8))
    ],
    "vocabulary": [replace(MIDDLE, vocabulary=v) for v in (64, 1024, 8192, 32_768, 131_072)],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One shape, measured."""

    axis: str
    place: int  # on the axis
    rollouts: int
    sampling_seconds: list[float]  # processor seconds a batch, one a round
    update_seconds: list[float]
    sampling_bytes: int  # of tensors at the highest moment, models included
    update_bytes: int


@dataclass(slots=True, kw_only=True)
class _Running:
    axis: str
    bench: Workbench
    sampling_seconds: list[float]
    update_seconds: list[float]

    def round(self) -> None:
        """Samples and updates once, timed."""
        start = time.process_time()
        rollouts = self.bench.sample(len(self.sampling_seconds))
        sampled = time.process_time()
        batch = self.bench.annotate(rollouts)
        annotated = time.process_time()
        self.bench.update(batch)
        self.sampling_seconds.append(sampled - start)
        self.update_seconds.append(time.process_time() - annotated)

    def point(self) -> Point:
        """What was found; the first round was a warm-up."""
        shape = self.bench.shape
        rollouts = self.bench.sample(0)
        batch = self.bench.annotate(rollouts)
        places = {
            "group size": shape.group_size,
            "response tokens": shape.max_response_tokens,
            "parameters": self.bench.parameters,
            "vocabulary": shape.vocabulary,
        }
        return Point(
            axis=self.axis,
            place=places[self.axis],
            rollouts=len(rollouts),
            sampling_seconds=self.sampling_seconds[1:],
            update_seconds=self.update_seconds[1:],
            sampling_bytes=_peak(self.bench, lambda: self.bench.sample(0)),
            update_bytes=_peak(self.bench, lambda: self.bench.update(batch)),
        )


def measure(axis: str, shapes: Sequence[Shape], *, rounds: int) -> list[Point]:
    """The points of an axis, round after round after a warm-up."""
    running = [
        _Running(axis=axis, bench=workbench(shape), sampling_seconds=[], update_seconds=[])
        for shape in shapes
    ]
    for _ in range(rounds + 1):
        for one in running:
            one.round()
    return [one.point() for one in running]


def _peak(bench: Workbench, work: Callable[[], object]) -> int:
    tracker = AllocationTracker(device_type="cpu")
    for which, tensors in bench.engine.memory_owners().items():
        tracker.own(which, tensors)
    with tracker:
        work()
    return tracker.peak_bytes


def draw(points: Sequence[Point], file: Path) -> None:
    """One column an axis: milliseconds a rollout above, megabytes below."""
    import matplotlib.pyplot as plt

    axes = list(dict.fromkeys(point.axis for point in points))
    figure, grid = plt.subplots(2, len(axes), figsize=(3.4 * len(axes), 5.6), squeeze=False)
    for column, axis in enumerate(axes):
        own = [point for point in points if point.axis == axis]
        places = [point.place for point in own]
        for phase in ("sampling", "update"):
            seconds = [getattr(point, f"{phase}_seconds") for point in own]
            per_rollout = [
                [1000 * one / point.rollouts for one in values]
                for values, point in zip(seconds, own, strict=True)
            ]
            middle = [statistics.median(values) for values in per_rollout]
            spread = [
                [m - min(values) for m, values in zip(middle, per_rollout, strict=True)],
                [max(values) - m for m, values in zip(middle, per_rollout, strict=True)],
            ]
            grid[0][column].errorbar(places, middle, spread, marker="o", capsize=3, label=phase)
            megabytes = [getattr(point, f"{phase}_bytes") / 1e6 for point in own]
            grid[1][column].plot(places, megabytes, marker="o", label=phase)
        for row, label in enumerate(("CPU ms a rollout", "peak MB of tensors")):
            panel = grid[row][column]
            panel.set(xscale="log", yscale="log", xlabel=axis, ylabel=label)
            panel.set_xticks(places, [f"{place:,}" for place in places], rotation=30, fontsize=8)
            panel.minorticks_off()
            panel.grid(alpha=0.3)
    grid[0][0].legend()
    figure.tight_layout()
    figure.savefig(file)
    plt.close(figure)


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--axis", "chosen", type=click.Choice(list(AXES)), multiple=True, help="default: all")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="write the numbers")
@click.option("--figure", type=click.Path(path_type=Path), help="draw them, as SVG or PNG")
def main(rounds: int, chosen: tuple[str, ...], json_file: Path | None, figure: Path | None) -> None:
    """Measures every point and prints a table."""
    torch.set_num_threads(1)
    load = round(os.getloadavg()[0], 2)
    points: list[Point] = []
    for axis in chosen or AXES:
        points += measure(axis, AXES[axis], rounds=rounds)
    table = Table("axis", "", "sampling ms a rollout", "update ms a rollout", "MB", "MB")
    for point in points:
        table.add_row(
            point.axis,
            f"{point.place:,}",
            f"{1000 * statistics.median(point.sampling_seconds) / point.rollouts:.2f}",
            f"{1000 * statistics.median(point.update_seconds) / point.rollouts:.2f}",
            f"{point.sampling_bytes / 1e6:,.1f}",
            f"{point.update_bytes / 1e6:,.1f}",
        )
    table.caption = f"{machine()}; 1 thread; load {load}; commit {git_revision()}"
    Console(width=120).print(table)
    if figure is not None:
        draw(points, figure)
    if json_file is not None:
        record = {
            **measured_by("scaling"),
            "load_before": load,
            "middle": asdict(MIDDLE),
            "points": [asdict(point) for point in points],
        }
        write_json(json_file, record)


if __name__ == "__main__":
    main()
