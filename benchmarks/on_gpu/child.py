"""One part in a process of its own: ``python -m benchmarks.on_gpu.child JOB.json``.

The libraries are loaded first; the part begins with the first line on the standard input. Every
row is written as soon as it is there, so that those before a crash are not lost.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.on_gpu.scale import SCALES, Setting

Row = dict[str, Any]


def attempted(name: str, work: Callable[[], Row]) -> Row:
    """The row of one piece of work, or why there is none: the next piece is tried all the same."""
    start = time.perf_counter()
    try:
        found = work()
    except Exception as error:
        message = (str(error).strip() or "no message").splitlines()[0]
        found = {"failed": f"{type(error).__name__}: {message}"}
    return {"name": name} | found | {"wall_seconds": round(time.perf_counter() - start, 3)}


def append(file: Path, rows: Iterable[Row]) -> None:
    """Writes rows one by one as they come."""
    with file.open("a", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row) + "\n")
            lines.flush()


def rows_of(file: Path) -> list[Row]:
    """What has been written so far; a line that is still being written is left out."""
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def main() -> None:
    """Runs the part that the job file names."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    run: Callable[[Setting], Iterator[Row]] = import_module(job["module"]).run
    if not sys.stdin.readline():
        return
    setting = Setting(
        device=job["device"],
        scale=SCALES[job["shapes"]],
        options=job["options"],
        predictions=job["predictions"],
    )
    append(Path(job["rows"]), run(setting))


if __name__ == "__main__":
    main()
