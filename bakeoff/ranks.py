"""Where the processes of one cell meet: all run the same loop, each on its share of the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from bakeoff.errors import BakeoffError
from bakeoff.processes import LISTENER, is_rank

Value = TypeVar("Value")

# A rank may wait for another that verifies, evaluates or writes a checkpoint; whoever started the
# ranks ends them all when one is gone.
PATIENCE = timedelta(days=7)


class Ranks:
    """One process alone: it meets nobody, and every share is the whole."""

    rank = 0
    count = 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes what the ranks have found together."""
        return self.rank == 0

    def gather(self, value: Value) -> list[Value]:
        """Everybody's value, by rank; a meeting of all ranks."""
        return [value]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of everybody's tensor, on its device; a meeting of all ranks."""
        return tensor

    def once(self, function: Callable[[], Value]) -> Value:
        """What the function returns on the first rank, or raises there; a meeting of all ranks.

        For what may differ between two processes: a clock, a verifier's time-out, a file.
        """
        return function()

    def deal(self, cuts: Sequence[Tensor]) -> list[tuple[Tensor, bool]]:
        """Its cuts of all, as many as any other rank has, and whether each counts.

        Neighbours, which are of similar size, are worked on at the same time. Where cuts run out
        it gets a row of another rank's, which must not count: sharded weights are gathered by all
        ranks or by none.
        """
        turns = range(self.rank, self.rank + len(cuts), self.count)
        return [(cuts[turn], True) if turn < len(cuts) else (cuts[0][:1], False) for turn in turns]


class ProcessRanks(Ranks):
    """One of several processes that talk through `torch.distributed`, which runs."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.count = dist.get_world_size()

    def gather(self, value: Value) -> list[Value]:
        found: list[Value | None] = [None] * self.count
        dist.all_gather_object(found, value)
        return found  # type: ignore[return-value]

    def sum(self, tensor: Tensor) -> Tensor:
        total = tensor.contiguous().clone()
        dist.all_reduce(total)
        return total

    def once(self, function: Callable[[], Value]) -> Value:
        said: list[tuple[Value | None, Exception | None]] = [(None, None)]
        failure: Exception | None = None
        if self.first:
            try:
                said = [(function(), None)]
            except Exception as error:
                failure = error
                plain = error if isinstance(error, BakeoffError) else BakeoffError(repr(error))
                said = [(None, plain)]
        dist.broadcast_object_list(said, src=0)
        value, told = said[0]
        if failure is not None:
            raise failure
        if told is not None:
            raise told
        return value  # type: ignore[return-value]


def join_ranks(device: str) -> Ranks:
    """The ranks that a launcher has started, this one among them; without one, it is alone.

    Launchers say who is who in ``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR`` and ``MASTER_PORT``. On
    GPUs each rank of a machine takes its own.

    Args:
        device: what the model's setting says.
    """
    if not is_rank():
        return Ranks()
    if not dist.is_initialized():
        gpu = device != "cpu" and torch.cuda.is_available()
        if gpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        count = int(os.environ["WORLD_SIZE"])
        dist.init_process_group(
            # Objects are gathered on the CPU; NCCL carries tensors of a GPU alone.
            "cpu:gloo,cuda:nccl" if gpu else "gloo",
            store=_parents_store(count) if LISTENER in os.environ else None,
            rank=int(os.environ["RANK"]),
            world_size=count,
            timeout=PATIENCE,
        )
    return ProcessRanks()


def _parents_store(count: int) -> Any:
    """The store behind the socket that the parent has opened, so that nobody can take its port."""
    listener = os.environ[LISTENER]
    return dist.TCPStore(  # type: ignore[attr-defined]
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        count,
        is_master=bool(listener),
        master_listen_fd=int(listener) if listener else None,
        timeout=PATIENCE,
    )
