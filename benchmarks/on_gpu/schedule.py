"""Parts one after the other, each in a process of its own, up to a moment."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.on_gpu.child import rows_of
from benchmarks.on_gpu.scale import PREDICTIONS, Part

ROOT = Path(__file__).parents[2]
RESERVE = 5.0  # seconds before the deadline, for ending what runs and writing the record

Record = dict[str, Any]


class Child:
    """The process of a part. It loads its libraries at once and waits to be told to begin."""

    def __init__(self, part: Part, *, folder: Path, device: str, shapes: str, hidden: bool) -> None:
        name = part.name.replace(" ", "-")
        self.part = part
        self.rows = folder / f"{name}.jsonl"
        self._said = folder / f"{name}.log"
        job = folder / f"{name}.json"
        job.write_text(
            json.dumps(
                {
                    "module": part.module,
                    "options": dict(part.options),
                    "device": device,
                    "shapes": shapes,
                    "rows": str(self.rows),
                    "predictions": str(predictions_file(folder)),
                }
            ),
            encoding="utf-8",
        )
        # What needs no card must not take bytes of it.
        unseen = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} if hidden else {}
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.on_gpu.child", str(job)],
                cwd=ROOT,
                env=os.environ
                | {
                    "HF_HUB_OFFLINE": "1",
                    "TOKENIZERS_PARALLELISM": "false",
                    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
                }
                | unseen,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
                # Its own children end with it.
                start_new_session=True,
            )

    def begin(self) -> None:
        """Lets the part begin; one that has died while it loaded is found by `finish`."""
        self._start = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.write("begin\n")
            self._process.stdin.flush()

    def finish(self, *, seconds: float) -> Record:
        """How it went, after at most so many seconds more."""
        try:
            code = self._process.wait(timeout=max(0.0, seconds))
            state = "finished" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            state = "cut off"
        self.stop()
        told: Record = {
            "state": state,
            "seconds": round(time.monotonic() - self._start, 2),
            "rows": rows_of(self.rows),
        }
        if state != "finished":
            told["last_words"] = self._said.read_text(errors="replace").splitlines()[-12:]
        return told

    def stop(self) -> None:
        """Ends the process and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()


def predictions_file(folder: Path) -> Path:
    """Where the predictions of a run are written, for the parts that read them."""
    return folder / f"{PREDICTIONS.name}.jsonl"


def perform(
    parts: Sequence[Part],
    *,
    aside: Part,
    folder: Path,
    device: str,
    shapes: str,
    deadline: float,
    keep: Callable[[dict[str, Record]], None],
    say: Callable[[str], None],
) -> dict[str, Record]:
    """What every part found, by name.

    While a part runs, the next one loads its libraries.

    Args:
        parts: in order.
        aside: runs beside all of them, on the processor alone.
        folder: for the files of the children.
        device: "cuda" or "cpu".
        shapes: a name of `SCALES`.
        deadline: `time.monotonic` seconds at which everything has ended.
        keep: is given all there is after every part.
        say: is given a line a part.
    """
    found: dict[str, Record] = {}

    def child(part: Part) -> Child:
        hidden = device == "cpu" or part is aside
        return Child(part, folder=folder, device=device, shapes=shapes, hidden=hidden)

    def left() -> float:
        return deadline - RESERVE - time.monotonic()

    beside = child(aside)
    running = [beside]
    try:
        beside.begin()
        following = child(parts[0]) if parts else None
        for index, part in enumerate(parts):
            assert following is not None
            own = following
            running.append(own)
            following = child(parts[index + 1]) if index + 1 < len(parts) else None
            running += [following] if following else []
            if left() < part.least_seconds:
                own.stop()
                found[part.name] = {
                    "state": "skipped",
                    "why": f"{left():.0f} s left, it takes {part.least_seconds:.0f} or more",
                    "rows": [],
                }
            else:
                own.begin()
                found[part.name] = own.finish(seconds=min(part.seconds, left()))
            told = found[part.name]
            say(
                f"{part.name}: {told['state']}, {len(told['rows'])} rows, "
                f"{told.get('seconds', 0):.0f} s; {left():.0f} s left"
            )
            keep(found | {aside.name: {"state": "running", "rows": rows_of(beside.rows)}})
        found[aside.name] = beside.finish(seconds=min(aside.seconds, left()))
        keep(found)
    finally:
        for one in running:
            one.stop()
    return found
