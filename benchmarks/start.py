"""Evaluation of a model as it is: the common start of a study, or any policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from algorithms import PRESETS
from bakeoff.config import as_record
from bakeoff.errors import ConfigError
from bakeoff.records import RunDirectory, append_lines, config_hash, read_json, write_json
from bakeoff.settings import cell_config
from bakeoff.types import Split

# Nothing is spent yet; KL to itself is 0.
_PLACE = {
    "batch": 0,
    "final": False,
    "optimizer_steps": 0,
    "sampled_tokens": 0,
    "device_seconds": 0.0,
    "flops": 0.0,
}


def evaluate_model(values: Mapping[str, Any], *, seeds: Sequence[int], out: Path) -> None:
    """Writes evaluations and transcripts of a model, one set of draws a seed.

    An evaluation with the same settings and seeds that is already there is left as it is.

    Raises:
        ConfigError: settings that cannot run, or a folder that holds something else.
    """
    # Loading models takes torch, which the other commands of this room never import.
    from bakeoff.evaluate import transcripts
    from bakeoff.world import build_world

    config = cell_config("sft", PRESETS["sft"], values)
    evaluation = config.evaluation
    # Only what an evaluation reads is its identity: a new learning rate is not a new start.
    settings = {
        "seeds": list(seeds),
        "model": as_record(config.model),
        "task": as_record(config.task),
        "sampling": as_record(config.sampling),
        "evaluation": as_record(evaluation),
    }
    record = settings | {"hash": config_hash(settings)}
    directory = RunDirectory(out)
    if directory.config.exists():
        if read_json(directory.config)["hash"] != record["hash"]:
            raise ConfigError(f"{out} holds another evaluation; choose another --out")
        if directory.state == "finished":
            return
    world = build_world(config)
    splits = (
        (evaluation.evaluation_split, evaluation.evaluation_problems),
        (Split.OOD, evaluation.ood_problems),
    )
    try:
        rows: list[dict[str, Any]] = []
        shown: list[dict[str, Any]] = []
        for seed in seeds:
            drawn = replace(world, seeds=replace(world.seeds, sampling=seed))
            for split, problems in splits:
                evaluator = drawn.evaluator(split, problems=problems)
                if evaluator is None:
                    continue
                found, rollouts = evaluator.records(samples=evaluation.final_samples, greedy=True)
                rows += [_PLACE | {"seed": seed, "kl_to_start": 0.0} | row for row in found]
                if split is evaluation.evaluation_split:
                    shown += [_PLACE | {"seed": seed} | row for row in transcripts(rollouts)]
    finally:
        world.verifier.close()
    if not rows:
        raise ConfigError(f"task {world.task.name!r} has nothing to evaluate on")
    out.mkdir(parents=True, exist_ok=True)
    for file, lines in ((directory.evaluations, rows), (directory.transcripts, shown)):
        file.unlink(missing_ok=True)
        append_lines(file, lines)
    write_json(directory.config, record)
    directory.write_status("finished", progress=1.0)
