"""``bakeoff profile``: what methods take in memory, measured or predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from bakeoff.errors import ConfigError
from bakeoff.records import write_json

if TYPE_CHECKING:
    from bakeoff.commands.profile_measure import Profiled
    from bakeoff.interfaces import Algorithm

DEFAULT_METHODS = "ppo,rft,online_rft,grpo"
# What a measured run has no use for, by the name of its parameter here.
_OF_PREDICTIONS = ("zero_stage", "processes", "offload", "device_bytes", "prompt_tokens")
_path = click.Path(path_type=Path)


class Methods(Protocol):
    """Methods by name."""

    def method_defaults(self, name: str, /) -> Any:
        """The settings that a method starts from."""
        ...

    def build_method(self, config: Any, /) -> Algorithm:
        """The method of its settings; a function that can be pickled."""
        ...


def profile_command(
    presets: Sequence[str],
    *,
    methods: Callable[[], Methods],
    draw: Callable[[Mapping[str, Any], Path], list[Path]],
) -> click.Command:
    """The command, given what the instrument may not import.

    Args:
        presets: the names that ``--methods all`` stands for.
        methods: where they come from; called when the command runs.
        draw: writes the figures of a measured record into a folder; the files it wrote.
    """

    @click.command()
    @click.option(
        "--model",
        default="builtin",
        show_default=True,
        help="as in `train`; config:FOLDER takes random weights",
    )
    @click.option(
        "--methods",
        default=DEFAULT_METHODS,
        show_default=True,
        help="comma-separated; presets, FILE.py:NAME or all",
    )
    @click.option(
        "--group-size", type=click.IntRange(1), help="completions a problem; default: the method's"
    )
    @click.option("--problems-per-step", type=click.IntRange(1), default=16, show_default=True)
    @click.option("--max-response-tokens", type=click.IntRange(1), default=64, show_default=True)
    @click.option("--micro-batch-tokens", type=click.IntRange(1), default=4096, show_default=True)
    @click.option(
        "--compute-dtype",
        type=click.Choice(["float32", "bfloat16"]),
        default="float32",
        show_default=True,
    )
    @click.option("--device", help="as in `train`; default: the GPU if there is one")
    @click.option("--out", type=_path, help="folder for profile.json and the figures")
    @click.option("--predict", is_flag=True, help="without running anything, and without a GPU")
    @click.option("--prompt-tokens", type=click.IntRange(1), help="of every prompt; with --predict")
    @click.option("--zero-stage", type=click.IntRange(0, 3), help="of DeepSpeed; with --predict")
    @click.option(
        "--processes", type=click.IntRange(1), help="that share a run; default 1; with --predict"
    )
    @click.option(
        "--offload",
        type=click.Choice(["none", "optimizer", "parameters", "both"]),
        help="what lies in host memory; with --predict",
    )
    @click.option(
        "--lora",
        type=click.IntRange(1),
        metavar="RANK",
        help="train adapters of this rank on all linear layers",
    )
    @click.option("--device-bytes", type=float, help="of one GPU, such as 80e9; with --predict")
    @click.option(
        "--activation-checkpointing", is_flag=True, help="compute activations again going backward"
    )
    @click.option("--json", "json_file", type=_path, help="write the record to this file too")
    def profile(**options: Any) -> None:
        """Measure what each method takes in memory, by phase and by component.

        Each method runs for two batches in a process of its own, on the built-in task with a judge
        that most responses please, so random weights suffice.
        """
        listed = options.pop("methods")
        names = list(presets) if listed == "all" else listed.split(",")
        if options.pop("predict"):
            from bakeoff.commands.profile_predict import run_prediction

            asked = {name: value for name, value in options.items() if value is not None}
            run_prediction(names, methods=methods(), **asked)
            return
        _refuse(options)
        from bakeoff.commands.profile_measure import measure

        record = measure(
            _chosen(names, options, methods(), leave_out=listed == "all"),
            say=lambda line: click.echo(line, err=True),
        )
        record["settings"] = _settings(options)
        _print(record)
        out, json_file = options["out"], options["json_file"]
        if json_file is not None:
            write_json(json_file, record)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            write_json(out / "profile.json", record)
            for file in draw(record, out):
                click.echo(file)

    return profile


def _refuse(options: Mapping[str, Any]) -> None:
    for name in _OF_PREDICTIONS:
        if options[name] not in (None, False):
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} is of --predict, which runs nothing; add it or leave {flag}")
    out = options["out"]
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder")


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    unused = (*_OF_PREDICTIONS, "out", "json_file")
    given = {n: v for n, v in options.items() if v is not None and n not in unused}
    return {"lora_rank" if name == "lora" else name: value for name, value in given.items()}


def _chosen(
    names: Sequence[str], options: Mapping[str, Any], methods: Methods, *, leave_out: bool
) -> dict[str, Profiled]:
    chosen = {}
    for name in names:
        try:
            chosen[name] = _profiled(name, options, methods)
        except ConfigError as error:
            if not leave_out:
                raise
            click.echo(f"left out: {error}", err=True)
    return chosen


def _profiled(name: str, options: Mapping[str, Any], methods: Methods) -> Profiled:
    from functools import partial

    from bakeoff.commands.profile_measure import BATCHES, TASK, Profiled
    from bakeoff.settings import cell_config, method_config

    start = methods.method_defaults(name)
    values = _settings(options)
    has_group = hasattr(start, "group_size")
    if not has_group:
        values.pop("group_size", None)
    problems = options["problems_per_step"]
    if hasattr(start, "pool_problems"):
        values["pool_problems"] = BATCHES * problems
    values |= {
        "task": TASK,
        "train_problems": max(256, BATCHES * problems),
        "evaluate_start": False,
        "evaluations": 1,
        "evaluation_problems": problems,
        "evaluation_samples": 1,
        "final_samples": values.get("group_size") or (start.group_size if has_group else 1),
        "ood_problems": 0,
        "checkpoint_every": 0,
        "budget_axis": "optimizer_steps",
    }
    config = cell_config(name, start, values | {"budget": 1})
    settings = method_config(config, start)
    plan = methods.build_method(settings).plan
    if plan.iteration is not None and plan.iteration.refit_reward_model:
        raise ConfigError(
            f"{name} refits a reward model, which a measured profile has none of; "
            "--predict tells what it takes without"
        )
    steps = plan.epochs * plan.minibatches
    values |= {"budget": (BATCHES - 1) * steps + 1}
    if plan.process_supervision:
        values["reward"] = "steps"
    return Profiled(
        config=cell_config(name, start, values), make=partial(methods.build_method, settings)
    )


def _print(record: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from bakeoff.commands.profile_measure import table

    shown = Table("method", "phase", "tensors", "whole", "most of it")
    last = None
    for method, phase, count, mark, told in table(record):
        if last not in (None, method):
            shown.add_section()
        shown.add_row(
            "" if method == last else method,
            phase,
            f"{count / 1e6:,.1f} MB",
            f"{mark / 1e6:,.1f} MB" if mark else "",
            told,
        )
        last = method
    Console().print(shown)
