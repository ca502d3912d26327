"""What a trial needs at the least, before anything is allocated."""

from __future__ import annotations

import torch

from bakeoff.memory.predictor import predict
from bakeoff.memory.rehearsal import Workload
from bakeoff.models.loading import model_config
from bakeoff.settings import method_config
from benchmarks.methods import build_method, method_defaults
from benchmarks.suite import Cell


def peak_bytes(cell: Cell) -> int:
    """The most that a cell's tensors take in one phase, with prompts of one token.

    A lower bound for that: longer prompts, reward models and the interpreter come on top.
    """
    config = cell.config
    algorithm = build_method(method_config(config, method_defaults(cell.method)))
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    device = automatic if config.model.device == "auto" else config.model.device
    workload = Workload(
        prompt_tokens=1,
        model=config.model,
        sampling=config.sampling,
        training=config.training,
        device_type=torch.device(device).type,
    )
    return predict(model_config(config.model), algorithm, workload).peak_bytes
