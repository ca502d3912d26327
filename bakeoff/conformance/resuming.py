"""Is a run that was stopped and continued the run that was not?"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bakeoff.config import CellConfig
from bakeoff.conformance.check import Check
from bakeoff.conformance.probes import engine_on_copy, probe_batch, update
from bakeoff.engine.local import LocalEngine
from bakeoff.interfaces import Algorithm
from bakeoff.types import Rollout
from bakeoff.world import World

UPDATES_BEFORE = 2  # Adam's moments are then not those of a first step


def resuming_changes_nothing(
    world: World, config: CellConfig, algorithm: Algorithm, rollouts: Sequence[Rollout]
) -> Check:
    """Saved, loaded into a fresh engine and updated once more: the same files, byte by byte.

    Off the CPU sums run in an order of their own, so there only what was loaded is compared.
    """
    batch = probe_batch(world, rollouts)
    straight = engine_on_copy(world, config, algorithm.plan)
    for _ in range(UPDATES_BEFORE):
        update(straight, config, algorithm, batch)
    with TemporaryDirectory(prefix="bakeoff-doctor-") as folder:
        saved = _saved(straight, Path(folder, "saved"))
        resumed = engine_on_copy(world, config, algorithm.plan)
        resumed.load(saved)
        loaded = _saved(resumed, Path(folder, "loaded"))
        differ = _different_files(saved, loaded)
        shutil.rmtree(loaded)  # gigabytes, of a large model
        bitwise = world.policy.model.device.type == "cpu"
        if bitwise:
            for engine in (straight, resumed):
                update(engine, config, algorithm, batch)
            one, other = (
                _saved(engine, Path(folder, name))
                for name, engine in (("straight", straight), ("resumed", resumed))
            )
            differ += _different_files(one, other)
        files = len(list(saved.iterdir()))
    until = "and after one more update" if bitwise else "as loaded; a GPU's sums are not bitwise"
    return Check(
        name=f"resume is bitwise ({config.method})",
        passed=not differ,
        detail=f"{files} files, the same {until}"
        if not differ
        else f"other bytes in {', '.join(dict.fromkeys(differ))}",
    )


def _saved(engine: LocalEngine, folder: Path) -> Path:
    folder.mkdir()
    engine.save(folder)
    return folder


def _different_files(one: Path, other: Path) -> list[str]:
    names = sorted({path.name for folder in (one, other) for path in folder.iterdir()})
    return [n for n in names if _digest(one / n) != _digest(other / n)]


def _digest(path: Path) -> str | None:
    if not path.exists():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
