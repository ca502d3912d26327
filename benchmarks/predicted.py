"""Predicted bytes beside measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Methods that differ in the models they hold: name, preset and what is set otherwise.
ARMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ppo": ("ppo", {}),
    "ppo, shared trunk": ("ppo", {"critic": "shared"}),
    "rft": ("rft", {}),
    "online_rft": ("online_rft", {}),
    "grpo": ("grpo", {}),
}

Parts = Mapping[str, Mapping[str, int]]  # bytes by phase and component


def compared(predicted: Parts, measured: Parts) -> dict[str, Any]:
    """Both by phase, for the phases that both have, and whole: each its highest phase."""
    phases: dict[str, dict[str, Any]] = {
        name: {
            "predicted_bytes": sum(parts.values()),
            "measured_bytes": sum(measured[name].values()),
            "predicted": dict(parts),
            "measured": dict(measured[name]),
        }
        for name, parts in predicted.items()
        if name in measured
    }
    for phase in phases.values():
        phase["error"] = error(phase)
    whole = {
        of: max(phase[of] for phase in phases.values())
        for of in ("predicted_bytes", "measured_bytes")
    }
    return {"whole": whole | {"error": error(whole)}, "phases": phases}


def error(of: Mapping[str, Any]) -> float:
    """By how much of the measured bytes a prediction is too high."""
    return round(float(of["predicted_bytes"] / of["measured_bytes"]) - 1, 5)
