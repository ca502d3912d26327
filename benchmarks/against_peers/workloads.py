"""The work that all sides do, and what makes it equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.against_peers.child import Job
from benchmarks.against_peers.environments import Environment

KL_COEFFICIENT = 0.04  # not 0, so that all sides pass a reference
LEARNING_RATE = 1e-6
SAMPLES = 256  # an update


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model and how long its responses are."""

    vocabulary: int
    hidden_size: int
    layers: int
    max_response_tokens: int
    ends: bool  # whether the end of a sequence can be drawn before the limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another library's trainer and ours that does the same."""

    script: str  # module of this package
    ours: str
    environment: Environment
    group_size: int
    workloads: Mapping[str, int]  # rows of the peer's forward and backward pass
    choices: Mapping[str, str]  # its settings that are not given by the work, and why


SHAPES: Mapping[str, Shape] = {
    "variable": Shape(vocabulary=48, hidden_size=128, layers=4, max_response_tokens=64, ends=True),
    "full": Shape(vocabulary=48, hidden_size=128, layers=4, max_response_tokens=64, ends=False),
    "vocabulary": Shape(
        vocabulary=151_936, hidden_size=64, layers=2, max_response_tokens=32, ends=False
    ),
}

_SHARED_CHOICES = {
    "gradient_checkpointing": "off: it buys memory with a second forward pass",
    "dtype": "float32 on all sides, bf16 off",
    "generation": "transformers' generate with its cache",
    "optimizer": "AdamW, fused; constant learning rate; gradient norm clipped at 1",
    "logging, saving, dropout": "off",
}

PEERS: Mapping[str, Peer] = {
    "trl-grpo": Peer(
        script="trl_grpo",
        ours="ours_grpo",
        environment=Environment(name="trl-1.16.0", packages=("trl==1.16.0",)),
        group_size=8,
        workloads={"variable": 32, "full": 32, "vocabulary": 8},
        choices=_SHARED_CHOICES
        | {
            "micro_batch": "32 rows: as fast as any from 8 to 128, with little memory; with the "
            "large vocabulary 8, TRL's default: more rows trade memory for some speed",
            "loss": "grpo, group-scaled rewards, one update a generation, epsilon 0.2, k3 KL",
        },
    ),
    "trl-ppo": Peer(
        script="trl_ppo",
        ours="ours_ppo",
        environment=Environment(name="trl-1.12.0", packages=("trl==1.12.0",)),
        group_size=1,
        workloads={"variable": 64, "full": 64},
        choices=_SHARED_CHOICES
        | {
            "micro_batch": "64 rows, as many as it samples at once; fewer trade speed for memory",
            "local_rollout_forward_batch_size": "64, TRL's default: speed against memory",
            "critic": "separate, of the policy's size; gamma 1, lambda 1, value clip 0.2",
            "reward": "a module that reads tokens; ours is a callable that reads text",
        },
    ),
}


def job(
    peer: Peer,
    workload: str,
    *,
    model: Path,
    scratch: Path,
    updates: int,
    threads: int,
    micro_batch: int | None = None,
) -> Job:
    """What both sides of a comparison are told.

    Args:
        micro_batch: rows of the peer's forward and backward pass; None: those chosen for it.
    """
    return Job(
        model=str(model),
        scratch=str(scratch),
        prompts=SAMPLES // peer.group_size,
        group_size=peer.group_size,
        max_response_tokens=SHAPES[workload].max_response_tokens,
        epochs=1,
        kl_coefficient=KL_COEFFICIENT,
        learning_rate=LEARNING_RATE,
        updates=updates,
        threads=threads,
        micro_batch=micro_batch or peer.workloads[workload],
        rollout_batch=64,
    )


def equal_settings(given: Job) -> dict[str, Any]:
    """What a job holds equal on both sides; places on the disk and the peer's cut left out."""
    left_out = ("model", "scratch", "micro_batch", "rollout_batch")
    shared = {name: value for name, value in asdict(given).items() if name not in left_out}
    return shared | {"samples": given.samples, "temperature": 1.0}
