"""The command line: the roof, the only file of the instrument that imports the study."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from algorithms import PRESETS
from bakeoff import __version__
from bakeoff.commands.annotate import annotate
from bakeoff.commands.grade import grade
from bakeoff.commands.profile import profile_command
from bakeoff.commands.reward_model import reward_model
from bakeoff.commands.sample import sample
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.flags import budget_settings, given, setting_options

DEFAULT_OUT = "runs"
_path = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """PPO, RFT, online RFT and GRPO head to head on models that reason about mathematics."""


@cli.command()
@click.argument("suite", required=False, type=_path)
@click.option("--quick", is_flag=True, help="a small matrix that ends within two minutes")
@click.option("--methods", help="comma-separated; presets or FILE.py:NAME")
@click.option("--seeds", "seed_count", type=click.IntRange(1), help="seeds 0 to N-1")
@click.option("--budget-tokens", type=float, help="sampled tokens each cell may spend")
@click.option("--steps", type=float, help="optimizer steps each cell may take, as the budget")
@click.option("--workers", type=click.IntRange(1), help="cells at once; default: as fill the cores")
@click.option("--out", type=_path, help="study folder; default: runs/<study>")
@click.option("--force", is_flag=True, help='go on after a failed gate, marked "not comparable"')
@click.option("--tracking-uri", help="MLflow; default: SQLite in the folder above the study")
@click.option("--no-tracking", is_flag=True, help="no MLflow mirror")
@setting_options(PRESETS)
def compare(
    suite: Path | None,
    quick: bool,
    methods: str | None,
    seed_count: int | None,
    budget_tokens: float | None,
    steps: float | None,
    workers: int | None,
    out: Path | None,
    force: bool,
    tracking_uri: str | None,
    no_tracking: bool,
    **flags: Any,
) -> None:
    """Run methods head to head at an equal budget and write the report.

    SUITE is a YAML file; without one, the built-in task and model. Running it again continues it.
    """
    from benchmarks.compare import CompareOptions, run_comparison
    from reports.console import print_comparison
    from reports.write import write_report

    overrides = given(flags) | budget_settings(steps, budget_tokens)
    folder = run_comparison(
        suite,
        overrides=overrides,
        options=CompareOptions(
            quick=quick,
            methods=tuple(methods.split(",")) if methods else None,
            seeds=seed_count,
            workers=workers,
            out=out,
            force=force,
            tracking=not no_tracking,
            tracking_uri=tracking_uri,
            command=command_line(),
        ),
        write_report=write_report,
    )
    print_comparison(folder)


@cli.command()
@click.option("--method", help="a preset, or FILE.py:NAME")
@click.option("--config", "config_file", type=_path, help="YAML or a run's config.json; flags win")
@click.option("--steps", type=float, help="optimizer steps, as the budget")
@click.option("--budget-tokens", type=float, help="sampled tokens, as the budget")
@click.option("--out", type=_path, required=True, help="run folder; an unfinished run continues")
@click.option("--quiet", is_flag=True, help="no progress line a batch")
@setting_options(PRESETS)
def train(
    method: str | None,
    config_file: Path | None,
    steps: float | None,
    budget_tokens: float | None,
    out: Path,
    quiet: bool,
    **flags: Any,
) -> None:
    """Train one cell: one method, one seed."""
    from bakeoff.settings import read_settings

    values = read_settings(config_file) if config_file else {}
    method = method or values.pop("method", None)
    if method is None:
        raise ConfigError(f"name a --method: {', '.join(PRESETS)}, or FILE.py:NAME")
    values.pop("method", None)
    _train(method, values | given(flags) | budget_settings(steps, budget_tokens), out, quiet=quiet)


@cli.command()
@click.option("--builtin", is_flag=True, help="make the built-in model again, by its recipe")
@click.option("--steps", type=float, help="optimizer steps, as the budget")
@click.option("--out", type=_path, required=True, help="run folder; the model is in OUT/policy")
@click.option("--quiet", is_flag=True, help="no progress line a batch")
@setting_options({"sft": PRESETS["sft"]})
def sft(builtin: bool, steps: float | None, out: Path, quiet: bool, **flags: Any) -> None:
    """Fine-tune on the task's demonstrations: makes the start that the methods share."""
    from bakeoff.settings import read_yaml

    values: dict[str, Any] = {}
    if builtin:
        from bakeoff.models.builtin import RECIPE

        values = read_yaml(RECIPE)
    _train("sft", values | given(flags) | budget_settings(steps, None), out, quiet=quiet)


@cli.command()
@click.option("--out", type=_path, help="folder for the results; needed to evaluate a model")
@click.option("--config", "config_file", type=_path, help="YAML or a run's config.json; flags win")
@click.option("--seeds", help="comma-separated; one set of draws each; default: 0")
@click.option("--responses", type=_path, help="judge this file instead of a model's samples")
@click.option("--ks", help="of --responses: comma-separated K; default: the powers of two")
@setting_options({})
def evaluate(
    out: Path | None,
    config_file: Path | None,
    seeds: str | None,
    responses: Path | None,
    ks: str | None,
    **flags: Any,
) -> None:
    """Evaluate a model: sampled and greedy accuracy, pass@k, maj@k, format rate.

    With --responses FILE.jsonl, judge the outputs of any framework: question, answer, responses
    and a verifier's scores a line become pass@K, majority vote, best of K and weighted vote.
    """
    if responses is not None:
        _judge(responses, {"config": config_file, "seeds": seeds} | flags, ks=ks, out=out)
        return
    if out is None:
        raise ConfigError("give --out, the folder for the evaluations, or --responses FILE.jsonl")
    if ks is not None:
        raise ConfigError("--ks is of --responses; a model is asked for --final-samples")
    from bakeoff.settings import shared_settings
    from benchmarks.start import evaluate_model
    from reports.console import print_evaluation

    values = shared_settings(config_file) if config_file else {}
    listed = _whole_numbers("--seeds", "0" if seeds is None else seeds)
    evaluate_model(values | given(flags), seeds=listed, out=out)
    print_evaluation(out)


@cli.command()
@click.argument("study")
@click.option("--quick", is_flag=True, help="the study's small form, in minutes")
@click.option("--design", help="grid, leave_one_out, quasi_random or tpe; default: the study's")
@click.option("--trials", type=click.IntRange(1), help="points of a sampling design")
@click.option("--workers", type=click.IntRange(1), help="trials at once; default: one a core")
@click.option(
    "--storage",
    help="of the trials: SQLite (default, in the study's folder), journal:FILE or a server",
)
@click.option("--out", type=_path, help="study folder; default: runs/<study>")
@click.option("--force", is_flag=True, help='go on after a failed gate, marked "not comparable"')
@click.option("--tracking-uri", help="MLflow; default: SQLite in the folder above the study")
@click.option("--no-tracking", is_flag=True, help="no MLflow mirror")
@setting_options(PRESETS)
def ablate(
    study: str,
    quick: bool,
    design: str | None,
    trials: int | None,
    workers: int | None,
    storage: str | None,
    out: Path | None,
    force: bool,
    tracking_uri: str | None,
    no_tracking: bool,
    **flags: Any,
) -> None:
    """Vary factors around a method by a declared design, and write the report.

    STUDY is a YAML file, or one that ships: clip_updates, data_source, group_size_kl, iterations,
    kl, learning_rate, normalisation, ppo_critic, reward, supervision. Running it again continues
    it.
    """
    from ablations.run import AblateOptions, run_ablation
    from reports.console import print_ablation
    from reports.write import write_report

    done = run_ablation(
        study,
        overrides=given(flags),
        options=AblateOptions(
            quick=quick,
            design=design,
            trials=trials,
            workers=workers,
            storage=storage,
            out=out,
            force=force,
            tracking=not no_tracking,
            tracking_uri=tracking_uri,
            command=command_line(),
        ),
        write_report=write_report,
    )
    print_ablation(done.folder, storage=done.storage, tracking_uri=done.tracking_uri)


@cli.command()
@click.argument("studies", type=_path, nargs=-1, required=True)
@click.option("--out", type=_path, help="folder; needed for several studies, else STUDY/report")
def report(studies: tuple[Path, ...], out: Path | None) -> None:
    """Write the report of STUDIES again, from their records alone.

    Comparisons of the same task, model, budget and start are pooled; others share the page.
    """
    from reports.write import write_report

    click.echo(write_report(*studies, out=out))


@cli.command()
@click.option("--quick", is_flag=True, help="one seed and a tenth of the budget, in minutes")
@click.option("--workers", type=click.IntRange(1), help="processes at once; default: one a core")
@click.option("--out", type=_path, help="folder; default: runs/claims")
def claims(quick: bool, workers: int | None, out: Path | None) -> None:
    """Re-measure the papers' claims on the built-in task: claims.md and claims.json.

    Takes hours; running it again continues it.
    """
    from benchmarks.claims import ClaimsOptions, run_claims
    from reports.claims.write import write_claims
    from reports.write import write_report

    options = ClaimsOptions(quick=quick, workers=workers, out=out, command=command_line())
    click.echo(run_claims(options, write_report=write_report, write_claims=write_claims))


@cli.command()
@click.argument("suite", required=False, type=_path)
@click.option("--methods", help="comma-separated; default: those of the suite")
@click.option(
    "--config",
    "config_files",
    type=_path,
    multiple=True,
    help="check these runs (YAML or config.json) instead of a suite",
)
@click.option("--json", "json_file", type=_path, help="write the result to a file too")
@click.option("--shortened", is_flag=True, help="what a comparison runs before it starts")
@setting_options(PRESETS)
def doctor(
    suite: Path | None,
    methods: str | None,
    config_files: tuple[Path, ...],
    json_file: Path | None,
    shortened: bool,
    **flags: Any,
) -> None:
    """Run the conformance gate: would a comparison with these settings mean anything?

    SUITE is a YAML file; without one, the built-in comparison is checked.
    """
    from benchmarks.gate import arms_of_files, arms_of_suite, run_gate

    overrides = given(flags)
    if config_files:
        arms = arms_of_files(config_files, overrides)
    else:
        chosen = tuple(methods.split(",")) if methods else None
        arms = arms_of_suite(suite, overrides, methods=chosen)
    if not run_gate(arms, json_file=json_file, shortened=shortened):
        raise SystemExit(1)


cli.add_command(annotate)
cli.add_command(grade)
cli.add_command(reward_model)
cli.add_command(sample)


def _methods() -> Any:
    from benchmarks import methods

    return methods


def _draw_profile(record: Mapping[str, Any], folder: Path) -> list[Path]:
    from reports.memory_figures import write_profile_figures

    return write_profile_figures(record, folder)


cli.add_command(profile_command(tuple(PRESETS), methods=_methods, draw=_draw_profile))


def command_line() -> str:
    """The command as it was typed, for the records."""
    return " ".join(["bakeoff", *sys.argv[1:]])


def main() -> None:
    """Entry point: errors a user can act on are one line, and exit code 2."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        raise SystemExit(130) from None
    except click.ClickException as error:
        click.echo(f"bakeoff: {error.format_message()}", err=True)
        raise SystemExit(2) from None
    except ConfigError as error:
        click.echo(f"bakeoff: {error}", err=True)
        raise SystemExit(2) from None
    except BakeoffError as error:
        click.echo(f"bakeoff: {error}", err=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _judge(file: Path, flags: dict[str, Any], *, ks: str | None, out: Path | None) -> None:
    """Judges a file of responses and prints what choosing among them is worth."""
    settings = given(flags)
    unused = [name for name in settings if name not in ("task", "seed")]
    if unused:
        flag = "--" + unused[0].replace("_", "-")
        raise ConfigError(f"{flag} does nothing with --responses; leave it out")
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder")
    listed = None if ks is None else _whole_numbers("--ks", ks)
    from bakeoff.config import SeedConfig
    from bakeoff.responses import TASK, load_responses
    from bakeoff.seeds import generator
    from bakeoff.settings import validated
    from reports.console import print_verification
    from reports.verification import verification
    from reports.verification_tables import write_verification

    task = settings.pop("task", None) or TASK
    seed = validated(SeedConfig, settings, where="evaluate").seed
    problems = load_responses(file, task=task)
    found = verification(problems, ks=listed, rng=generator("verification", seed))
    if out is not None:
        write_verification(found, out, provenance={"file": str(file), "task": task, "seed": seed})
    print_verification(found)


def _whole_numbers(flag: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{flag} must be whole numbers and commas, got {text!r}") from None


def _train(method: str, values: dict[str, Any], out: Path, *, quiet: bool) -> None:
    from bakeoff.engine.settings import check_engine
    from bakeoff.processes import end_rank, failures_told, is_rank, run_ranks
    from bakeoff.records import RunDirectory
    from bakeoff.settings import cell_config, method_config
    from benchmarks.methods import build_method, method_defaults

    defaults = method_defaults(method)
    config = cell_config(method, defaults, values)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder")
    check_engine(config)
    if config.engine.processes > 1 and not is_rank():
        code = run_ranks(("-m", "bakeoff", *sys.argv[1:]), processes=config.engine.processes)
        raise SystemExit(code)
    with failures_told():
        # torch takes seconds to load, so whatever can be refused without it has been.
        from bakeoff.cell import run_cell

        algorithm = build_method(method_config(config, defaults))
        run_cell(config, algorithm, RunDirectory(out), echo=None if quiet else click.echo)
    if is_rank():
        end_rank()


if __name__ == "__main__":
    main()
