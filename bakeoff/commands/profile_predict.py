"""``bakeoff profile --predict``: what each method would take in memory, without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from bakeoff.errors import ConfigError
from bakeoff.records import write_json

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from bakeoff.config import CellConfig
    from bakeoff.interfaces import Algorithm
    from bakeoff.memory.components import Component
    from bakeoff.memory.predictor import Prediction

PROMPT_TOKENS = 256  # a word problem with instructions
WIDTH = 160


class Methods(Protocol):
    """Methods by name."""

    def method_defaults(self, name: str, /) -> Any:
        """The settings that a method starts from."""
        ...

    def build_method(self, config: Any, /) -> Algorithm:
        """The method of its settings."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What is asked of every method."""

    source: str
    architecture: PretrainedConfig
    prompt_tokens: int
    device_type: str
    device_bytes: float | None
    zero_stage: int
    processes: int
    offload: str


def run_prediction(
    names: Sequence[str],
    *,
    methods: Methods,
    model: str,
    group_size: int | None = None,
    max_response_tokens: int = 64,
    prompt_tokens: int | None = None,
    problems_per_step: int = 16,
    micro_batch_tokens: int = 16384,
    compute_dtype: str = "float32",
    activation_checkpointing: bool = False,
    measure_kl: bool = True,
    zero_stage: int | None = None,
    processes: int = 1,
    offload: str = "none",
    lora: int | None = None,
    device: str | None = None,
    device_bytes: float | None = None,
    json_file: Path | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """The record of a prediction, after printing its tables.

    Raises:
        ConfigError: an unknown model or method, or settings that do not go together.
    """
    if out is not None:
        raise ConfigError("--out is for what was measured; --predict takes --json FILE")
    if device_bytes is not None and device_bytes <= 0:
        raise ConfigError(f"device_bytes must be above 0, got {device_bytes}")
    values = {
        "max_response_tokens": max_response_tokens,
        "problems_per_step": problems_per_step,
        "micro_batch_tokens": micro_batch_tokens,
        "compute_dtype": compute_dtype,
        "activation_checkpointing": activation_checkpointing,
        "measure_kl": measure_kl,
        "lora_rank": lora or 0,
    }
    if zero_stage or processes > 1 or offload != "none":
        values |= {"engine": "deepspeed", "zero_stage": zero_stage or 0, "processes": processes}
        values["offload"] = None if offload == "none" else offload
    # Everything that can be refused without torch, before it is loaded.
    configs = {name: _config(name, values, methods, group_size=group_size) for name in names}
    from bakeoff.memory.presets import architecture

    question = _Question(
        source=model,
        architecture=architecture(model),
        prompt_tokens=prompt_tokens or PROMPT_TOKENS,
        device_type="cpu" if device == "cpu" else "cuda",
        device_bytes=device_bytes,
        zero_stage=zero_stage or 0,
        processes=processes,
        offload=offload,
    )
    record = _record(question, configs, methods, values | {"group_size": group_size})
    _print(record)
    if json_file is not None:
        write_json(json_file, record)
    return record


def _config(
    name: str, values: Mapping[str, Any], methods: Methods, *, group_size: int | None
) -> CellConfig:
    from bakeoff.engine.settings import check_sharding
    from bakeoff.settings import cell_config

    start = methods.method_defaults(name)
    own = {"group_size": group_size} if group_size and hasattr(start, "group_size") else {}
    config = cell_config(name, start, dict(values) | own, where="profile")
    check_sharding(config)
    return config


def _record(
    question: _Question,
    configs: Mapping[str, CellConfig],
    methods: Methods,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    from bakeoff.provenance import versions

    found = {}
    for name, config in configs.items():
        click.echo(f"rehearsing {name}", err=True)
        found[name] = _method(question, config, methods)
    return {
        "schema": 1,
        "predicted": True,
        "model": question.source,
        "settings": dict(settings) | {"prompt_tokens": question.prompt_tokens},
        "placement": {
            name: getattr(question, name) for name in ("zero_stage", "processes", "offload")
        },
        "device_bytes": question.device_bytes,
        "warnings": _warnings(question, int(settings["max_response_tokens"])),
        "versions": versions(),
        "methods": found,
    }


def _method(question: _Question, config: CellConfig, methods: Methods) -> dict[str, Any]:
    from bakeoff.memory.placement import Offload, Placement
    from bakeoff.memory.predictor import STAGES, largest_micro_batch, placed, processes_needed
    from bakeoff.memory.rehearsal import Workload, rehearse
    from bakeoff.settings import method_config

    placement = Placement(
        zero_stage=question.zero_stage,
        processes=question.processes,
        offload=Offload(question.offload),
    )
    algorithm = methods.build_method(method_config(config, methods.method_defaults(config.method)))
    workload = Workload(
        prompt_tokens=question.prompt_tokens,
        model=config.model,
        sampling=config.sampling,
        training=config.training,
        device_type=question.device_type,
    )
    rehearsal = rehearse(question.architecture, algorithm, workload)
    prediction = placed(rehearsal, placement)
    record = _prediction(prediction)
    limit = question.device_bytes
    if limit is None:
        return record
    return record | {
        "fits": prediction.peak_bytes <= limit,
        "largest_micro_batch_tokens": largest_micro_batch(
            question.architecture, algorithm, workload, placement=placement, device_bytes=limit
        ),
        "processes_needed": {
            str(stage): processes_needed(
                rehearsal, zero_stage=stage, offload=placement.offload, device_bytes=limit
            )
            for stage in (STAGES[:-1] if config.training.lora_rank else STAGES)
        },
    }


def _prediction(prediction: Prediction) -> dict[str, Any]:
    def words(of: Mapping[Component, int]) -> dict[str, int]:
        return {which.value: count for which, count in of.items()}

    return {
        "parameters": prediction.parameters,
        "trained_parameters": prediction.trained_parameters,
        "phases": {
            name: {
                "components": words(phase.device),
                "device_bytes": phase.device_bytes,
                "host_components": words(phase.host),
                "host_bytes": phase.host_bytes,
            }
            for name, phase in prediction.phases.items()
        },
        "peak_phase": prediction.peak_phase,
        "peak_bytes": prediction.peak_bytes,
        "host_bytes": prediction.host_bytes,
    }


def _warnings(question: _Question, max_response_tokens: int) -> list[str]:
    longest = getattr(question.architecture, "max_position_embeddings", None)
    tokens = question.prompt_tokens + max_response_tokens
    if longest is None or tokens <= longest:
        return []
    return [
        f"a prompt and its response are up to {tokens} tokens, and the positions of "
        f"{question.source} end at {longest}"
    ]


def _print(record: Mapping[str, Any]) -> None:
    from rich.console import Console

    # A file has no width; a table that wraps at 80 places is hard to read there.
    console = Console() if Console().is_terminal else Console(width=WIDTH)
    for warning in record["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    for name, found in record["methods"].items():
        console.print(_phases_table(name, found))
    console.print(_summary_table(record))


def _phases_table(name: str, found: Mapping[str, Any]) -> Any:
    from rich.table import Table

    phases = found["phases"]
    words = list(dict.fromkeys(word for phase in phases.values() for word in phase["components"]))
    table = Table("GB", *phases, title=name)
    for word in words:
        row = [phase["components"].get(word, 0) for phase in phases.values()]
        table.add_row(word, *(_gigabytes(count) for count in row))
    table.add_section()
    table.add_row("device", *(_gigabytes(phase["device_bytes"]) for phase in phases.values()))
    if found["host_bytes"]:
        table.add_row("host", *(_gigabytes(phase["host_bytes"]) for phase in phases.values()))
    return table


def _summary_table(record: Mapping[str, Any]) -> Any:
    from rich.table import Table

    limit = record["device_bytes"]
    table = Table("method", "peak GB", "in", "host GB", title=record["model"])
    if limit is not None:
        table.add_column(f"{limit / 1e9:g} GB a device")
        table.add_column("largest micro-batch")
        for stage in next(iter(record["methods"].values()))["processes_needed"]:
            table.add_column(f"GPUs, ZeRO-{stage}")
    for name, found in record["methods"].items():
        peak, host = _gigabytes(found["peak_bytes"]), _gigabytes(found["host_bytes"])
        row = [name, peak, found["peak_phase"], host]
        if limit is not None:
            tokens = found["largest_micro_batch_tokens"]
            row += ["go" if found["fits"] else "no go", f"{tokens:,}" if tokens else "none"]
            row += [str(count or "none") for count in found["processes_needed"].values()]
        table.add_row(*row)
    return table


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.3f}" if count else ""
