"""Table 10 of DeepSeekMath (arXiv:2402.03300v3): minus the gradient is weight x coefficient."""

from dataclasses import replace

import pytest
import torch

from algorithms import PRESETS
from algorithms.configs import GRPOConfig, OnlineRFTConfig, PPOConfig, RFTConfig, SFTConfig
from algorithms.registry import build
from bakeoff.aggregation import loss_weights
from bakeoff.batch import Credit, Outputs, TokenBatch
from bakeoff.config import Aggregation
from bakeoff.interfaces import Algorithm, Source


def gradient_coefficient(
    algorithm: Algorithm, batch: TokenBatch
) -> tuple[torch.Tensor, torch.Tensor, Credit]:
    """GC of eq. 5 by autograd, the weights 1/(N |o|), and the credit, at pi_old = pi_theta."""
    credit = algorithm.assign_credit(batch)
    weights = loss_weights(
        batch.response_mask, credit.keep, Aggregation.SEQUENCE_MEAN, max_response_tokens=7
    )
    logprobs = batch.old_logprobs.clone().requires_grad_()
    outputs = Outputs(logprobs=logprobs, values=batch.old_values)
    losses = algorithm.token_losses(batch, credit, outputs)
    (losses.policy * weights).sum().backward()
    return -logprobs.grad / weights, weights, credit


def test_sft_coefficient_is_one(batch):
    coefficient, weights, _ = gradient_coefficient(build(SFTConfig()), batch)
    assert torch.allclose(coefficient[weights > 0], torch.ones(24))


@pytest.mark.parametrize("config", [RFTConfig(), OnlineRFTConfig()])
def test_rft_coefficient_is_the_indicator_of_eq_10(batch, config):
    coefficient, weights, _ = gradient_coefficient(build(config), batch)
    assert torch.allclose(coefficient[weights > 0], torch.ones(14))
    assert not weights[~batch.correct].any()


def test_rejected_rollouts_leave_the_denominator(batch):
    _, weights, _ = gradient_coefficient(build(OnlineRFTConfig()), batch)
    assert torch.allclose(weights.sum(dim=1)[batch.correct], torch.tensor(1 / 3))


def test_ppo_coefficient_is_the_advantage_of_eq_18(batch):
    coefficient, weights, credit = gradient_coefficient(build(PPOConfig()), batch)
    assert torch.allclose(coefficient[weights > 0], credit.advantages[weights > 0], atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.04, 0.5])
def test_grpo_coefficient_is_eq_21(batch, beta):
    algorithm = build(GRPOConfig(kl_coefficient=beta))
    coefficient, weights, credit = gradient_coefficient(algorithm, batch)
    ratio = torch.exp(batch.ref_logprobs - batch.old_logprobs)
    expected = credit.advantages + beta * (ratio - 1)
    assert torch.allclose(coefficient[weights > 0], expected[weights > 0], atol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_no_gradient_leaves_the_response(batch, name):
    algorithm = build(PRESETS[name])
    credit = algorithm.assign_credit(batch)
    assert not credit.advantages[~batch.response_mask].any()
    assert not credit.advantages.requires_grad


@pytest.mark.parametrize("config", [GRPOConfig(), PPOConfig()])
def test_clip_fraction_is_zero_at_the_first_update(batch, config):
    algorithm = build(config)
    credit = algorithm.assign_credit(batch)
    outputs = Outputs(logprobs=batch.old_logprobs, values=batch.old_values)
    assert not algorithm.token_losses(batch, credit, outputs).metrics["clip_fraction"].any()


@pytest.mark.parametrize("config", [GRPOConfig(kl_coefficient=0), PPOConfig(kl_coefficient=0)])
def test_without_kl_no_reference_is_asked_for_or_read(batch, config):
    algorithm = build(config)
    assert not algorithm.plan.reference
    batch = replace(batch, ref_logprobs=None)
    credit = algorithm.assign_credit(batch)
    algorithm.token_losses(
        batch, credit, Outputs(logprobs=batch.old_logprobs, values=batch.old_values)
    )


def test_offline_and_online_rft_differ_only_in_who_samples(batch):
    offline, online = build(RFTConfig()), build(OnlineRFTConfig())
    assert offline.plan.source is Source.INITIAL_POLICY
    assert online.plan.source is Source.CURRENT_POLICY
    for method in (offline, online):
        credit = method.assign_credit(batch)
        losses = method.token_losses(batch, credit, Outputs(logprobs=batch.old_logprobs))
        assert torch.equal(
            losses.policy, -batch.old_logprobs * (batch.correct[:, None] & batch.response_mask)
        )


def test_a_missing_input_is_named(batch):
    with pytest.raises(ValueError, match="ref_logprobs is missing"):
        build(PPOConfig()).assign_credit(replace(batch, ref_logprobs=None))
