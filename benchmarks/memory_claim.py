"""Less memory without a value model, in numbers: ``python -m benchmarks.memory_claim``.

The predicted peak of methods with and without a critic on one architecture, for full training and
for LoRA, on one device and with ZeRO over eight. Nothing is allocated and no GPU is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bakeoff.memory.placement import Placement
from bakeoff.memory.predictor import Prediction, placed
from bakeoff.memory.presets import architecture
from bakeoff.memory.rehearsal import Rehearsal, Workload, rehearse
from bakeoff.provenance import measured_by
from bakeoff.records import write_json
from bakeoff.settings import cell_config, method_config
from benchmarks.methods import build_method, method_defaults

ARMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "PPO, separate critic": ("ppo", {}),
    "PPO, shared trunk": ("ppo", {"critic": "shared"}),
    "GRPO": ("grpo", {}),
    "GRPO, no KL": ("grpo", {"kl_coefficient": 0.0}),
    "online RFT": ("online_rft", {}),
    "RFT": ("rft", {}),
}
SETTINGS: Mapping[str, Any] = {
    "group_size": 8,
    "problems_per_step": 16,
    "max_response_tokens": 1024,
    "micro_batch_tokens": 4096,
    "compute_dtype": "bfloat16",
    "activation_checkpointing": True,
    # Only what a method needs: the copy that measures the distance to the start is no part of it.
    "measure_kl": False,
}
PROMPT_TOKENS = 256
LORA_RANK = 16
PLACEMENTS: Mapping[str, Placement] = {
    "one device": Placement(),
    "ZeRO-2 on 8": Placement(zero_stage=2, processes=8),
    "ZeRO-3 on 8": Placement(zero_stage=3, processes=8),
}
NOT_WITH_LORA = "ZeRO-3 on 8"  # roles share the weights that it would cut


def rehearsed(model: str, arm: str, *, lora_rank: int) -> Rehearsal:
    """The bytes of one arm."""
    method, own = ARMS[arm]
    start = method_defaults(method)
    config = cell_config(method, start, {**SETTINGS, **own, "lora_rank": lora_rank})
    workload = Workload(
        prompt_tokens=PROMPT_TOKENS,
        model=config.model,
        sampling=config.sampling,
        training=config.training,
    )
    return rehearse(architecture(model), build_method(method_config(config, start)), workload)


def row(model: str, arm: str, *, lora_rank: int) -> dict[str, Any]:
    """Peaks of one arm by where its bytes lie."""
    found = rehearsed(model, arm, lora_rank=lora_rank)
    return {
        "method": arm,
        "lora_rank": lora_rank,
        "trained_parameters": found.trained_parameters,
        "placements": {
            name: _peak(placed(found, how))
            for name, how in PLACEMENTS.items()
            if not (lora_rank and name == NOT_WITH_LORA)
        },
    }


def _peak(prediction: Prediction) -> dict[str, Any]:
    phases = {name: phase.device_bytes for name, phase in prediction.phases.items()}
    return {"peak_bytes": prediction.peak_bytes, "peak_phase": prediction.peak_phase} | phases


def markdown(record: Mapping[str, Any]) -> str:
    """The peaks as a table, in GB, each with its share of the first arm's."""
    peaks = {
        (row["method"], row["lora_rank"], place): found["peak_bytes"]
        for row in record["rows"]
        for place, found in row["placements"].items()
    }
    methods = list(dict.fromkeys(method for method, *_ in peaks))
    columns = sorted({(rank, list(PLACEMENTS).index(place)) for _, rank, place in peaks})
    places = [(rank, list(PLACEMENTS)[number]) for rank, number in columns]
    heads = [f"{'full' if not rank else f'LoRA {rank}'}, {place}" for rank, place in places]
    lines = [f"| {' | '.join(['method', *heads])} |", "|---" * (1 + len(heads)) + "|"]
    for method in methods:
        shares = [(peaks[method, *where], peaks[methods[0], *where]) for where in places]
        cells = [f"{peak / 1e9:.1f} ({peak / first:.0%})" for peak, first in shares]
        lines.append(f"| {' | '.join([method, *cells])} |")
    return "\n".join(lines)


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.option("--model", default="qwen2.5-7b", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="print the record instead of a table")
@click.option("--out", type=click.Path(path_type=Path), help="write the record too")
def main(model: str, as_json: bool, out: Path | None) -> None:
    """Predicts every arm and prints a table."""
    rows = []
    for lora_rank in (0, LORA_RANK):
        for arm in ARMS:
            click.echo(f"{arm}, LoRA rank {lora_rank}", err=True)
            rows.append(row(model, arm, lora_rank=lora_rank))
    record = {
        **measured_by("memory_claim"),
        "model": model,
        "settings": dict(SETTINGS) | {"prompt_tokens": PROMPT_TOKENS},
        "rows": rows,
    }
    if out is not None:
        write_json(out, record)
    click.echo(json.dumps(record, indent=1) if as_json else markdown(record))


if __name__ == "__main__":
    main()
