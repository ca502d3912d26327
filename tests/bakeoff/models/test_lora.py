import copy
import importlib.util

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from bakeoff.errors import ConfigError
from bakeoff.models.lora import add_adapter, merged_copy, sharing_copy

pytest.importorskip("peft")

TOKENS = torch.arange(12)[None]


def adapt(model, *, rank=4, alpha=8.0, seed=0):
    add_adapter(model, rank=rank, alpha=alpha, seed=seed)
    return model


def trained(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def disturb(model):
    torch.manual_seed(1)
    for parameter in trained(model).values():
        parameter.data += 0.1 * torch.randn_like(parameter)


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def test_every_linear_layer_but_the_head_is_adapted_and_nothing_else_trains(policy):
    linear = {n for n, m in policy.model.named_modules() if isinstance(m, nn.Linear)} - {"lm_head"}
    adapt(policy.model)
    assert {name.split(".lora_")[0] for name in trained(policy.model)} == linear
    # q, k, v and o are 64 x 64, gate and up 64 x 192, down 192 x 64; two layers, rank 4.
    numbers = sum(p.numel() for p in trained(policy.model).values())
    assert numbers == 2 * 4 * (4 * (64 + 64) + 3 * (64 + 192))


def test_fresh_adapters_change_nothing(policy):
    before = logits(policy.model)
    assert torch.equal(logits(adapt(policy.model)), before)


def test_fresh_adapters_are_a_function_of_their_seed_and_of_nothing_drawn_before(policy):
    def drawn(seed, global_seed):
        torch.manual_seed(global_seed)
        model = adapt(copy.deepcopy(policy.model), seed=seed)
        after = torch.rand(1)
        return [p.clone() for p in trained(model).values()], after

    (one, after), (other, _), (third, _) = drawn(0, 5), drawn(0, 6), drawn(1, 5)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, third, strict=True))
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)


def test_a_sharing_copy_holds_the_same_tensors_and_keeps_its_own_layers(policy):
    base = sharing_copy(policy.model)
    there = {id(p) for p in policy.model.parameters()}
    assert {id(p) for p in base.parameters()} == there
    before = logits(base)
    disturb(adapt(policy.model))
    assert torch.equal(logits(base), before)
    assert not torch.allclose(logits(policy.model), before)
    # And it is no copy: a change of the weights is one of both.
    policy.model.get_input_embeddings().weight.data.mul_(2)
    assert not torch.allclose(logits(base), before)


def test_a_merged_copy_is_the_sum_written_out(policy):
    start = copy.deepcopy(policy.model)
    disturb(adapt(policy.model, rank=3, alpha=6.0))
    merged = merged_copy(policy.model)
    own = dict(policy.model.named_parameters())
    for name, weight in merged.named_parameters():
        expected = start.get_parameter(name)
        prefix = name.removesuffix(".weight")
        if f"{prefix}.lora_A.default.weight" in own:
            a, b = (own[f"{prefix}.lora_{side}.default.weight"] for side in "AB")
            expected = expected + 6.0 / 3 * b @ a
        assert torch.allclose(weight, expected, atol=1e-6), name
    assert torch.allclose(logits(merged), logits(policy.model), atol=1e-5)


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")  # peft says that it sees to it
def test_a_layer_that_keeps_its_weight_transposed_is_merged_as_it_is_kept():
    config = GPT2Config(n_embd=16, n_head=2, n_layer=1, n_positions=16, vocab_size=32)
    model = GPT2LMHeadModel(config).eval()
    disturb(adapt(model))
    assert torch.allclose(logits(merged_copy(model)), logits(model), atol=1e-5)


def test_without_peft_the_refusal_says_what_to_install(policy, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'bakeoff\[lora\]'"):
        adapt(policy.model)
