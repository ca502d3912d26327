import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from algorithms.configs import PPOConfig
from algorithms.registry import build
from bakeoff.aggregation import loss_weights
from bakeoff.batch import collate
from bakeoff.config import Aggregation, OptimizerConfig, SamplingConfig, TrainingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.engine.passes import TrainingPasses
from bakeoff.errors import ConfigError
from bakeoff.interfaces import NoiseAddress
from bakeoff.memory.attribution import AllocationTracker
from bakeoff.rollouts.sampler import TransformersSampler

CONFIG = PPOConfig(critic_head_init="normal")


def gradients(policy, batch, **training):
    """Of policy and critic, of one update."""
    copied = replace(policy, model=copy.deepcopy(policy.model))
    algorithm = build(CONFIG)
    engine = LocalEngine(
        copied,
        algorithm.plan,
        optimizer=OptimizerConfig(max_grad_norm=1e30),
        training=TrainingConfig(**training),
        temperature=1.0,
        autocast_dtype=None,
        init_seed=0,
    )
    annotated = engine.annotate(batch)
    credit = algorithm.assign_credit(annotated)
    weights = loss_weights(
        batch.response_mask, credit.keep, Aggregation.SEQUENCE_MEAN, max_response_tokens=12
    )
    engine.update(annotated, credit, weights, algorithm.token_losses)
    models = {"policy": engine.model, "critic": engine._critic}
    found = {
        f"{role}.{name}": p.grad
        for role, model in models.items()
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    return found, copied


def relative_error(one, other):
    return ((one - other).abs().max() / other.abs().max().clamp(min=1e-8)).item()


@pytest.fixture
def batch(rollouts):
    return collate(rollouts, pad_token_id=0)


def test_checkpointed_activations_change_no_bit_of_a_gradient(policy, batch):
    plain, _ = gradients(policy, batch)
    again, _ = gradients(policy, batch, activation_checkpointing=True)
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation_checkpointing": True},
        {"lora_rank": 4},
        {"lora_rank": 4, "activation_checkpointing": True},
        {"micro_batch_tokens": 64},
    ],
)
def test_compiled_layers_give_the_same_gradient(policy, batch, options):
    if "lora_rank" in options:
        pytest.importorskip("peft")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    plain, _ = gradients(policy, batch, **options)
    compiled, _ = gradients(policy, batch, compile_model=True, **options)
    assert plain.keys() == compiled.keys()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    for name in plain:
        assert relative_error(compiled[name], plain[name]) < 1e-5, name


@pytest.mark.slow
def test_compiled_layers_are_not_the_samplers(policy, prompts, batch):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    _, trained = gradients(policy, batch, compile_model=True)
    compiled_so_far = torch._dynamo.utils.counters["frames"]["total"]
    assert compiled_so_far > 0
    sampler = TransformersSampler(trained, autocast_dtype=None)
    sampling = SamplingConfig(max_response_tokens=8)
    sampler.sample(prompts, group_size=2, sampling=sampling, noise=NoiseAddress(seed=0, batch=0))
    assert torch._dynamo.utils.counters["frames"]["total"] == compiled_so_far
    assert not any("forward" in vars(module) for module in trained.model.modules())


@pytest.mark.slow
def test_a_watched_update_is_not_compiled_and_the_next_one_is(policy, batch):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    plain, _ = gradients(policy, batch)
    with AllocationTracker():
        watched, _ = gradients(policy, batch, compile_model=True)
    assert all(torch.equal(watched[name], plain[name]) for name in plain)
    gradients(policy, batch, compile_model=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


@pytest.mark.parametrize("setting", ["activation_checkpointing", "compile_model"])
def test_a_model_without_known_layers_is_refused_before_the_first_update(setting):
    with pytest.raises(ConfigError, match="no decoder layers of Linear"):
        TrainingPasses(TrainingConfig(**{setting: True}), [nn.Linear(2, 2), None])
