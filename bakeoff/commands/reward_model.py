"""``bakeoff reward-model``: train reward models and score files of responses with them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeVar, cast, get_type_hints

import click

from bakeoff.config import ModelConfig, SolutionScore, TaskConfig, as_record
from bakeoff.errors import ConfigError
from bakeoff.flags import given
from bakeoff.reward_models.folder import INFO_FILE, TRAINING_FILE, RewardHead, RewardKind
from bakeoff.reward_models.settings import BUILTIN_HEAD, BUILTIN_TRAINING, RewardTrainingConfig

if TYPE_CHECKING:
    from bakeoff.reward_models.examples import LabelledSolution
    from bakeoff.reward_models.metrics import HeldOutMetrics
    from bakeoff.reward_models.model import LoadedRewardModel

REPORT_SECONDS = 5.0
Command = TypeVar("Command", bound=Callable[..., Any])
_path = click.Path(path_type=Path)
_READ = {
    ModelConfig: [field.name for field in fields(ModelConfig)],
    TaskConfig: ["task", "data"],
    RewardTrainingConfig: [field.name for field in fields(RewardTrainingConfig)],
}


def _setting_options(command: Command) -> Command:
    """Adds a flag for every setting of the model, the task and the training."""
    for config, names in reversed(_READ.items()):
        hints = get_type_hints(config, include_extras=True)
        defaults = {field.name: field.default for field in fields(config)}
        for name in reversed(names):
            note = f"default: {str(defaults[name]).lower()}"
            if name in BUILTIN_TRAINING:
                note += f"; of the built-in model {BUILTIN_TRAINING[name]:g}"
            command = click.option(
                "--" + name.replace("_", "-"),
                name,
                metavar="VALUE",
                help=f"{hints[name].__metadata__[0]}  [{note}]",
            )(command)
    return command


@click.group("reward-model")
def reward_model() -> None:
    """Train outcome and process reward models, and score responses with them."""


@reward_model.command()
@click.argument("files", nargs=-1, required=True, metavar="DATA.jsonl...", type=_path)
@click.option("--out", type=_path, required=True, help="folder of the reward model")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in RewardKind]),
    required=True,
    help="outcome: one score a solution (ORM); process: one a step (PRM)",
)
@click.option(
    "--head",
    type=click.Choice([head.value.replace("_", "-") for head in RewardHead]),
    help=f"where scores come from  [default: scalar; of the built-in model {BUILTIN_HEAD.value}]",
)
@click.option("--potential-token", default="+", show_default=True, help="of the two-token head")
@click.option("--no-potential-token", default="-", show_default=True, help="of the two-token head")
@click.option(
    "--estimate",
    type=click.Choice(["hard", "soft"]),
    default="hard",
    show_default=True,
    help="label of an annotated step; arXiv:2312.08935v3 trains on hard ones",
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.1,
    show_default=True,
    help="share of the questions that only the metrics see",
)
@click.option("--seed", type=int, default=0, show_default=True, help="of fresh weights and order")
@_setting_options
def train(
    files: tuple[Path, ...],
    out: Path,
    kind: str,
    head: str | None,
    potential_token: str,
    no_potential_token: str,
    estimate: str,
    holdout: float,
    seed: int,
    **flags: Any,
) -> None:
    """Train a reward model on labelled solutions.

    DATA is annotated solutions (`bakeoff annotate`), graded responses (`bakeoff sample`, `bakeoff
    grade`; outcome only) or the published Math-Shepherd data. OUT becomes an ordinary Hugging Face
    checkpoint with reward_model.json, training.json and a part of the data for replay.
    """
    _require_ours(out)
    model, task, settings = _configs(given(flags))
    chosen = BUILTIN_HEAD if model.model == "builtin" else RewardHead.SCALAR
    chosen = chosen if head is None else RewardHead(head.replace("-", "_"))
    started = time.perf_counter()
    counts, kept, held_out = _read(files, RewardKind(kind), estimate, holdout)
    # torch takes seconds to load, so whatever can be refused without it has been.
    import torch

    from bakeoff.models.loading import load_policy
    from bakeoff.reward_models.model import new_reward_model
    from bakeoff.reward_models.training import RewardModelTrainer, evaluate_reward_model
    from bakeoff.tasks.registry import load_task
    from bakeoff.world import autocast_dtype

    torch.set_num_threads(model.threads)
    loaded = new_reward_model(
        load_policy(model, init_seed=seed),
        kind=RewardKind(kind),
        head=chosen,
        config=model,
        instruction=load_task(task).instruction,
        init_seed=seed,
        potential_token=potential_token,
        no_potential_token=no_potential_token,
        autocast_dtype=autocast_dtype(model),
    )
    result = RewardModelTrainer(loaded, settings, seed=seed).fit(kept, echo=click.echo)
    metrics = evaluate_reward_model(loaded, held_out, max_tokens=settings.micro_batch_tokens)
    record = {
        "kind": kind,
        "head": chosen.value,
        "model": as_record(model),
        "task": task.task,
        "settings": as_record(settings),
        "seed": seed,
        "data": counts,
        "estimate": estimate,
        "labels": {"train": _balance(kept), "held_out": _balance(held_out)},
        "result": asdict(result),
        "held_out": None if metrics is None else asdict(metrics),
        "wall_seconds": time.perf_counter() - started,
    }
    _write(out, loaded, record, kept)
    _show(metrics)
    click.echo(f"reward model: {out}")


@reward_model.command()
@click.argument("folder", type=_path)
@click.argument("source", metavar="FILE.jsonl", type=_path)
@click.option("--out", type=_path, help="file of the scored lines; default: standard output")
@click.option("--name", help="put the scores under this name, beside those of other reward models")
@click.option(
    "--solution-score",
    type=click.Choice([how.value for how in SolutionScore]),
    default=SolutionScore.MIN.value,
    show_default=True,
    help="how step scores make the score of a solution",
)
@click.option("--device", default="auto", show_default=True, help="auto: a GPU when there is one")
@click.option(
    "--compute-dtype",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="of the forward passes",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="on a CPU")
@click.option(
    "--micro-batch-tokens",
    type=click.IntRange(1),
    default=16384,
    show_default=True,
    help="padded tokens of one forward pass",
)
def score(
    folder: Path,
    source: Path,
    out: Path | None,
    name: str | None,
    solution_score: str,
    device: str,
    compute_dtype: Literal["float32", "bfloat16"],
    threads: int,
    micro_batch_tokens: int,
) -> None:
    """Add the scores of the reward model in FOLDER to a file of responses.

    Each line holds a question and its responses (`responses` or `response`, perhaps `finish`). It
    comes out with `scores`, a number a response between 0 and 1.
    """
    from bakeoff.reward_models.folder import read_info

    read_info(folder)
    import torch

    from bakeoff.reward_models.model import load_reward_model
    from bakeoff.reward_models.scored_files import write_scored
    from bakeoff.reward_models.scoring import RewardModelScorer
    from bakeoff.world import autocast_dtype

    torch.set_num_threads(threads)
    dtype = autocast_dtype(ModelConfig(compute_dtype=compute_dtype))
    loaded = load_reward_model(folder, device=device, autocast_dtype=dtype)
    progress = _Progress()
    with _whole_file(out) as target:
        write_scored(
            RewardModelScorer(loaded, max_tokens=micro_batch_tokens),
            source,
            target,
            name=name,
            how=SolutionScore(solution_score),
            progress=progress,
        )
    progress.end()


class _Progress:
    """Now and then a line on standard error, and one at the end."""

    def __init__(self) -> None:
        self._start = self._told = time.perf_counter()
        self._counts = (0, 0)

    def __call__(self, lines: int, responses: int) -> None:
        self._counts = (lines, responses)
        if time.perf_counter() - self._told > REPORT_SECONDS:
            self.end()

    def end(self) -> None:
        self._told = time.perf_counter()
        lines, responses = self._counts
        rate = responses / (self._told - self._start)
        click.echo(f"{lines:,} lines  {responses:,} responses  {rate:,.0f}/s", err=True)


@contextmanager
def _whole_file(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is there only once all of it is."""
    if out is None:
        yield sys.stdout
        return
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        file = temporary.open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from None
    try:
        with file:
            yield file
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def _configs(values: Mapping[str, Any]) -> tuple[ModelConfig, TaskConfig, RewardTrainingConfig]:
    from bakeoff.settings import validated

    def of(config: type) -> dict[str, Any]:
        return {name: values[name] for name in _READ[config] if name in values}

    where = "reward-model train"
    model = validated(ModelConfig, of(ModelConfig), where=where)
    preset = BUILTIN_TRAINING if model.model == "builtin" else {}
    return (
        model,
        validated(TaskConfig, of(TaskConfig), where=where),
        validated(RewardTrainingConfig, preset | of(RewardTrainingConfig), where=where),
    )


def _read(
    files: Sequence[Path], kind: RewardKind, estimate: str, holdout: float
) -> tuple[dict[str, int], list[LabelledSolution], list[LabelledSolution]]:
    """Examples found in each file, those to train on and those held out."""
    from bakeoff.reward_models.examples import hold_out, read_examples

    counts: dict[str, int] = {}
    examples: list[LabelledSolution] = []
    for file in files:
        before = len(examples)
        examples += read_examples(file, kind=kind, estimate=cast(Literal["hard", "soft"], estimate))
        counts[str(file)] = len(examples) - before
    kept, held_out = hold_out(examples, share=holdout)
    if not kept:
        raise ConfigError(
            f"no labelled solution to train on: {len(examples)} in {', '.join(counts)}, "
            f"{len(held_out)} of them held out; give more data or a smaller --holdout"
        )
    click.echo(f"to train on: {_told(_balance(kept))}; held out: {_told(_balance(held_out))}")
    return counts, kept, held_out


def _write(
    out: Path,
    loaded: LoadedRewardModel,
    record: Mapping[str, Any],
    examples: Sequence[LabelledSolution],
) -> None:
    """Puts the folder of a reward model in place whole."""
    from bakeoff import provenance
    from bakeoff.checkpoint import replace_directory
    from bakeoff.records import write_json
    from bakeoff.reward_models.history import keep_history
    from bakeoff.reward_models.model import save_reward_model

    summary = {name: record[name] for name in ("settings", "data", "held_out")}

    def write(folder: Path) -> None:
        save_reward_model(loaded, folder, info=replace(loaded.info, training=summary))
        keep_history(folder, examples, seed=record["seed"])
        made_by = {
            "versions": provenance.versions(),
            "git_revision": provenance.git_revision(),
            "machine": provenance.machine(),
        }
        write_json(folder / TRAINING_FILE, {**record, **made_by})

    replace_directory(out, write)


def _require_ours(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / INFO_FILE).is_file():
        raise ConfigError(
            f"--out {out} is not empty and holds no reward model; name another folder"
        )


def _balance(examples: Sequence[LabelledSolution]) -> dict[str, Any]:
    labels = [label for example in examples for label in example.labels]
    return {
        "solutions": len(examples),
        "labels": len(labels),
        "mean": sum(labels) / len(labels) if labels else None,
    }


def _told(balance: Mapping[str, Any]) -> str:
    text = f"{balance['solutions']:,} solutions"
    return text if balance["mean"] is None else f"{text}, mean label {balance['mean']:.3f}"


def _show(metrics: HeldOutMetrics | None) -> None:
    if metrics is None:
        click.echo("nothing was held out, so there are no metrics")
        return
    for what, accuracy, share, area in (
        ("steps", metrics.step_accuracy, metrics.right_steps, metrics.step_auc),
        ("solutions", metrics.solution_accuracy, metrics.right_solutions, metrics.solution_auc),
    ):
        told = "" if area is None else f", AUC {area:.4f}"
        click.echo(
            f"held-out {what}: accuracy {accuracy:.4f} (a constant {max(share, 1 - share):.4f})"
            + told
        )
