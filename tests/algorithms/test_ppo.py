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


def with_steps(batch, ends_of_steps, values):
    """The batch with steps that end where they are told to, and with these rewards."""
    step_mask = torch.zeros_like(batch.response_mask)
    step_rewards = torch.zeros_like(batch.old_logprobs)
    for row, (ends, own) in enumerate(zip(ends_of_steps, values, strict=True)):
        step_mask[row, ends] = True
        step_rewards[row, ends] = torch.tensor(own)
    return replace(batch, step_mask=step_mask, step_rewards=step_rewards)


def test_process_rewards_stand_at_the_ends_of_the_steps(batch):
    """Without critic and KL an advantage is the sum of the rewards still to come, by hand."""
    batch = with_steps(
        replace(batch, old_values=torch.zeros_like(batch.old_values)),
        [[1, 4, 6], [2], [0, 3], [0], [5], [0, 1]],
        [[1.0, 0.5, 2.0], [3.0], [1.0, -1.0], [0.25], [0.0], [1.0, 4.0]],
    )
    config = PPOConfig(supervision="process", kl_coefficient=0)
    expected = torch.tensor(
        [
            [3.5, 3.5, 2.5, 2.5, 2.5, 2.0, 2.0],
            [3.0, 3.0, 3.0, 0, 0, 0, 0],
            [0.0, -1.0, -1.0, -1.0, 0, 0, 0],  # nothing comes after the last step
            [0.25, 0, 0, 0, 0, 0, 0],
            [0.0] * 7,
            [5.0, 4.0, 0, 0, 0, 0, 0],
        ]
    )
    credit = build(config).assign_credit(batch)
    assert torch.allclose(credit.advantages, expected)
    assert torch.allclose(credit.returns, expected)


def test_one_step_at_the_end_makes_process_supervision_outcome_supervision(batch):
    last = batch.response_mask.sum(dim=1) - 1
    batch = with_steps(batch, last[:, None].tolist(), batch.rewards[:, None].tolist())
    outcome, process = (
        build(PPOConfig(supervision=how, gae_lambda_policy=0.9, gamma=0.95)).assign_credit(batch)
        for how in ("outcome", "process")
    )
    assert torch.equal(process.advantages, outcome.advantages)
    assert torch.equal(process.returns, outcome.returns)


def test_process_supervision_does_not_read_the_outcome(batch):
    method = build(PPOConfig(supervision="process"))
    other = replace(batch, rewards=batch.rewards + 5, correct=~batch.correct)
    assert torch.equal(
        method.assign_credit(batch).advantages, method.assign_credit(other).advantages
    )


def test_the_kl_penalty_is_paid_at_every_token_of_a_step_too(batch):
    """A_0 = sum of the step rewards - beta * log pi(o)/pi_ref(o), as with an outcome."""
    batch = replace(batch, old_values=torch.zeros_like(batch.old_values))
    config = PPOConfig(supervision="process", kl_coefficient=0.3)
    log_ratio = ((batch.old_logprobs - batch.ref_logprobs) * batch.response_mask).sum(dim=1)
    expected = batch.step_rewards.sum(dim=1) - 0.3 * log_ratio
    found = build(config).assign_credit(batch).advantages[:, 0]
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("supervision", ["outcome", "process"])
def test_the_gradient_is_that_of_eq_1_on_the_rewards_of_eq_2(
    batch, moved, method_gradient, paper_gradient, supervision
):
    """arXiv:2402.03300v3 eq. 1 and 2 with GAE summed term by term, after updates too."""
    config = PPOConfig(
        supervision=supervision, kl_coefficient=0.3, gamma=0.9, gae_lambda_policy=0.8
    )

    def objective(rows):
        total = 0.0
        for index, row in enumerate(rows):
            length = len(row.old)
            rewards = [-0.3 * float(row.old[t] - row.ref[t]) for t in range(length)]
            if supervision == "outcome":
                rewards[-1] += row.reward
            else:
                rewards = [r + float(batch.step_rewards[index, t]) for t, r in enumerate(rewards)]
            values = [*batch.old_values[index, :length].tolist(), 0.0]
            deltas = [rewards[t] + 0.9 * values[t + 1] - values[t] for t in range(length)]
            advantages = torch.tensor(
                [
                    sum((0.9 * 0.8) ** (u - t) * deltas[u] for u in range(t, length))
                    for t in range(length)
                ]
            ).double()
            clipped = row.ratio.clamp(0.8, 1.2)
            surrogate = torch.minimum(row.ratio * advantages, clipped * advantages)
            total = total + surrogate.mean() / len(rows)
        return total

    expected = paper_gradient(objective, batch, moved)
    assert torch.allclose(method_gradient(config, batch, moved), expected, atol=1e-6)


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
