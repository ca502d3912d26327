import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bakeoff.checkpoint import (
    latest_checkpoint,
    load_module,
    load_optimizer,
    load_random_state,
    replace_directory,
    save_module,
    save_optimizer,
    save_random_state,
    write_checkpoint,
)
from bakeoff.errors import BakeoffError


class Tied(nn.Module):
    """A language model in small: the head is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("steps", torch.tensor(2))
        self.register_buffer("cache", torch.ones(4), persistent=False)


def adamw(module: nn.Module) -> torch.optim.AdamW:
    first, *rest = module.parameters()
    return torch.optim.AdamW(
        [{"params": [first], "lr": 1e-2}, {"params": rest, "lr": 3e-3}],
        betas=(0.9, 0.95),
        weight_decay=0.1,
    )


def train(module: nn.Module, optimizer: torch.optim.Optimizer, *, seed: int) -> None:
    for step in range(3):
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed + step))
        optimizer.zero_grad()
        module(inputs).pow(2).mean().backward()
        optimizer.step()


def bits(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_training_continues_bitwise_from_a_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    optimizer = adamw(module)
    train(module, optimizer, seed=1)
    optimizer.param_groups[0]["lr"] = 0.1 + 0.2  # no short decimal
    save_module(tmp_path / "policy.safetensors", module)
    save_optimizer(tmp_path / "optimizer", optimizer)
    train(module, optimizer, seed=10)

    torch.manual_seed(99)
    resumed = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    resumed_optimizer = adamw(resumed)
    load_module(tmp_path / "policy.safetensors", resumed)
    load_optimizer(tmp_path / "optimizer", resumed_optimizer)
    assert resumed_optimizer.param_groups[0]["lr"] == 0.1 + 0.2
    train(resumed, resumed_optimizer, seed=10)

    for name, tensor in bits(module).items():
        assert torch.equal(tensor, bits(resumed)[name]), name
    # Without the moments the same three steps go elsewhere, so the above says something.
    forgetful = copy.deepcopy(module)
    load_module(tmp_path / "policy.safetensors", forgetful)
    train(forgetful, adamw(forgetful), seed=10)
    assert not torch.equal(forgetful[0].weight, module[0].weight)


def test_an_optimizer_that_has_not_stepped_can_be_saved(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    save_optimizer(tmp_path / "optimizer", adamw(module))
    optimizer = adamw(module)
    load_optimizer(tmp_path / "optimizer", optimizer)
    assert optimizer.state_dict()["state"] == {}


def test_a_tied_weight_is_saved_once_and_stays_tied(tmp_path: Path) -> None:
    module = Tied()
    save_module(tmp_path / "policy.safetensors", module)
    stored = load_file(tmp_path / "policy.safetensors")
    assert stored.keys() == {"embedding.weight", "steps"}  # the cache is not persistent
    other = Tied()
    other.steps.fill_(7)
    load_module(tmp_path / "policy.safetensors", other)
    assert torch.equal(other.head.weight, module.embedding.weight)
    assert other.head.weight is other.embedding.weight
    assert other.steps.item() == 2


def test_tensors_that_are_shared_are_neither_written_nor_read(tmp_path: Path) -> None:
    shared, module = nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    module[0] = shared
    save_module(tmp_path / "part.safetensors", module, shared=shared)
    assert load_file(tmp_path / "part.safetensors").keys() == {"1.weight", "1.bias"}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    load_module(tmp_path / "part.safetensors", module, shared=shared)
    assert not shared.weight.any()
    assert module[1].weight.any()


def test_a_transposed_weight_is_saved_too(tmp_path: Path) -> None:
    module = nn.Linear(3, 2, bias=False)
    module.weight = nn.Parameter(torch.arange(6.0).reshape(3, 2).T)
    save_module(tmp_path / "policy.safetensors", module)
    other = nn.Linear(3, 2, bias=False)
    load_module(tmp_path / "policy.safetensors", other)
    assert other.weight.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_the_file_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    save_module(path, nn.Linear(2, 2))
    before = nn.Linear(2, 2, bias=False)
    weight = before.weight.clone()
    with pytest.raises(BakeoffError) as caught:
        load_module(path, before)
    assert str(path) in str(caught.value) and "'bias'" in str(caught.value)
    assert torch.equal(before.weight, weight)


def test_the_file_of_a_wider_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    # A row of two would broadcast over the rows of a [3, 2] weight.
    save_module(path, nn.Linear(2, 1, bias=False))
    before = nn.Linear(2, 3, bias=False)
    with pytest.raises(BakeoffError, match="does not belong to this model"):
        load_module(path, before)


def test_random_state_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(5)
    save_random_state(tmp_path / "random.safetensors")
    expected = torch.rand(4)
    torch.manual_seed(6)
    load_random_state(tmp_path / "random.safetensors")
    assert torch.equal(torch.rand(4), expected)


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "policy"
    replace_directory(target, lambda path: (path / "a").write_text("old") and None)
    replace_directory(target, lambda path: (path / "b").write_text("new") and None)
    assert [(file.name, file.read_text()) for file in target.iterdir()] == [("b", "new")]
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]


def test_a_crash_while_writing_keeps_the_old_directory(tmp_path: Path) -> None:
    target = tmp_path / "policy"
    replace_directory(target, lambda path: (path / "a").write_text("old") and None)

    def crash(path: Path) -> None:
        (path / "a").write_text("half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        replace_directory(target, crash)
    assert (target / "a").read_text() == "old"
    # What the crash left is cleared by the next attempt of the same process.
    replace_directory(target, lambda path: (path / "a").write_text("new") and None)
    assert (target / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]


def test_only_the_newest_whole_checkpoint_counts(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    assert latest_checkpoint(checkpoints) is None

    def crash(path: Path) -> None:
        (path / "progress.json").write_text("{}")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(checkpoints, 5, crash)
    assert latest_checkpoint(checkpoints) is None
    for batch in (9, 10):
        write_checkpoint(checkpoints, batch, lambda path: (path / "x").write_text("1") and None)
    latest = latest_checkpoint(checkpoints)
    assert latest is not None and latest.name == "batch-00000010"
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(checkpoints, 20, crash)
    assert latest_checkpoint(checkpoints) == latest


def test_older_checkpoints_and_leftovers_of_crashes_are_dropped(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    (checkpoints / ".batch-00000002.77.tmp").mkdir(parents=True)
    for batch in (1, 3):
        write_checkpoint(checkpoints, batch, lambda path: (path / "x").write_text("1") and None)
    assert [path.name for path in checkpoints.iterdir()] == ["batch-00000003"]


def test_nothing_is_pickled(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    save_module(tmp_path / "policy.safetensors", module)
    save_optimizer(tmp_path / "optimizer", adamw(module))
    save_random_state(tmp_path / "random.safetensors")
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}
