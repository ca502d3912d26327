"""What an engine is set to, checked before anything is loaded. No torch."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakeoff.config import CellConfig, EngineConfig, OptimizerConfig
from bakeoff.errors import ConfigError

# What DeepSpeed would read from its file, and where bakeoff says it.
OURS = {
    "train_batch_size": "problems_per_step",
    "train_micro_batch_size_per_gpu": "micro_batch_tokens",
    "gradient_accumulation_steps": "micro_batch_tokens",
    "gradient_clipping": "max_grad_norm",
    "optimizer": "learning_rate and adam_*",
    "scheduler": "learning_rate_warmup_steps and learning_rate_decay_steps",
    "bf16": "compute_dtype",
    "fp16": "compute_dtype",
    "torch_autocast": "compute_dtype",
}
OURS_OF_ZERO = {
    "stage": "zero_stage",
    "offload_optimizer": "offload",
    "offload_param": "offload",
}


def check_engine(config: CellConfig) -> None:
    """Refuses an engine that cannot run these settings here.

    Raises:
        ConfigError: in one line.
    """
    engine = config.engine
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if engine.engine == "local":
        if started > 1:
            raise ConfigError(
                f"a launcher has started {started} processes, but engine `local` runs in one; set "
                "engine deepspeed"
            )
        return
    if importlib.util.find_spec("deepspeed") is None:
        raise ConfigError("engine deepspeed takes the deepspeed package: pip install deepspeed")
    if started > 1 and engine.processes not in (1, started):
        raise ConfigError(
            f"a launcher has started {started} processes, but processes is {engine.processes}; "
            "leave it out"
        )
    _require_problems(max(started, engine.processes), config)
    check_sharding(config)
    deepspeed_file(engine)


def check_sharding(config: CellConfig) -> None:
    """Refuses what stage 3 cannot cut.

    Raises:
        ConfigError: in one line.
    """
    engine = config.engine
    if config.training.lora_rank and engine.zero_stage == 3:
        raise ConfigError(
            "lora_rank with zero_stage 3: roles share the weights that it would shard; take "
            "zero_stage 2"
        )
    if config.training.compile_model and engine.zero_stage == 3:
        raise ConfigError(
            "compile_model with zero_stage 3: weights come and go inside a layer; take "
            "zero_stage 2 or leave it off"
        )


def _require_problems(processes: int, config: CellConfig) -> None:
    problems = config.training.problems_per_step
    if processes > problems:
        raise ConfigError(
            f"{processes} processes share {problems} problems a step, so some would have nothing "
            f"to sample; take at most {problems} processes, or more problems_per_step"
        )


def deepspeed_file(engine: EngineConfig) -> dict[str, Any]:
    """The user's DeepSpeed JSON; empty without one.

    Raises:
        ConfigError: not readable, or it sets what bakeoff's settings say.
    """
    if engine.deepspeed_config is None:
        return {}
    path = Path(engine.deepspeed_config)
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"deepspeed_config {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"deepspeed_config {path} is not JSON: {error}") from None
    if not isinstance(given, dict) or not isinstance(given.get("zero_optimization", {}), dict):
        raise ConfigError(f"deepspeed_config {path} must hold a JSON object, as DeepSpeed reads it")
    _require_not_ours(path, given, OURS)
    _require_not_ours(path, given.get("zero_optimization", {}), OURS_OF_ZERO)
    return given


def _require_not_ours(path: Path, given: Mapping[str, Any], ours: Mapping[str, str]) -> None:
    for name, setting in ours.items():
        if given.get(name, "auto") not in ("auto", {"enabled": False}):
            raise ConfigError(
                f"deepspeed_config {path} sets {name} = {given[name]!r}, which {setting} says "
                "here; leave it out of the file"
            )


def deepspeed_settings(
    engine: EngineConfig, optimizer: OptimizerConfig, *, ranks: int, trained_weights: int
) -> dict[str, Any]:
    """What DeepSpeed is given: ours, and the user's beside it.

    Args:
        engine: stage, offload and the user's file.
        optimizer: the limit of the gradient's norm.
        ranks: that train together.
        trained_weights: of the model; buffers need not be larger.
    """
    given = {name: value for name, value in deepspeed_file(engine).items() if name not in OURS}
    zero = {
        name: value
        for name, value in given.pop("zero_optimization", {}).items()
        if name not in OURS_OF_ZERO
    }
    stage = engine.zero_stage
    ours: dict[str, Any] = {
        # Weights of the loss sum to 1 over the whole step, so DeepSpeed must not divide by counts.
        "train_batch_size": ranks,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        # At stage 0 gradients are whole, and the local engine's clipping reads them.
        "gradient_clipping": optimizer.max_grad_norm if stage else 0.0,
        # PyTorch's fused AdamW runs on the CPU: no operator to compile, and the same numbers.
        "zero_force_ds_cpu_optimizer": False,
    }
    offload = {"device": "cpu", "pin_memory": False}
    sharding: dict[str, Any] = {"stage": stage}
    if stage:
        sharding["reduce_bucket_size"] = max(1, min(trained_weights, 100_000_000))
    if engine.offload in ("optimizer", "both"):
        sharding["offload_optimizer"] = dict(offload)
    if engine.offload in ("parameters", "both"):
        sharding["offload_param"] = dict(offload)
    return ours | given | {"zero_optimization": sharding | zero}
