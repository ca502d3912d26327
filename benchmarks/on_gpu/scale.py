"""How large the work of every part is. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Rollouts of one length; no response ends before its limit."""

    model: str  # a preset of bakeoff.memory.presets, or one of `TINY`
    problems: int
    group_size: int
    prompt_tokens: int
    response_tokens: int
    micro_batch_tokens: int

    @property
    def rows(self) -> int:
        """Rollouts of a batch."""
        return self.problems * self.group_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The work of all parts."""

    memory: Sequence[Work]
    adapters_at: Sequence[str]  # models that LoRA is measured on too
    update: Work
    sampling: Work
    head: tuple[int, int, int]  # tokens, hidden size and words of an output head
    peer: Mapping[str, Any]  # Shape and Job of benchmarks.against_peers, as far as they differ
    repeats: int
    product: int  # rows and columns of the matrices whose product is timed


ROOM = "benchmarks.on_gpu"

# The dimensions of a decoder that a CPU trains in a blink.
TINY: Mapping[str, Mapping[str, Any]] = {
    name: {
        "vocab_size": 384,
        "hidden_size": 32,
        "intermediate_size": 96,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    }
    for name, layers in (("tiny-1", 1), ("tiny-2", 2))
}


def _memory(model: str) -> Work:
    return Work(
        model=model,
        problems=4,
        group_size=8,
        prompt_tokens=128,
        response_tokens=64,
        micro_batch_tokens=2048,
    )


_TINY_WORK = Work(
    model="tiny-1",
    problems=4,
    group_size=4,
    prompt_tokens=12,
    response_tokens=8,
    micro_batch_tokens=160,
)

SCALES: Mapping[str, Scale] = {
    "full": Scale(
        memory=[_memory(f"qwen2.5-{size}") for size in ("0.5b", "1.5b", "7b")],
        adapters_at=["qwen2.5-7b"],
        update=Work(
            model="qwen2.5-1.5b",
            problems=4,
            group_size=8,
            prompt_tokens=256,
            response_tokens=768,
            micro_batch_tokens=16_384,
        ),
        sampling=Work(
            model="qwen2.5-1.5b",
            problems=8,
            group_size=16,
            prompt_tokens=256,
            response_tokens=128,
            micro_batch_tokens=16_384,
        ),
        head=(512, 1536, 151_936),
        peer={
            "vocabulary": 32_768,
            "hidden_size": 1024,
            "layers": 24,
            "max_response_tokens": 128,
            "updates": 3,
            "rounds": 2,
        },
        repeats=5,
        product=8192,
    ),
    "small": Scale(
        memory=[_TINY_WORK],
        adapters_at=["tiny-1"],
        update=_TINY_WORK,
        sampling=_TINY_WORK,
        head=(24, 16, 700),
        peer={
            "vocabulary": 48,
            "hidden_size": 32,
            "layers": 1,
            "max_response_tokens": 8,
            "updates": 1,
            "rounds": 1,
        },
        repeats=2,
        product=64,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one child process measures."""

    name: str  # in the record
    module: str  # its `run` yields the rows
    seconds: float  # it is cut off after so many
    least_seconds: float  # with fewer left it is not begun
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a part is told."""

    device: str  # "cuda" or "cpu"
    scale: Scale
    options: Mapping[str, Any]  # of the part
    predictions: str  # file of the part that predicts, a row a line; it may still grow


PREDICTIONS = Part(name="predictions", module=f"{ROOM}.predictions", seconds=400, least_seconds=0)


def parts(scale: Scale, *, device: str) -> list[Part]:
    """All parts in the order of what would be missed most."""
    memory = {
        work.model: Part(
            name=f"memory {work.model}",
            module=f"{ROOM}.memory",
            seconds=120,
            least_seconds=25,
            options={"model": work.model},
        )
        for work in scale.memory
    }
    *smaller, largest = memory.values()
    # A CPU takes minutes to compile what it runs in a blink.
    compiled = Part(
        name="compiled update",
        module=f"{ROOM}.update",
        seconds=120,
        least_seconds=50,
        options={"compiled": True},
    )
    return [
        Part(name="device", module=f"{ROOM}.device", seconds=60, least_seconds=5),
        Part(name="equality", module=f"{ROOM}.equality", seconds=100, least_seconds=20),
        *smaller,
        Part(name="update", module=f"{ROOM}.update", seconds=90, least_seconds=25),
        Part(name="sampling", module=f"{ROOM}.sampling", seconds=120, least_seconds=30),
        largest,
        *([compiled] if device == "cuda" else []),
        Part(name="peers", module=f"{ROOM}.peers", seconds=200, least_seconds=5),
    ]
