"""The gate of a comparison, on the built-in model and this device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Literal

from bakeoff.config import CellConfig, ModelConfig
from bakeoff.conformance.agreement import policy_agrees_with_itself
from bakeoff.conformance.check import Check
from bakeoff.conformance.gradients import gradient_checks
from bakeoff.conformance.kl_gradient import kl_gradient_is_the_claimed_one
from bakeoff.conformance.probes import probe_rollouts
from bakeoff.conformance.resuming import resuming_changes_nothing
from bakeoff.conformance.seed_streams import seeds_change_what_they_should
from bakeoff.interfaces import Algorithm
from bakeoff.world import World, build_world
from benchmarks.methods import build_method, method_defaults
from benchmarks.on_gpu.child import Row, attempted
from benchmarks.predicted import ARMS

Dtype = Literal["float32", "bfloat16"]


def gate_rows(device: str) -> Iterator[Row]:
    """A row a check, with its own words; bounds are the gate's."""
    for dtype in ("float32", "bfloat16"):
        yield from _rows(device, dtype)


def _rows(device: str, dtype: Dtype) -> Iterator[Row]:
    configs = {name: _arm(name, device=device, dtype=dtype) for name in ARMS}
    world = build_world(next(iter(configs.values()))[0])
    rollouts = probe_rollouts(world)

    def row(name: str, work: Callable[[], Sequence[Check]]) -> Row:
        return attempted(f"gate: {name} ({dtype})", lambda: {"checks": _told(work())})

    try:
        yield row("policy agrees with itself", partial(policy_agrees_with_itself, world, rollouts))
        yield row("seeds", partial(seeds_change_what_they_should, world))
        for name, (config, algorithm) in configs.items():
            yield row(name, partial(_method, world, config, algorithm, rollouts))
    finally:
        world.verifier.close()


def _method(
    world: World, config: CellConfig, algorithm: Algorithm, rollouts: Any
) -> Sequence[Check]:
    return [
        *gradient_checks(world, config, algorithm, rollouts, together=False),
        kl_gradient_is_the_claimed_one(algorithm, method=config.method),
        resuming_changes_nothing(world, config, algorithm, rollouts),
    ]


def _arm(name: str, *, device: str, dtype: Dtype) -> tuple[CellConfig, Algorithm]:
    preset, own = ARMS[name]
    method = replace(method_defaults(preset), **own)
    config = CellConfig(
        method=name,
        method_settings=asdict(method),
        model=ModelConfig(device=device, compute_dtype=dtype),
    )
    return config, build_method(method)


def _told(checks: Sequence[Check]) -> list[dict[str, Any]]:
    return [asdict(check) for check in checks]
