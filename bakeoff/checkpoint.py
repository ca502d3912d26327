"""Complete, atomic checkpoints of safetensors and JSON; nothing is ever unpickled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bakeoff.errors import BakeoffError
from bakeoff.records import read_json, write_json

_PREFIX = "batch-"


def replace_directory(target: Path, write: Callable[[Path], None]) -> None:
    """Fills a directory through `write`, then puts it in place whole: all of it, or the old one."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write(temporary)
    if target.exists():
        retired = target.with_name(f".{target.name}.{os.getpid()}.old")
        os.rename(target, retired)
        os.rename(temporary, target)
        shutil.rmtree(retired)
    else:
        os.rename(temporary, target)


def write_checkpoint(checkpoints: Path, batch: int, write: Callable[[Path], None]) -> None:
    """Writes the state after `batch` rollout batches and drops older checkpoints."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    replace_directory(checkpoints / f"{_PREFIX}{batch:08d}", write)
    for path in checkpoints.iterdir():
        if path.name != f"{_PREFIX}{batch:08d}":
            shutil.rmtree(path)


def latest_checkpoint(checkpoints: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    whole = sorted(checkpoints.glob(f"{_PREFIX}*")) if checkpoints.exists() else []
    return whole[-1] if whole else None


def save_module(path: Path, module: nn.Module, *, shared: nn.Module | None = None) -> None:
    """Writes parameters and persistent buffers, tied ones once, and those of `shared` not."""
    save_tensors(path, own_tensors(module, shared=shared))


def load_module(path: Path, module: nn.Module, *, shared: nn.Module | None = None) -> None:
    """Copies what `save_module` wrote into a module of the same shape.

    Raises:
        BakeoffError: other names or shapes than the module's.
    """
    own = own_tensors(module, shared=shared)
    stored = load_tensors(path, {name: tensor.shape for name, tensor in own.items()})
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(stored[name])


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors that share no memory."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def load_tensors(path: Path, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        BakeoffError: other names or shapes than asked for.
    """
    stored = load_file(path)
    if stored.keys() != shapes.keys():
        odd = sorted(stored.keys() ^ shapes.keys())[:3]
        raise BakeoffError(f"{path} does not belong to this model: {odd} are in only one of them")
    # A copy would broadcast a smaller tensor without a word.
    odd = [name for name, shape in shapes.items() if shape != stored[name].shape][:3]
    if odd:
        raise BakeoffError(f"{path} does not belong to this model: {odd} have other shapes in it")
    return stored


def own_tensors(module: nn.Module, *, shared: nn.Module | None) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, tied ones once, without the tensors of `shared`.

    They are the module's own storage, without gradient.
    """
    return {name: t.detach() for name, t in raw_tensors(module, shared=shared).items()}


def raw_tensors(module: nn.Module, *, shared: nn.Module | None) -> dict[str, Tensor]:
    """As `own_tensors`, but the very objects: what cuts them over ranks leaves its marks there."""
    # named_parameters lists a tied weight once; safetensors refuses shared memory.
    buffers = {name: b for name, b in module.named_buffers() if name in module.state_dict()}
    tensors = dict(module.named_parameters()) | buffers
    there = set() if shared is None else {id(t) for t in (*shared.parameters(), *shared.buffers())}
    return {name: t for name, t in tensors.items() if id(t) not in there}


def save_optimizer(path: Path, optimizer: torch.optim.Optimizer) -> None:
    """Writes the per-parameter state as safetensors and the settings as JSON beside it."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": value.contiguous()
        for index, entries in state["state"].items()
        for name, value in entries.items()
    }
    save_file(tensors, path.with_suffix(".safetensors"))
    write_json(path.with_suffix(".json"), {"param_groups": state["param_groups"]})


def load_optimizer(path: Path, optimizer: torch.optim.Optimizer) -> None:
    """Continues an optimizer from what `save_optimizer` wrote."""
    optimizer.load_state_dict(load_optimizer_state(path))


def load_optimizer_state(path: Path) -> dict[str, Any]:
    """What `save_optimizer` wrote, in the form of an optimizer's state_dict."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(path.with_suffix(".safetensors")).items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = read_json(path.with_suffix(".json"))["param_groups"]
    return {"state": state, "param_groups": groups}


def save_random_state(path: Path) -> None:
    """Writes the state of torch's global generators."""
    states = {"cpu": torch.get_rng_state()}
    for index in range(torch.cuda.device_count()):
        states[f"cuda{index}"] = torch.cuda.get_rng_state(index)
    save_file(states, path)


def load_random_state(path: Path) -> None:
    """Restores the state of torch's global generators."""
    for name, state in load_file(path).items():
        if name == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, int(name.removeprefix("cuda")))
