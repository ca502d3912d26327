"""Our updates beside TRL's: ``python -m benchmarks.against_peers --json``.

Both sides train the same model on the same prompts, one process at a time, in turns: ours, the
peer, ours, the peer. A process warms up with two updates and is timed over those that follow. Ours
is a whole cell, with its canaries and records. A peer has an environment of its own, made once.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bakeoff.errors import BakeoffError
from bakeoff.provenance import measured_by
from bakeoff.records import write_json
from benchmarks.against_peers import environments
from benchmarks.against_peers.child import WARM_UP
from benchmarks.against_peers.comparison import Run, alternate, compared, measure, our_python
from benchmarks.against_peers.workloads import PEERS, SHAPES, equal_settings, job

CACHE = Path("~/.cache/bakeoff/peers")


def compare(
    name: str,
    workload: str,
    *,
    folder: Path,
    python: Path,
    rounds: int,
    updates: int,
    threads: int,
    micro_batch: int | None = None,
) -> dict[str, Any]:
    """The record of one peer on one workload.

    Args:
        folder: holds the models; every child gets a scratch folder in it.
        python: the peer's.
        updates: timed, of every child.
        micro_batch: rows of the peer's forward and backward pass; None: those chosen for it.
    """
    peer = PEERS[name]
    shared = job(
        peer,
        workload,
        model=folder / workload,
        scratch=folder,
        updates=updates,
        threads=threads,
        micro_batch=micro_batch,
    )

    def run(script: str, interpreter: Path, number: int) -> Run:
        scratch = folder / f"{name}-{workload}-{script}-{number}"
        return measure(interpreter, script, replace(shared, scratch=str(scratch)))

    ours, theirs = alternate(
        lambda number: run(peer.ours, our_python(), number),
        lambda number: run(peer.script, python, number),
        rounds=rounds,
    )
    return {
        "name": name,
        "workload": workload,
        "equal": equal_settings(shared) | {"model": asdict(SHAPES[workload])},
        "peer_choices": dict(peer.choices) | {"micro_batch_rows": shared.micro_batch},
        "peer_packages": list(peer.environment.pins),
        **compared(ours, theirs),
    }


def write_models(workloads: set[str], folder: Path) -> dict[str, int]:
    """The parameters of each workload's model, written into `folder`."""
    # torch takes seconds to load, and `--help` must not wait for it.
    from benchmarks.against_peers.material import write_model

    found = {}
    for name in sorted(workloads):
        shape = asdict(SHAPES[name])
        del shape["max_response_tokens"]
        found[name] = write_model(folder / name, **shape)
    return found


def chosen(peers: tuple[str, ...], workloads: tuple[str, ...]) -> list[tuple[str, str]]:
    """Peer and workload of every comparison that was asked for; nothing asked is all."""
    return [
        (name, workload)
        for name, peer in PEERS.items()
        if not peers or name in peers
        for workload in peer.workloads
        if not workloads or workload in workloads
    ]


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.option("--json", "as_json", is_flag=True, help="print the record instead of a table")
@click.option("--out", type=click.Path(path_type=Path), help="write the record here too")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--updates", type=click.IntRange(min=1), default=4, show_default=True, help="timed")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option(
    "--micro-batch",
    type=click.IntRange(min=1),
    help="rows of the peers' forward and backward pass; default: chosen for each",
)
@click.option("--workload", "workloads", type=click.Choice(list(SHAPES)), multiple=True)
@click.option("--peer", "peers", type=click.Choice(list(PEERS)), multiple=True)
@click.option(
    "--environments",
    "root",
    type=click.Path(path_type=Path),
    default=CACHE,
    show_default=True,
    help="folder with the peers' virtual environments",
)
def main(
    as_json: bool,
    out: Path | None,
    rounds: int,
    updates: int,
    threads: int,
    micro_batch: int | None,
    workloads: tuple[str, ...],
    peers: tuple[str, ...],
    root: Path,
) -> None:
    """Runs every comparison and prints a table, or the record."""
    asked = chosen(peers, workloads)
    if not asked:
        raise click.ClickException(
            "these peers have no such workload: "
            + "; ".join(f"{name} has {', '.join(peer.workloads)}" for name, peer in PEERS.items())
        )
    say = Console(stderr=True).print
    record: dict[str, Any] = {
        **measured_by("against_peers"),
        "load_before": round(os.getloadavg()[0], 2),
        "rounds": rounds,
        "comparisons": [],
    }
    try:
        pythons = {
            name: environments.make(
                PEERS[name].environment, root.expanduser(), echo=lambda line: say(line)
            )
            for name, _ in asked
        }
        with tempfile.TemporaryDirectory() as held:
            folder = Path(held)
            parameters = write_models({workload for _, workload in asked}, folder)
            for name, workload in asked:
                say(
                    f"{name} on {workload}: {rounds} rounds of {WARM_UP} + {updates} updates a side"
                )
                comparison = compare(
                    name,
                    workload,
                    folder=folder,
                    python=pythons[name],
                    rounds=rounds,
                    updates=updates,
                    threads=threads,
                    micro_batch=micro_batch,
                )
                comparison["equal"]["parameters"] = parameters[workload]
                record["comparisons"].append(comparison)
                if out is not None:
                    # After each, so that what was measured outlives a run that is cut off.
                    write_json(out, record)
    except BakeoffError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(record, indent=1))
    else:
        Console().print(table(record))


def table(record: dict[str, Any]) -> Table:
    """A row a comparison: medians of both sides, and the ratios with their least and most."""
    found = Table(
        "work",
        "samples/s: ours, peer",
        "ratio",
        "per CPU s",
        "peak GB: ours, peer",
        "ratio",
        "tokens a sample",
        caption=f"{record['machine']}; load {record['load_before']}; {record['rounds']} rounds; "
        f"commit {record['git_revision']}",
    )
    for one in record["comparisons"]:
        ours, peer, ratios = one["ours"], one["peer"], one["ratios"]
        found.add_row(
            f"{one['name']}\n{one['workload']}",
            _both(ours["samples_per_second"], peer["samples_per_second"], ",.1f"),
            _ratio(ratios["samples_per_second"]),
            _ratio(ratios["samples_per_cpu_second"]),
            _both(ours["peak_bytes"], peer["peak_bytes"], ".2f", unit=1e9),
            _ratio(ratios["peak_bytes"]),
            _both(ours["tokens_per_sample"], peer["tokens_per_sample"], ".1f"),
        )
    return found


def _both(ours: dict[str, float], peer: dict[str, float], form: str, *, unit: float = 1.0) -> str:
    return f"{ours['median'] / unit:{form}}, {peer['median'] / unit:{form}}"


def _ratio(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f}\n({spread['low']:.2f} to {spread['high']:.2f})"


if __name__ == "__main__":
    main()
