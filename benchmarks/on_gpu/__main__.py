"""Everything that takes a GPU, in one call: ``python -m benchmarks.on_gpu --out FOLDER``.

Equality of fast paths and plain ones, memory by method beside its prediction, speed of updates and
of sampling, and TRL where it is installed. Parts run in processes of their own; what is known is
written to FOLDER/on_gpu.json after each, and what no longer fits the time is said to be skipped.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from bakeoff.provenance import git_revision, machine, versions
from bakeoff.records import write_json
from benchmarks.on_gpu.scale import PREDICTIONS, SCALES, parts
from benchmarks.on_gpu.schedule import Record, perform
from benchmarks.predicted import compared

PACKAGES = ("peft", "accelerate", "trl", "triton", "tokenizers", "safetensors")


def has_cuda() -> bool:
    """Whether torch sees a card."""
    import torch

    return torch.cuda.is_available()


def failures(found: Mapping[str, Record]) -> list[str]:
    """Names of parts that did not end well, and of rows that failed or are out of bounds."""
    names = [name for name, part in found.items() if part["state"] in ("failed", "cut off")]
    for part, told in found.items():
        for row in told["rows"]:
            checks = row.get("checks", [])
            names += [f"{part}: {check['name']}" for check in checks if not check["passed"]]
            if "failed" in row or row.get("passed") is False:
                names.append(f"{part}: {row['name']}")
    return names


def memory_rows(found: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Every arm that was measured and predicted: errors by phase and whole.

    On CUDA the measured components are no less than the allocator's own marks, because what they
    miss is counted as `other`; errors against the marks alone stand beside them.
    """
    predictions = {
        (row["model"], row["name"]): row
        for row in found.get(PREDICTIONS.name, {}).get("rows", [])
        if "phases" in row
    }
    rows = []
    for part in found.values():
        for row in part["rows"]:
            told = predictions.get((row.get("model"), row["name"]))
            if told is None or told is row or "phases" not in row:
                continue
            marks = row["max_memory_allocated"] or {}
            rows.append(
                {
                    "model": row["model"],
                    "method": row["method"],
                    "lora_rank": row["lora_rank"],
                    "parameters": told["parameters"],
                    "against_allocator": _against_allocator(told["phases"], marks),
                }
                | compared(told["phases"], row["phases"])
            )
    return rows


def _against_allocator(
    predicted: Mapping[str, Mapping[str, int]], marks: Mapping[str, int]
) -> dict[str, Any] | None:
    if not marks:
        return None
    found = compared(predicted, {name: {"allocated": count} for name, count in marks.items()})
    phases = {name: phase["error"] for name, phase in found["phases"].items()}
    return {**found["whole"], "phases": phases}


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.option("--out", type=click.Path(path_type=Path), required=True, help="folder of the record")
@click.option(
    "--seconds", type=click.FloatRange(min=10), default=520, show_default=True, help="for all of it"
)
@click.option("--shapes", type=click.Choice(list(SCALES)), default="full", show_default=True)
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--only", multiple=True, help="parts whose names begin so; default: all")
@click.option("--commit", help="of this source tree, where it is no checkout")
def main(
    out: Path, seconds: float, shapes: str, device: str, only: tuple[str, ...], commit: str | None
) -> None:
    """Runs every part and writes the record."""
    begin = time.monotonic()
    if device == "cuda" and not has_cuda():
        raise click.ClickException("torch sees no GPU here; --device cpu --shapes small tries all")
    there = parts(SCALES[shapes], device=device)
    chosen = [part for part in there if not only or part.name.startswith(only)]
    if not chosen:
        names = ", ".join(part.name for part in there)
        raise click.ClickException(f"no part begins with {' or '.join(only)}; there are {names}")
    out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "benchmark": "on_gpu",
        "command": shlex.join(["python", "-m", "benchmarks.on_gpu", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "device": device,
        "shapes": shapes,
        "git_revision": commit or git_revision(),
        "versions": versions() | _more_versions(),
        "seconds_allowed": seconds,
    }

    def keep(found: dict[str, Record]) -> None:
        taken = {"seconds": round(time.monotonic() - begin, 1)}
        write_json(
            out / "on_gpu.json",
            record
            | taken
            | {"failures": failures(found), "memory": memory_rows(found), "parts": found},
        )

    keep({})
    with tempfile.TemporaryDirectory() as folder:
        perform(
            chosen,
            aside=PREDICTIONS,
            folder=Path(folder),
            device=device,
            shapes=shapes,
            deadline=begin + seconds,
            keep=keep,
            say=lambda line: click.echo(line, err=True),
        )
    click.echo(str(out / "on_gpu.json"))


def _more_versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


if __name__ == "__main__":
    main()
