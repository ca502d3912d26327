"""Peak memory by phase, as the machine counts it and by what it was for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bakeoff.memory.attribution import AllocationTracker
from bakeoff.memory.components import Component
from bakeoff.memory.owners import Owners

# Tracking slows the phases of a small model down, so few batches are tracked: the second, because
# there is no optimizer state before the first update, and every 64th after it, because responses
# grow while a policy learns.
TRACK_EVERY = 64
# Their bytes are those of other phases, and they are long.
UNTRACKED = frozenset({"load", "evaluate", "checkpoint"})

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_NAMES = ("peak_bytes", "peak_components", "peak_reserved_bytes", "peak_device_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One run of a phase, allocation by allocation."""

    phase: str
    batch: int | None  # None: before the first
    start: float  # perf_counter seconds; earlier changes are of what was there
    changes: Sequence[tuple[float, Component, int]]  # perf_counter seconds, component, bytes


class PeakMemory:
    """The high-water mark of each phase, in bytes.

    On CUDA it is the allocator's; on the CPU it is the resident set of the whole process, which
    holds the interpreter and its libraries too. Once `watch` has named the owners of tensors, the
    phases of some batches are tracked, and `peak_components` says what the bytes of tensors were
    for at the highest moment of them.

    Args:
        device: whose memory counts.
        every_time: track every phase but those of the first batch, and keep `timelines`.
    """

    def __init__(self, device: torch.device, *, every_time: bool = False) -> None:
        self._device = device
        self._every_time = every_time
        self._owners: list[Owners] = []
        self._times: Counter[str] = Counter()
        self.batch: int | None = None  # index of the running rollout batch; None before the first
        self.peak_bytes: dict[str, int] = {}
        self.peak_components: dict[str, dict[str, int]] = {}
        self.peak_reserved_bytes: dict[str, int] = {}  # CUDA: what the allocator held
        self.peak_device_bytes: dict[str, int] = {}  # CUDA: of all processes, as a phase ends
        self.timelines: list[Timeline] = []

    def watch(self, owners: Owners) -> None:
        """Tracks phases from now on; what lies there now is what `load` has left.

        Owners of more calls than one are all asked.
        """
        self._owners.append(owners)
        self._keep("load", self._tracker().peak(), allocated=0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Keeps the marks of what runs inside, each if it is the phase's highest."""
        due = self._due(name)
        tracker = self._tracker() if due else None
        self._start()
        start = time.perf_counter()
        try:
            if tracker is None:
                yield
            else:
                with tracker:
                    yield
        finally:
            self._stop(name)
            if tracker is not None:
                self._keep(name, tracker.peak(), allocated=self._allocated())
                if self._every_time:
                    changes = tracker.timeline()
                    self.timelines.append(
                        Timeline(phase=name, batch=self.batch, start=start, changes=changes)
                    )

    def record(self) -> dict[str, Any]:
        """The marks by name; those that only CUDA has are absent elsewhere."""
        return {
            name: dict(marks)
            for name in _NAMES
            if (marks := getattr(self, name)) or name in ("peak_bytes", "peak_components")
        }

    def restore(self, record: Mapping[str, Any]) -> None:
        """Continues from a `record`."""
        for name in _NAMES:
            setattr(self, name, dict(record.get(name) or {}))

    def _due(self, phase: str) -> bool:
        if not self._owners:
            return False
        if self._every_time:
            return self.batch != 0
        if phase in UNTRACKED:
            return False
        # A pool is sampled before the first batch, in parts of a batch's size.
        turn = self._times[phase] if self.batch is None else self.batch
        self._times[phase] += 1
        return turn % TRACK_EVERY == 1

    def _tracker(self) -> AllocationTracker:
        tracker = AllocationTracker(device_type=self._device.type, keep_events=self._every_time)
        for owners in self._owners:
            for which, tensors in owners().items():
                tracker.own(which, tensors)
        return tracker

    def _keep(self, phase: str, peak: Mapping[Component, int], *, allocated: int) -> None:
        parts = {which.value: count for which, count in peak.items()}
        # What kernels allocate within themselves, and what was there and is nobody's.
        unseen = allocated - sum(parts.values())
        if unseen > 0:
            parts[Component.OTHER.value] = parts.get(Component.OTHER.value, 0) + unseen
        if sum(parts.values()) > sum(self.peak_components.get(phase, {}).values()):
            self.peak_components[phase] = parts

    def _start(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        elif _RESET.exists():
            _RESET.write_text("5")

    def _stop(self, phase: str) -> None:
        _raise(self.peak_bytes, phase, self._read())
        if self._device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self._device)
            _raise(self.peak_device_bytes, phase, total - free)
            reserved = torch.cuda.max_memory_reserved(self._device)
            _raise(self.peak_reserved_bytes, phase, reserved)

    def _allocated(self) -> int:
        """The allocator's own mark of this run of a phase; 0 where there is none."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return 0

    def _read(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if not _STATUS.exists():
            return 0
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0


def _raise(marks: dict[str, int], phase: str, mark: int) -> None:
    marks[phase] = max(mark, marks.get(phase, 0))
