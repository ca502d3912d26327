"""What a method takes in memory, before anything is allocated, and what it would need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from transformers import PretrainedConfig

from bakeoff.interfaces import Algorithm
from bakeoff.memory.placement import Offload, Placed, Placement, place
from bakeoff.memory.rehearsal import Rehearsal, Workload, rehearse, rehearse_update

STAGES = (0, 1, 2, 3)
MOST_PROCESSES = 1 << 16  # a split over more than these is called impossible


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The bytes of one method, for one process."""

    phases: Mapping[str, Placed]
    parameters: int
    trained_parameters: int  # of policy and critic

    @property
    def peak_phase(self) -> str:
        """The phase in which most is on the device."""
        return max(self.phases, key=lambda name: self.phases[name].device_bytes)

    @property
    def peak_bytes(self) -> int:
        """Most bytes on the device."""
        return self.phases[self.peak_phase].device_bytes

    @property
    def host_bytes(self) -> int:
        """Most bytes in the host's memory."""
        return max(phase.host_bytes for phase in self.phases.values())


def predict(
    architecture: PretrainedConfig,
    algorithm: Algorithm,
    workload: Workload,
    *,
    placement: Placement | None = None,
) -> Prediction:
    """The bytes of every phase and component of a run."""
    return placed(rehearse(architecture, algorithm, workload), placement or Placement())


def placed(rehearsal: Rehearsal, placement: Placement) -> Prediction:
    """The prediction of a rehearsed run whose bytes are shared so."""
    return Prediction(
        phases={
            name: place(phase, placement, largest_layer_bytes=rehearsal.largest_layer_bytes)
            for name, phase in rehearsal.phases.items()
        },
        parameters=rehearsal.parameters,
        trained_parameters=rehearsal.trained_parameters,
    )


def processes_needed(
    rehearsal: Rehearsal, *, zero_stage: int, offload: Offload, device_bytes: float
) -> int | None:
    """The fewest processes, a device each, with which every phase fits; None if none do.

    `offload` counts where the stage allows it. Every process has a micro-batch of its own, so that
    activations are not split.
    """
    allowed = offload if zero_stage == 3 else Offload.NONE
    if offload.optimizer and 1 <= zero_stage <= 2:
        allowed = Offload.OPTIMIZER

    def fits(processes: int) -> bool:
        sharing = Placement(zero_stage=zero_stage, processes=processes, offload=allowed)
        return placed(rehearsal, sharing).peak_bytes <= device_bytes

    if fits(1):
        return 1
    if zero_stage == 0 or not fits(MOST_PROCESSES):
        return None
    too_few, enough = 1, MOST_PROCESSES
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if fits(middle) else (middle, enough)
    return enough


def largest_micro_batch(
    architecture: PretrainedConfig,
    algorithm: Algorithm,
    workload: Workload,
    *,
    placement: Placement,
    device_bytes: float,
) -> int | None:
    """Tokens of the largest micro-batch whose update fits; None if one row does not.

    Two updates are rehearsed, with micro-batches of as many tokens as asked for, or one row if it
    has more, and of twice as many; between and beyond them the bytes lie on a straight line.
    """
    tokens = max(workload.training.micro_batch_tokens, workload.row_tokens)

    def update(tokens: int) -> tuple[int, int]:
        training = replace(workload.training, micro_batch_tokens=tokens)
        found = rehearse_update(architecture, algorithm, replace(workload, training=training))
        return found.micro_batch_tokens, placed(found, placement).peak_bytes

    (fewer, once), (more, twice) = update(tokens), update(2 * tokens)
    slope = (twice - once) / (more - fewer)
    most = int((device_bytes - once) / slope) + fewer if slope > 0 else 0
    return most if most >= workload.row_tokens else None
