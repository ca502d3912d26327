"""Our updates beside TRL's on the device, where TRL is installed."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from bakeoff.provenance import versions
from benchmarks.against_peers.comparison import alternate, compared, measure, our_python
from benchmarks.against_peers.material import write_model
from benchmarks.against_peers.workloads import PEERS, Shape, equal_settings, job
from benchmarks.on_gpu.child import Row, attempted
from benchmarks.on_gpu.scale import Setting

NEEDED = ("trl", "datasets", "pydantic")  # by either side
MODULES = {"trl-grpo": "trl", "trl-ppo": "trl.experimental.ppo"}


def run(setting: Setting) -> Iterator[Row]:
    """A row a trainer that is there; what is missing is said."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    for name, module in MODULES.items():
        if missing:
            yield {"name": name, "skipped": f"not installed: {', '.join(missing)}"}
        elif _absent(module):
            yield {"name": name, "skipped": f"this TRL has no {module}"}
        else:
            yield attempted(name, partial(compare, setting, name))


def compare(setting: Setting, name: str) -> Row:
    """Both sides in turns, in this environment."""
    peer, given = PEERS[name], dict(setting.scale.peer)
    rounds, updates = given.pop("rounds"), given.pop("updates")
    shape = Shape(ends=False, **given)
    dtype = "bfloat16" if setting.device == "cuda" else "float32"
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        known: dict[str, Any] = asdict(shape)
        del known["max_response_tokens"]
        parameters = write_model(folder / "model", **known)
        shared = replace(
            job(
                peer,
                "full",
                model=folder / "model",
                scratch=folder,
                updates=updates,
                threads=4 if setting.device == "cuda" else 1,
            ),
            max_response_tokens=shape.max_response_tokens,
            device=setting.device,
            compute_dtype=dtype,
        )
        sides = alternate(
            *(
                partial(_side, our_python(), script, shared, folder)
                for script in (peer.ours, peer.script)
            ),
            rounds=rounds,
        )
    return {
        "equal": equal_settings(shared) | {"model": known, "parameters": parameters},
        "peer_choices": dict(peer.choices)
        | {
            "micro_batch_rows": shared.micro_batch,
            "dtype": f"{dtype} passes of float32 weights on all sides",
        },
        "versions": versions(),
        **compared(*sides),
    }


def _side(python: Path, script: str, shared: Any, folder: Path, number: int) -> Any:
    return measure(python, script, replace(shared, scratch=str(folder / f"{script}-{number}")))


def _absent(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ImportError:
        return True
