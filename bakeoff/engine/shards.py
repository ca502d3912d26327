"""Whole tensors out of what ZeRO has cut over the ranks, and back, the same for every stage.

ZeRO cuts a parameter itself at stage 3, and its float32 master and Adam's moments from stage 1 on.
DeepSpeed's own getters find no moments of a group that has not stepped yet, and its setters refuse
a parameter whose size the ranks do not divide; so the places are read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from bakeoff.checksums import part_checksum
from bakeoff.ranks import Ranks

MOMENTS = ("exp_avg", "exp_avg_sq")


def whole(tensor: Any, ranks: Ranks) -> Tensor:
    """A parameter or buffer as if nothing had cut it; a meeting of all ranks if something has."""
    if not hasattr(tensor, "ds_tensor"):
        plain: Tensor = tensor.detach()
        return plain
    return _joined(tensor.ds_shape, [_own_part(tensor, ranks)], ranks, tensor.ds_tensor)


@torch.no_grad()
def put_whole(tensor: Tensor, value: Tensor, ranks: Ranks) -> None:
    """Makes a parameter or buffer equal to a whole `value`; every rank keeps its part."""
    if not hasattr(tensor, "ds_tensor"):
        tensor.copy_(value)
        return
    start, part = _own_part(tensor, ranks)
    part.copy_(value.flatten()[start : start + part.numel()])
    if tensor.numel() == value.numel():
        tensor.data.copy_(value)  # small ones are kept whole beside their parts


def weights_norm(tensors: Iterable[Tensor], ranks: Ranks) -> float:
    """The Euclidean norm of parameters; a meeting of all ranks if something has cut them."""
    tensors = list(tensors)
    cut = [_own_part(t, ranks)[1] for t in tensors if hasattr(t, "ds_tensor")]
    if not cut:
        return float(torch.nn.utils.get_total_norm(tensors))
    return float(ranks.sum(torch.nn.utils.get_total_norm(cut) ** 2) ** 0.5)


def shards_checksum(tensors: Iterable[Tensor], ranks: Ranks) -> int:
    """One rank's share of a checksum: those of all ranks add up to that of the whole tensors."""
    total, before = 0, 0
    for tensor in tensors:
        start, part = _own_part(tensor, ranks)
        total += part_checksum(part, before + start)
        before += tensor.ds_numel  # type: ignore[attr-defined]
    return total


def own_tensor(tensor: Tensor) -> Tensor:
    """What this rank holds of a parameter or buffer."""
    part: Tensor = getattr(tensor, "ds_tensor", tensor)
    return part.detach()


class MasterShards:
    """The float32 masters and moments of one DeepSpeed engine.

    Args:
        engine: after `deepspeed.initialize`, with an optimizer.
        optimizer: the one it was given.
        ranks: who holds the other parts.
    """

    def __init__(self, engine: Any, optimizer: torch.optim.Optimizer, ranks: Ranks) -> None:
        self._zero = engine.optimizer
        self._stage = int(engine.zero_optimization_stage())
        self._state = optimizer.state
        self._ranks = ranks

    def moments(self, parameter: Tensor) -> dict[str, Tensor]:
        """Adam's state of a parameter, whole, on the CPU; empty before its first step."""
        held = self._place(parameter)
        steps = self._ranks.gather(None if held is None else self._steps(held[0]))
        step = next((one for one in steps if one is not None), 0.0)
        if not step:
            return {}
        found = {"step": torch.tensor(step)}
        for name in MOMENTS:
            part = None if held is None else self._part(held, self._state[held[0]][name])
            found[name] = self._join(parameter, part).cpu()
        return found

    @torch.no_grad()
    def put(self, parameter: Tensor, value: Tensor, moments: dict[str, Tensor]) -> None:
        """Makes master and moments of a parameter equal to whole ones."""
        held = self._place(parameter)
        if held is None:
            return
        master, _, start, count = held
        if self._stage:
            self._part(held, master)[1].copy_(value.flatten()[start : start + count])
        if not moments:
            return
        state = self._state[master]
        if not state:
            state["step"] = torch.zeros((), device=master.device)
            state |= {name: torch.zeros_like(master) for name in MOMENTS}
        state["step"].copy_(moments["step"])
        for name in MOMENTS:
            part = self._part(held, state[name])[1]
            part.copy_(moments[name].flatten()[start : start + count])

    def tensors(self) -> list[Tensor]:
        """Everything this rank holds of masters and moments."""
        masters = [p for p in self._state if isinstance(p, Tensor)]
        found = [t for p in masters for t in self._state[p].values() if isinstance(t, Tensor)]
        return found + (masters if self._stage else [])

    def gradients(self, parameters: Iterable[Tensor]) -> Iterator[Tensor]:
        """Everything this rank holds of gradients between two passes."""
        yield from (p.grad for p in parameters if p.grad is not None)
        if self._stage in (1, 2):
            kept = [*self._zero.averaged_gradients.values(), *self._zero.all_grad_tensors.values()]
            yield from (t for tensors in kept if tensors is not None for t in tensors)
        elif self._stage == 3:
            yield self._zero.grad_partitions_flat_buffer

    def _steps(self, master: Tensor) -> float:
        return float(self._state[master]["step"]) if self._state[master] else 0.0

    def _place(self, parameter: Tensor) -> tuple[Tensor, int, int, int] | None:
        """Flat master, first place in it, first place in the parameter, and how many here."""
        if self._stage == 0:
            return parameter, 0, 0, parameter.numel()
        if self._stage == 3:
            group, offset, _ = self._zero.grad_position[self._zero.get_param_id(parameter)]
            start, part = _own_part(parameter, self._ranks)
            return self._zero.fp32_partitioned_groups_flat[group], offset, start, part.numel()
        mapping = parameter._hp_mapping  # type: ignore[attr-defined]
        if mapping is None:
            return None
        here, there = mapping.lp_fragment_address, mapping.hp_fragment_address
        master = self._zero.single_partition_of_fp32_groups[mapping.param_group_index]
        return master, there.start, here.start, here.numel

    def _part(self, held: tuple[Tensor, int, int, int], flat: Tensor) -> tuple[int, Tensor]:
        _, first, start, count = held
        return start, flat.detach().view(-1)[first : first + count]

    def _join(self, parameter: Tensor, part: tuple[int, Tensor] | None) -> Tensor:
        if self._stage == 0 and part is not None:
            return part[1].view(parameter.shape).clone()
        shape = getattr(parameter, "ds_shape", parameter.shape)
        return _joined(shape, [] if part is None else [part], self._ranks, parameter)


def _own_part(parameter: Any, ranks: Ranks) -> tuple[int, Tensor]:
    """Where this rank's part begins, and the part without the padding of the last ones."""
    part = parameter.ds_tensor.detach().view(-1)
    start = min(ranks.rank * part.numel(), parameter.ds_numel)
    return start, part[: parameter.ds_numel - start]


def _joined(
    shape: torch.Size, parts: list[tuple[int, Tensor]], ranks: Ranks, like: Tensor
) -> Tensor:
    # Everybody's part among zeros: their sum is exact.
    blank = torch.zeros(shape.numel(), dtype=like.dtype, device=like.device)
    for start, part in parts:
        blank[start : start + part.numel()] = part
    return ranks.sum(blank).view(shape)
