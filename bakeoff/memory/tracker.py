"""Peak memory by phase, as the device or the operating system counts it."""

from __future__ import annotations

from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """The high-water mark of each phase, in bytes.

    On CUDA it is the allocator's; on the CPU it is the resident set of the whole process, which
    holds the interpreter and its libraries too.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.peak_bytes: dict[str, int] = {}

    def start(self) -> None:
        """Begins a phase: the mark is lowered to what is in use now."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        elif _RESET.exists():
            _RESET.write_text("5")

    def stop(self, phase: str) -> int:
        """Ends a phase; its mark in bytes, which is also kept if it is the phase's highest."""
        peak = self._read()
        self.peak_bytes[phase] = max(peak, self.peak_bytes.get(phase, 0))
        return peak

    def _read(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if not _STATUS.exists():
            return 0
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0
