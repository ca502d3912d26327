"""What a cell has spent. Owned by the harness, never by a method."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bakeoff.config import BudgetAxis, BudgetConfig
from bakeoff.memory.owners import Owners
from bakeoff.memory.tracker import PeakMemory
from bakeoff.ranks import Ranks
from bakeoff.types import Rollout

# Looking is free: what a method learns from costs, what we learn about it does not.
FREE_PHASES = frozenset({"load", "evaluate", "measure", "checkpoint"})


class Ledger:
    """Counters of one cell; every one of them only ever grows.

    Every rank counts what all ranks do together. Seconds are a rank's own, and those of one count
    for all: ranks wait for each other.
    """

    def __init__(self, memory: PeakMemory, ranks: Ranks | None = None) -> None:
        self._memory = memory
        self._ranks = ranks or Ranks()
        self._peaks: list[dict[str, int]] = []  # bytes by phase, of every rank as they last met
        self._wall_start = time.perf_counter()
        self._wall_before = 0.0
        self.seconds: dict[str, float] = {}
        self.problems = 0
        self.rollouts = 0
        self.prompt_tokens = 0  # one prefill a group
        self.sampled_tokens = 0
        self.trained_tokens = 0  # response tokens with a weight, each pass counted
        self.verifier_calls = 0
        self.verifier_errors = 0
        self.unscorable = 0
        self.reward_model_tokens = 0
        self.optimizer_steps = 0
        self.flops = 0.0  # analytic; see models/flops.py

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charges the enclosed wall-clock seconds and peak bytes to a phase."""
        with self._memory.phase(name):
            start = time.perf_counter()
            try:
                yield
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def begin_batch(self, index: int) -> None:
        """Later phases are of this rollout batch."""
        self._memory.batch = index

    def watch(self, owners: Owners) -> None:
        """Attributes the bytes of later phases to components; what exists now is of `load`."""
        self._memory.watch(owners)

    def count_rollouts(self, rollouts: Sequence[Rollout], *, sampling_flops: float) -> None:
        """Books freshly sampled rollouts."""
        self.flops += sampling_flops
        groups = {rollout.group: rollout for rollout in rollouts}
        self.problems += len(groups)
        self.rollouts += len(rollouts)
        self.prompt_tokens += sum(len(rollout.prompt_ids) for rollout in groups.values())
        self.sampled_tokens += sum(len(rollout.completion.token_ids) for rollout in rollouts)
        self.verifier_calls += len(rollouts)
        self.verifier_errors += sum(rollout.reward.correct is None for rollout in rollouts)
        self.unscorable += sum(rollout.reward.outcome is None for rollout in rollouts)
        self.reward_model_tokens += sum(rollout.reward.model_tokens for rollout in rollouts)

    @property
    def charged_seconds(self) -> float:
        """Seconds of the phases that a method is charged for."""
        return sum(s for phase, s in self.seconds.items() if phase not in FREE_PHASES)

    @property
    def device_seconds(self) -> float:
        """The same of all ranks together."""
        return self._ranks.count * self.charged_seconds

    @property
    def wall_seconds(self) -> float:
        """Seconds since the cell began, free phases included, pauses between resumes not."""
        return self._wall_before + time.perf_counter() - self._wall_start

    def spent(self, axis: BudgetAxis) -> float:
        """How much of a budget axis is used."""
        return float(getattr(self, axis.value))

    def share(self, budget: BudgetConfig) -> float:
        """The share of the budget that is used; can pass 1 by the last batch."""
        return self.spent(budget.budget_axis) / budget.budget

    def position(self) -> dict[str, float]:
        """Where on every axis the cell stands: the x values of its metrics."""
        return {
            "optimizer_steps": self.optimizer_steps,
            "sampled_tokens": self.sampled_tokens,
            "device_seconds": self.device_seconds,
            "flops": self.flops,
        }

    def snapshot(self) -> dict[str, Any]:
        """The ledger as a record."""
        return (
            self._counters()
            | {
                "seconds": dict(self.seconds),
                "device_seconds": self.device_seconds,
                "wall_seconds": self.wall_seconds,
                # Of the whole charged cell, so that arms with cheap and dear updates compare.
                "tokens_per_second": self.sampled_tokens / max(self.charged_seconds, 1e-9),
                "sampling_tokens_per_second": self.sampled_tokens
                / max(self.seconds.get("sample", 0.0), 1e-9),
                "training_tokens_per_second": self.trained_tokens
                / max(self.seconds.get("update", 0.0), 1e-9),
            }
            | self._memory.record()
            | self._peaks_of_ranks()
        )

    def meet(self) -> None:
        """Learns the peaks of all ranks for later snapshots; a meeting of all ranks."""
        if self._ranks.count > 1:
            self._peaks = self._ranks.gather(dict(self._memory.peak_bytes))

    def restore(self, record: Mapping[str, Any]) -> None:
        """Continues from a snapshot."""
        for name in self._counters():
            setattr(self, name, record[name])
        self.seconds = dict(record["seconds"])
        self._wall_before = record["wall_seconds"]
        self._memory.restore(record)

    def _peaks_of_ranks(self) -> dict[str, Any]:
        """By phase of the rank that has most, and the highest of each rank."""
        if not self._peaks:
            return {}
        phases = dict.fromkeys(phase for peaks in self._peaks for phase in peaks)
        return {
            "peak_bytes": {
                phase: max(peaks.get(phase, 0) for peaks in self._peaks) for phase in phases
            },
            "rank_peak_bytes": [max(peaks.values(), default=0) for peaks in self._peaks],
        }

    def _counters(self) -> dict[str, float]:
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and isinstance(value, int | float)
        }
