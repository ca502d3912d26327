"""How far predicted memory is from measured: ``python -m benchmarks.predictor_error --json``.

Each method runs for two batches on the CPU in a process of its own, with random weights at three
sizes; the highest moment of every phase, as the tensors' storages give it, is compared with what
`bakeoff profile --predict` says of the same settings. Beside the tensors stands what the
process itself grew by from its start to its own highest moment.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import psutil
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, LlamaConfig

from bakeoff.commands.profile_measure import BATCHES, Profiled, measure_one
from bakeoff.config import CellConfig
from bakeoff.memory.placement import Offload, Placement
from bakeoff.memory.predictor import Prediction, predict
from bakeoff.memory.rehearsal import Workload
from bakeoff.models import builtin
from bakeoff.models.loading import model_config
from bakeoff.models.prompts import PromptFormat
from bakeoff.provenance import measured_by
from bakeoff.records import write_json
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.settings import cell_config, method_config
from bakeoff.tasks.registry import load_task
from bakeoff.types import Completion, Split
from benchmarks import pleased_task
from benchmarks.methods import build_method, method_defaults
from benchmarks.predicted import ARMS, compared

# Hidden size, layers, words: about 1, 10 and 60 million parameters.
SIZES: Mapping[str, tuple[int, int, int]] = {
    "1M": (128, 4, 2_048),
    "10M": (320, 6, 8_192),
    "60M": (640, 8, 32_000),
}
SETTINGS: Mapping[str, Any] = {
    "max_response_tokens": 96,
    "problems_per_step": 8,
    "micro_batch_tokens": 2_048,
    "device": "cpu",
}
PROMPTS = 64  # first problems of the task
WIDTH = 140  # of the table


def write_model(folder: Path, *, hidden_size: int, layers: int, vocabulary: int) -> None:
    """Writes a Llama's config, and the built-in tokenizer, for `config:FOLDER`."""
    LlamaConfig(
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 32,
        num_key_value_heads=hidden_size // 64,
        vocab_size=vocabulary,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    ).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(builtin.FOLDER)
    # A word for every number that random weights draw, or all responses would read alike.
    tokenizer.add_tokens([f"w{number}" for number in range(len(tokenizer), vocabulary)])
    tokenizer.save_pretrained(folder)


def profiled(arm: str, model: Path) -> Profiled:
    """What is measured, and what is predicted: a cell and its method."""
    method, own = ARMS[arm]
    start = method_defaults(method)
    # PPO takes one response a problem; as many rollouts for all, or their work would differ.
    values: dict[str, Any] = {"model": f"config:{model}", **SETTINGS, **own, "group_size": 8}
    if hasattr(start, "pool_problems"):
        values["pool_problems"] = BATCHES * SETTINGS["problems_per_step"]
    values |= {
        "task": f"{pleased_task.__file__}:PleasedTask",
        "train_problems": PROMPTS,
        "evaluate_start": False,
        "evaluations": 1,
        "evaluation_problems": 1,
        "evaluation_samples": 1,
        "final_samples": 1,
        "ood_problems": 0,
        "checkpoint_every": 0,
        "budget_axis": "optimizer_steps",
        "budget": BATCHES,
    }
    config = cell_config(method, start, values)
    return Profiled(config=config, make=partial(build_method, method_config(config, start)))


def prediction(one: Profiled, *, prompt_tokens: int) -> Prediction:
    """The bytes of the same run, if all prompts had so many tokens."""
    config = one.config
    workload = Workload(
        prompt_tokens=prompt_tokens,
        model=config.model,
        sampling=config.sampling,
        training=config.training,
        device_type="cpu",
    )
    placement = Placement(
        zero_stage=config.engine.zero_stage,
        processes=config.engine.processes,
        offload=Offload(config.engine.offload or "none"),
    )
    return predict(model_config(config.model), one.make(), workload, placement=placement)


def prompt_lengths(config: CellConfig) -> list[int]:
    """Tokens of the prompts that a run may draw."""
    task = load_task(config.task)
    tokenizer = AutoTokenizer.from_pretrained(config.model.model.removeprefix("config:"))
    form = PromptFormat(tokenizer, instruction=task.instruction, config=config.model)
    problems = task.problems(Split.TRAIN, count=PROMPTS)
    return [len(form.render(problem).token_ids) for problem in problems]


def measured(one: Profiled) -> dict[str, Any]:
    """Bytes by phase and component in this process, and what the process grew by."""
    before = psutil.Process().memory_info().rss
    with patch.object(TransformersSampler, "sample", ended(TransformersSampler.sample)):
        record = measure_one(one)
    # Only phases that a prediction has; whole is the highest of them.
    return {
        "phases": record["peak_components"],
        "process_growth_bytes": max(record["peak_bytes"].values()) - before,
    }


def ended(sample: Callable[..., list[list[Completion]]]) -> Callable[..., Any]:
    """The same sampling; a response at the limit counts as ended.

    Random weights hardly end a response, and one that is cut is wrong, so that methods which train
    on correct responses would have next to nothing to train on.
    """

    def sampled(*args: Any, **options: Any) -> list[list[Completion]]:
        groups = sample(*args, **options)
        return [[replace(one, finish="stop") for one in group] for group in groups]

    return sampled


def in_a_process(one: Profiled) -> dict[str, Any]:
    """`measured` in a process of its own, so that no peak hides another's."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(measured, one).result()


def compare(arm: str, size: str) -> dict[str, Any]:
    """One row: predicted and measured bytes of every phase, and the errors of the prediction."""
    hidden_size, layers, vocabulary = SIZES[size]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder)
        write_model(model, hidden_size=hidden_size, layers=layers, vocabulary=vocabulary)
        one = profiled(arm, model)
        found, lengths = in_a_process(one), prompt_lengths(one.config)
        told = prediction(one, prompt_tokens=max(lengths))
    told_parts = {
        name: {which.value: count for which, count in phase.device.items()}
        for name, phase in told.phases.items()
    }
    return {
        "method": arm,
        "size": size,
        "parameters": told.parameters,
        "prompt_tokens": max(lengths),
        "process_growth_bytes": found["process_growth_bytes"],
    } | compared(told_parts, found["phases"])


def show(rows: list[dict[str, Any]]) -> None:
    """Prints the errors, and the bytes that they are of."""
    names = list(rows[0]["phases"])
    table = Table("method", "size", "predicted MB", "measured MB", "process MB", "error", *names)
    for row in rows:
        whole = row["whole"]
        counts = (whole["predicted_bytes"], whole["measured_bytes"], row["process_growth_bytes"])
        errors = [row["phases"][name]["error"] if name in row["phases"] else None for name in names]
        table.add_row(
            row["method"],
            row["size"],
            *(f"{count / 1e6:,.1f}" for count in counts),
            *("" if one is None else f"{one:+.1%}" for one in (whole["error"], *errors)),
        )
    Console(width=WIDTH).print(table)


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.option("--methods", default=";".join(ARMS), show_default=True, help="separated by ;")
@click.option("--sizes", default=",".join(SIZES), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="print the record instead of a table")
@click.option("--out", type=click.Path(path_type=Path), help="write the record too")
def main(methods: str, sizes: str, as_json: bool, out: Path | None) -> None:
    """Compares every method at every size."""
    load = round(os.getloadavg()[0], 2)
    rows = []
    for size in sizes.split(","):
        for arm in methods.split(";"):
            click.echo(f"{arm} at {size}", err=True)
            rows.append(compare(arm, size))
    record = {
        **measured_by("predictor_error"),
        "load_before": load,
        "settings": dict(SETTINGS) | {"group_size": 8, "batches": BATCHES},
        "largest_error": max(abs(row["whole"]["error"]) for row in rows),
        "rows": rows,
    }
    if out is not None:
        write_json(out, record)
    if as_json:
        click.echo(json.dumps(record, indent=1))
    else:
        show(rows)


if __name__ == "__main__":
    main()
