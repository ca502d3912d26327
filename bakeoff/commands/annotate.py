"""``bakeoff annotate``: step labels for a file of responses, by completion (Math-Shepherd)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bakeoff.commands.instrument import sampling_config, settings_record
from bakeoff.commands.resumable import ResumableLines, report_progress
from bakeoff.errors import ConfigError
from bakeoff.flags import setting_options

if TYPE_CHECKING:
    from bakeoff.config import CellConfig
    from bakeoff.reward_models.solutions import Solution

CHUNK_SOLUTIONS = 64  # written at once; a kill loses no more
_path = click.Path(path_type=Path)


@click.command()
@click.argument("source", metavar="FILE.jsonl", type=_path)
@click.option("--out", type=_path, required=True, help="folder; an unfinished one continues")
@click.option("--config", "config_file", type=_path, help="YAML or a run's config.json; flags win")
@click.option(
    "--completions",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="from every step (N of arXiv:2312.08935v3)",
)
@click.option("--limit-solutions", type=click.IntRange(1), help="first ones of the file")
@click.option("--shard", "shard_text", default="1/1", help="I/N: every N-th solution from the I-th")
@setting_options({})
def annotate(
    source: Path,
    out: Path,
    config_file: Path | None,
    completions: int,
    limit_solutions: int | None,
    shard_text: str,
    **flags: Any,
) -> None:
    """Label the steps of solutions by what a completer makes of them (Math-Shepherd).

    FILE.jsonl holds a question, its answer and responses a line, as `bakeoff sample` writes them.
    Every step of every response is continued by --model; its label says how many continuations
    reach the answer. OUT gets annotations.jsonl (the records), math_shepherd.jsonl (the published
    format) and annotation.json (settings, cost, how true the labels are where that is known).
    Running it again continues it. Shards go to a folder each; their files are concatenated.
    """
    config = sampling_config("annotate", config_file, flags)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder")
    if config.sampling.temperature == 0 and completions > 1:
        raise ConfigError(
            f"at temperature 0 the {completions} completions of a step are equal; take "
            "--completions 1"
        )
    from bakeoff.reward_models.solutions import parse_shard, read_solutions

    shard = parse_shard(shard_text)
    every = read_solutions(source, limit=limit_solutions)
    solutions = shard.of(every)
    if not solutions:
        raise ConfigError(
            f"shard {shard_text} of {len(every)} solutions is empty; take fewer shards"
        )
    lines = ResumableLines(
        out / "annotations.jsonl",
        out / "annotation.json",
        settings={
            "source_digest": _digest(source),
            "limit_solutions": limit_solutions,
            "shard": shard_text,
            "completions": completions,
        }
        | settings_record(config),
        total=len(solutions),
    )
    if "labels" not in lines.record:
        _annotate(config, solutions, lines, completions=completions)
        _finish(lines, out / "math_shepherd.jsonl", completions=completions)
    _show(lines)


def _annotate(
    config: CellConfig, solutions: Sequence[Solution], lines: ResumableLines, *, completions: int
) -> None:
    from bakeoff.interfaces import NoiseAddress
    from bakeoff.ledger import Ledger
    from bakeoff.memory.tracker import PeakMemory
    from bakeoff.models.flops import flops_model
    from bakeoff.reward_models.annotation import Annotator
    from bakeoff.world import build_world

    world = build_world(config)
    ledger = Ledger(PeakMemory(world.policy.model.device))
    if lines.done:
        ledger.restore(lines.record["ledger"])
    annotator = Annotator(
        completer=world.sampler,
        prompts=world.prompts,
        tokenizer=world.policy.tokenizer,
        verifier=world.verifier,
        step_checker=world.task.step_checker(),
        task=world.task.name,
        sampling=config.sampling,
        completions=completions,
        ledger=ledger,
        flops=flops_model(world.policy.model),
    )
    noise = NoiseAddress(seed=world.seeds.sampling, batch="annotation")
    try:
        for start in range(lines.done, len(solutions), CHUNK_SOLUTIONS):
            chunk = solutions[start : start + CHUNK_SOLUTIONS]
            lines.append(annotator.annotate(chunk, noise=noise), ledger=ledger.snapshot())
            report_progress(lines, ledger, what="solutions")
    finally:
        world.verifier.close()


def _finish(lines: ResumableLines, published: Path, *, completions: int) -> None:
    """Writes what follows from the records: the published format, counts and label accuracy."""
    import os
    from dataclasses import asdict

    from bakeoff.records import append_lines, read_lines
    from bakeoff.reward_models.labels import label_accuracy, label_counts, published_format

    temporary = published.with_name(f".{published.name}.tmp")
    temporary.write_text("", encoding="utf-8")
    labelled = (record for record in read_lines(lines.lines) if record["steps"])
    append_lines(temporary, (published_format(record) for record in labelled))
    os.replace(temporary, published)
    ns = [n for n in (2**power for power in range(20)) if n < completions]
    accuracy = label_accuracy(read_lines(lines.lines), [*ns, completions])
    lines.note(
        labels=label_counts(read_lines(lines.lines)),
        label_accuracy=None
        if accuracy is None
        else {str(n): asdict(found) for n, found in accuracy.items()},
    )


def _show(lines: ResumableLines) -> None:
    labels, ledger = lines.record["labels"], lines.record["ledger"]
    hard = labels["hard_positive_share"]
    told = "" if hard is None else f", {hard:.1%} with a positive hard label"
    click.echo(
        f"{labels['solutions']:,} solutions, {labels['steps']:,} steps{told}; "
        f"{ledger['sampled_tokens']:,} tokens sampled in {ledger['wall_seconds']:,.0f} s: "
        f"{lines.lines}"
    )
    for n, found in (lines.record["label_accuracy"] or {}).items():
        click.echo(f"N={n:>3}  label accuracy: hard {found['hard']:.1%}  soft {found['soft']:.1%}")


def _digest(path: Path) -> str:
    """Of a file's content, so that another file of the same name is not taken for it."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
