from dataclasses import replace

import pytest
import torch

from algorithms.configs import PPOConfig
from algorithms.registry import build
from bakeoff.batch import Outputs


def test_kl_in_the_reward_telescopes_to_the_sequence_log_ratio(batch):
    """With gamma = lambda = 1 and V = 0, A_0 = R - beta * log pi(o)/pi_ref(o)  (eq. 2)."""
    batch = replace(batch, old_values=torch.zeros_like(batch.old_values))
    credit = build(PPOConfig(kl_coefficient=0.3)).assign_credit(batch)
    log_ratio = ((batch.old_logprobs - batch.ref_logprobs) * batch.response_mask).sum(dim=1)
    expected = batch.rewards - 0.3 * log_ratio
    assert torch.allclose(credit.advantages[:, 0], expected, atol=1e-5)


def test_lambdas_are_decoupled(batch):
    both = build(PPOConfig(gae_lambda_policy=0.5, gae_lambda_critic=0.5)).assign_credit(batch)
    critic_only = build(PPOConfig(gae_lambda_critic=0.5)).assign_credit(batch)
    plain = build(PPOConfig()).assign_credit(batch)
    assert torch.equal(critic_only.advantages, plain.advantages)
    assert torch.equal(critic_only.returns, both.returns)
    assert not torch.equal(critic_only.returns, plain.returns)


def test_returns_at_lambda_one_do_not_depend_on_the_critic(batch):
    one = build(PPOConfig()).assign_credit(batch).returns
    other = build(PPOConfig()).assign_credit(replace(batch, old_values=batch.old_values + 3))
    assert torch.allclose(one, other.returns, atol=1e-5)


def test_value_loss_without_clip_is_half_the_squared_error(batch):
    algorithm = build(PPOConfig(value_clip_epsilon=None))
    credit = algorithm.assign_credit(batch)
    values = batch.old_values + 1
    losses = algorithm.token_losses(
        batch, credit, Outputs(logprobs=batch.old_logprobs, values=values)
    )
    assert torch.allclose(losses.critic, 0.5 * (values - credit.returns) ** 2)


def test_whitening_changes_scale_and_not_order(batch):
    plain = build(PPOConfig()).assign_credit(batch).advantages[batch.response_mask]
    white = build(PPOConfig(whiten_advantages=True)).assign_credit(batch)
    white = white.advantages[batch.response_mask]
    assert torch.equal(plain.argsort(), white.argsort())
    assert white.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_plan_asks_for_the_critic_it_describes():
    plan = build(PPOConfig(critic="shared", critic_warmup_batches=3)).plan
    assert plan.critic is not None
    assert plan.critic.shared_trunk
    assert plan.critic.warmup_batches == 3
