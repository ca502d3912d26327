"""``bakeoff sample``: a model's responses to the problems of a task, judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bakeoff.commands.instrument import sampling_config, settings_record
from bakeoff.commands.resumable import ResumableLines, report_progress
from bakeoff.errors import ConfigError
from bakeoff.flags import setting_options
from bakeoff.types import Problem, Split

if TYPE_CHECKING:
    from bakeoff.config import CellConfig

BATCHES = 4  # of `sampling_rows` responses, written at once; a kill loses no more
_path = click.Path(path_type=Path)


@click.command()
@click.option("--out", type=_path, required=True, help="FILE.jsonl; an unfinished one continues")
@click.option("--config", "config_file", type=_path, help="YAML or a run's config.json; flags win")
@click.option(
    "--split",
    type=click.Choice([split.value for split in Split]),
    default=Split.TRAIN.value,
    show_default=True,
    help="of the task",
)
@click.option("--problems", type=click.IntRange(1), help="first ones of the split; default: all")
@click.option(
    "--samples", type=click.IntRange(1), default=4, show_default=True, help="responses a problem"
)
@setting_options({})
def sample(
    out: Path,
    config_file: Path | None,
    split: str,
    problems: int | None,
    samples: int,
    **flags: Any,
) -> None:
    """Sample responses to a task's problems and judge them.

    A line a problem with its responses, whether each is correct, the answer found in it and whether
    it ended or was cut: what annotate, reward-model and evaluate --responses read. Running it again
    continues it. FILE.jsonl.settings.json holds the settings and the cost.
    """
    config = sampling_config("sample", config_file, flags)
    if out.is_dir():
        raise ConfigError(f"--out {out} is a folder; name a file")
    if config.sampling.temperature == 0 and samples > 1:
        raise ConfigError(
            f"at temperature 0 the {samples} responses to a problem are equal; take --samples 1"
        )
    # torch takes seconds to load, so whatever can be refused without it has been.
    from bakeoff.tasks.registry import load_task

    task = load_task(config.task)
    found = task.problems(Split(split), count=problems)
    if not found:
        raise ConfigError(f"task {task.name!r} has no {split} problems; choose another --split")
    lines = ResumableLines(
        out,
        out.with_name(f"{out.name}.settings.json"),
        settings={"split": split, "problems": problems, "samples": samples}
        | settings_record(config),
        total=len(found),
    )
    if not lines.is_complete:
        _sample(config, found, lines, split=split, samples=samples)
    _show(out)


def _sample(
    config: CellConfig,
    problems: Sequence[Problem],
    lines: ResumableLines,
    *,
    split: str,
    samples: int,
) -> None:
    from bakeoff.interfaces import NoiseAddress
    from bakeoff.ledger import Ledger
    from bakeoff.memory.tracker import PeakMemory
    from bakeoff.models.flops import flops_model
    from bakeoff.rollouts.responder import Responder
    from bakeoff.world import build_world

    world = build_world(config)
    ledger = Ledger(PeakMemory(world.policy.model.device))
    if lines.done:
        ledger.restore(lines.record["ledger"])
    responder = Responder(
        sampler=world.sampler,
        verifier=world.verifier,
        sampling=config.sampling,
        samples=samples,
        noise=NoiseAddress(seed=world.seeds.sampling, batch=f"sample/{split}"),
        ledger=ledger,
        flops=flops_model(world.policy.model),
    )
    size = max(1, BATCHES * config.sampling.sampling_rows // samples)
    try:
        for start in range(lines.done, len(problems), size):
            chunk = [world.prompts.render(problem) for problem in problems[start : start + size]]
            lines.append(responder.rows(chunk), ledger=ledger.snapshot())
            report_progress(lines, ledger, what="problems")
    finally:
        world.verifier.close()


def _show(out: Path) -> None:
    from bakeoff.records import read_lines

    correct = [value for row in read_lines(out) for value in row["correct"]]
    share = sum(value is True for value in correct) / len(correct)
    click.echo(f"{len(correct):,} responses, {share:.1%} correct: {out}")
