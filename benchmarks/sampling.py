"""Our sampler beside transformers' own two ways to sample: ``python -m benchmarks.sampling``.

The same model, prompts and limits in one process: our sampler, `generate` with the rows that ours
takes at once, and continuous batching with as many requests at once. They take turns, round after
round after a warm-up, so that a slow minute of the machine falls on all of them. Each is also asked
whether a batch cut into other rows is given the same tokens.
"""

from __future__ import annotations

import copy
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from transformers import ContinuousBatchingConfig, GenerationConfig

from bakeoff.config import ModelConfig, SamplingConfig
from bakeoff.errors import BakeoffError
from bakeoff.interfaces import NoiseAddress
from bakeoff.models.loading import Policy, load_policy
from bakeoff.models.prompts import PromptFormat
from bakeoff.provenance import git_revision, machine, measured_by
from bakeoff.records import write_json
from bakeoff.rollouts.prefill import left_padded, prompt_cuts
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.tasks import arithmetic
from bakeoff.tasks.arithmetic_task import ArithmeticTask
from bakeoff.types import Prompt, Split
from benchmarks.against_peers.comparison import spread
from benchmarks.workbench import Shape, shape_policy, shape_prompts

ROWS = 256
OTHER_ROWS = 64
PAGE = 32  # places of continuous batching's cache that one request takes at a time

Tokens = tuple[int, ...]
Draw = Callable[[int], list[Tokens]]  # the completions of every prompt in order, from a seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What all sides sample, at temperature 1."""

    name: str
    policy: Policy
    prompts: Sequence[Prompt]
    group_size: int
    max_response_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One way to sample a workload, so many rows at once."""

    name: str
    prepared: Callable[[Workload, int], Draw]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One side on one workload; a number a round where there are several."""

    side: str
    tokens: list[int]
    seconds: list[float]
    cpu_seconds: list[float]  # of all threads
    tokens_per_second: dict[str, Any]  # median and spread
    ours_over: dict[str, Any]  # our tokens a second over those of this side, of neighbours
    same_tokens_again: bool  # from the same seed
    same_tokens_cut: bool  # into `OTHER_ROWS` rows instead of `ROWS`


def ours(work: Workload, rows: int) -> Draw:
    """Our sampler."""
    sampler = TransformersSampler(work.policy, autocast_dtype=None)
    sampling = SamplingConfig(max_response_tokens=work.max_response_tokens, sampling_rows=rows)

    def draw(seed: int) -> list[Tokens]:
        groups = sampler.sample(
            work.prompts,
            group_size=work.group_size,
            sampling=sampling,
            noise=NoiseAddress(seed=seed, batch=0),
        )
        return [completion.token_ids for group in groups for completion in group]

    return draw


def generate(work: Workload, rows: int) -> Draw:
    """`generate`, prompts of similar length together as ours has them."""
    policy, config = work.policy, generation_config(work)
    token_ids = [prompt.token_ids for prompt in work.prompts]

    def draw(seed: int) -> list[Tokens]:
        groups: dict[int, list[Tokens]] = {}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for chosen in prompt_cuts(token_ids, max(1, rows // work.group_size)):
                input_ids, mask = left_padded(
                    [token_ids[index] for index in chosen], pad_token_id=policy.pad_token_id
                )
                written = policy.model.generate(
                    input_ids.to(policy.model.device),
                    attention_mask=mask.to(policy.model.device),
                    generation_config=config,
                )[:, input_ids.shape[1] :].tolist()
                for place, index in enumerate(chosen):
                    own = written[place * work.group_size : (place + 1) * work.group_size]
                    groups[index] = [_ended(row, policy.eos_token_ids) for row in own]
        return [tokens for index in range(len(token_ids)) for tokens in groups[index]]

    return draw


def continuous_batching(work: Workload, rows: int) -> Draw:
    """`generate_batch`, its cache as large as `rows` of the longest rollouts need it.

    Left to itself it takes nine tenths of the memory, and longer to do so than to sample. Its
    scheduler is made by the first call and kept, and so is the seed of that call.
    """
    policy, config = work.policy, generation_config(work)
    # It keeps its scheduler on the model, and may change how the model attends.
    model: Any = copy.deepcopy(policy.model)
    token_ids = [list(prompt.token_ids) for prompt in work.prompts]
    longest = max(map(len, token_ids))
    pages = -(-(longest + work.max_response_tokens) // PAGE)

    def draw(seed: int) -> list[Tokens]:
        answers = model.generate_batch(
            token_ids,
            generation_config=config,
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=PAGE,
                num_blocks=rows * pages,
                max_batch_tokens=rows + longest,
                max_requests_per_batch=rows,
                seed=seed,
            ),
            persistent_manager=True,
        )
        if len(answers) != len(token_ids) * work.group_size:
            raise BakeoffError(
                f"continuous batching answered {len(answers)} of "
                f"{len(token_ids) * work.group_size} requests; its log says why"
            )
        return [
            _ended(answer.generated_tokens, policy.eos_token_ids) for answer in answers.values()
        ]

    return draw


SIDES = (
    Side(name="ours", prepared=ours),
    Side(name="generate", prepared=generate),
    Side(name="continuous batching", prepared=continuous_batching),
    # Without a fused kernel every request reads the places of all others, masked: fewer are faster.
    Side(
        name="continuous batching, a quarter",
        prepared=lambda work, rows: continuous_batching(work, max(1, rows // 4)),
    ),
)


def generation_config(work: Workload) -> GenerationConfig:
    """Plain sampling at temperature 1, as ours is."""
    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=work.max_response_tokens,
        num_return_sequences=work.group_size,
        eos_token_id=list(work.policy.eos_token_ids),
        pad_token_id=work.policy.pad_token_id,
    )


def measure(
    work: Workload,
    *,
    rounds: int,
    rows: int = ROWS,
    other_rows: int = OTHER_ROWS,
    sides: Sequence[Side] = SIDES,
) -> list[Found]:
    """All sides in turn, ours first."""
    drawing = {side.name: side.prepared(work, rows) for side in sides}
    first = {name: draw(0) for name, draw in drawing.items()}
    again = {side.name: side.prepared(work, rows)(0) for side in sides}
    cut = {side.name: side.prepared(work, other_rows)(0) for side in sides}
    tokens: dict[str, list[int]] = {name: [] for name in drawing}
    seconds: dict[str, list[float]] = {name: [] for name in drawing}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in drawing}
    for seed in range(1, rounds + 1):
        for name, draw in drawing.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            drawn = draw(seed)
            seconds[name].append(time.perf_counter() - start)
            cpu_seconds[name].append(time.process_time() - cpu_start)
            tokens[name].append(sum(map(len, drawn)))
    speeds = {
        name: [count / taken for count, taken in zip(tokens[name], seconds[name], strict=True)]
        for name in drawing
    }
    own = speeds[sides[0].name]
    return [
        Found(
            side=name,
            tokens=tokens[name],
            seconds=seconds[name],
            cpu_seconds=cpu_seconds[name],
            tokens_per_second=spread(speeds[name]),
            ours_over=spread([a / b for a, b in zip(own, speeds[name], strict=True)]),
            same_tokens_again=again[name] == first[name],
            same_tokens_cut=cut[name] == first[name],
        )
        for name in drawing
    ]


def llama_workload(shape: Shape, *, device: str = "cpu") -> Workload:
    """The model of the comparison with other frameworks; it ends about once in its vocabulary."""
    policy, parameters = shape_policy(shape, device=device)
    lengths = "lengths that differ" if shape.ends else "full length"
    return Workload(
        name=f"Llama of {parameters:,} parameters, {lengths}",
        policy=policy,
        prompts=shape_prompts(shape),
        group_size=shape.group_size,
        max_response_tokens=shape.max_response_tokens,
    )


def builtin_workload(
    *, problems: int, group_size: int, max_response_tokens: int, device: str = "cpu"
) -> Workload:
    """The built-in model on its own problems, whose solutions have lengths of their own."""
    config = ModelConfig(device=device)
    policy = load_policy(config, init_seed=0)
    form = PromptFormat(policy.tokenizer, instruction=ArithmeticTask.instruction, config=config)
    return Workload(
        name="built-in model, arithmetic",
        policy=policy,
        prompts=[form.render(one) for one in arithmetic.problems(Split.TRAIN, count=problems)],
        group_size=group_size,
        max_response_tokens=max_response_tokens,
    )


def _ended(row: Sequence[int], eos_token_ids: Sequence[int]) -> Tokens:
    """A row up to its first end, which is counted."""
    ends = [place for place, token in enumerate(row) if token in eos_token_ids]
    return tuple(row[: ends[0] + 1] if ends else row)


SHAPE = Shape(problems=32, group_size=8)
WORKLOADS: Mapping[str, Callable[[str], Workload]] = {
    "full": lambda device: llama_workload(replace(SHAPE, ends=False), device=device),
    "variable": lambda device: llama_workload(SHAPE, device=device),
    "builtin": lambda device: builtin_workload(
        problems=SHAPE.problems,
        group_size=SHAPE.group_size,
        max_response_tokens=SHAPE.max_response_tokens,
        device=device,
    ),
}


def _table(rows: Mapping[str, Sequence[Found]]) -> Table:
    table = Table("", "tokens/s", "ours, times (min, median, max)", "seconds", "again", "cut")
    for name, found in rows.items():
        table.add_section()
        table.add_row(f"[bold]{name}")
        for one in found:
            over = one.ours_over
            table.add_row(
                one.side,
                f"{one.tokens_per_second['median']:,.0f}",
                f"{over['low']:.2f}, {over['median']:.2f}, {over['high']:.2f}",
                f"{statistics.median(one.seconds):.2f}",
                "same" if one.same_tokens_again else "other",
                "same" if one.same_tokens_cut else "other",
            )
    return table


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option(
    "--workload", "chosen", type=click.Choice(list(WORKLOADS)), multiple=True, help="default: all"
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="that the models are on")
@click.option("--json", "as_json", is_flag=True, help="print the record instead of a table")
@click.option("--out", type=click.Path(path_type=Path), help="write the record there too")
def main(
    rounds: int,
    chosen: tuple[str, ...],
    threads: int,
    device: str,
    as_json: bool,
    out: Path | None,
) -> None:
    """Measures every workload."""
    torch.set_num_threads(threads)
    load = round(os.getloadavg()[0], 2)
    works = [WORKLOADS[name](device) for name in chosen or WORKLOADS]
    found = {work.name: measure(work, rounds=rounds) for work in works}
    record = {
        **measured_by("sampling"),
        "threads": threads,
        "device": device,
        "load_before": load,
        "rows": ROWS,
        "other_rows": OTHER_ROWS,
        "workloads": {name: [asdict(one) for one in sides] for name, sides in found.items()},
    }
    if as_json:
        click.echo(json.dumps(record, indent=1))
    else:
        table = _table(found)
        table.caption = f"{machine()}; {threads} thread(s); load {load}; commit {git_revision()}"
        Console(width=120).print(table)
    if out is not None:
        write_json(out, record)


if __name__ == "__main__":
    main()
