from dataclasses import replace

import pytest
import torch

from algorithms.configs import GRPOConfig
from algorithms.registry import build

REWARDS = torch.tensor([1.0, -0.5, 0.25, 0.0, 2.0, 0.5])


def eq_3(rows, advantages, *, low, high, beta):
    """arXiv:2402.03300v3 eq. 3 and 4: the mean over rollouts of their token means."""
    total = 0.0
    for row, advantage in zip(rows, advantages, strict=True):
        clipped = row.ratio.clamp(1 - low, 1 + high)
        surrogate = torch.minimum(row.ratio * advantage, clipped * advantage)
        inverse = torch.exp(row.ref - row.logprobs)
        kl = inverse - torch.log(inverse) - 1
        total = total + (surrogate - beta * kl).mean() / len(rows)
    return total


def outcome_advantages(rows):
    found = []
    for row in rows:
        group = [other.reward for other in rows if other.group == row.group]
        mean = sum(group) / len(group)
        std = (sum((reward - mean) ** 2 for reward in group) / len(group)) ** 0.5
        found.append((row.reward - mean) / (std + 1e-6))
    return found


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("high", [None, 0.5])
def test_the_gradient_is_that_of_eq_3_after_updates_too(
    batch, moved, method_gradient, paper_gradient, beta, high
):
    batch = replace(batch, rewards=REWARDS)
    config = GRPOConfig(kl_coefficient=beta, clip_epsilon_high=high)

    def objective(rows):
        advantages = outcome_advantages(rows)
        return eq_3(rows, advantages, low=0.2, high=0.2 if high is None else high, beta=beta)

    expected = paper_gradient(objective, batch, moved)
    assert torch.allclose(method_gradient(config, batch, moved), expected, atol=1e-6)
    # Ratios of a third to three: some gradients are clipped away and some are not.
    if beta == 0:
        assert (expected == 0)[batch.response_mask].any()
        assert expected[batch.response_mask].any()


def test_the_process_gradient_is_that_of_eq_3_with_steps_to_go(
    batch, moved, method_gradient, paper_gradient
):
    """Section 4.1.3, written out with the list of every group's step rewards."""

    def objective(rows):
        advantages = []
        for index, row in enumerate(rows):
            rewards = [
                batch.step_rewards[other][batch.step_mask[other]].double()
                for other in range(len(rows))
                if rows[other].group == row.group
            ]
            pooled = torch.cat(rewards)
            mean, std = pooled.mean(), pooled.std(correction=0)
            ends = batch.step_mask[index].nonzero()[:, 0].tolist()
            standardized = [
                (float(batch.step_rewards[index, end]) - mean) / (std + 1e-6) for end in ends
            ]
            advantages.append(
                torch.tensor(
                    [
                        sum(r for r, end in zip(standardized, ends, strict=True) if end >= token)
                        for token in range(len(row.old))
                    ]
                ).double()
            )
        return eq_3(rows, advantages, low=0.2, high=0.2, beta=0.04)

    expected = paper_gradient(objective, batch, moved)
    found = method_gradient(GRPOConfig(supervision="process"), batch, moved)
    assert torch.allclose(found, expected, atol=1e-6)


def test_one_step_an_output_makes_process_supervision_outcome_supervision_exactly(batch):
    last = batch.response_mask.sum(dim=1) - 1
    step_mask = torch.zeros_like(batch.response_mask)
    step_mask[torch.arange(6), last] = True
    batch = replace(
        batch, rewards=REWARDS, step_mask=step_mask, step_rewards=REWARDS[:, None] * step_mask
    )
    outcome = build(GRPOConfig()).assign_credit(batch)
    process = build(GRPOConfig(supervision="process")).assign_credit(batch)
    assert torch.equal(process.advantages, outcome.advantages)


def test_algorithm_1_is_in_the_plan_alone(batch):
    iterative = build(
        GRPOConfig(
            iteration_batches=7, reset_reference=True, refit_reward_model=True, replay_share=0.25
        )
    )
    iteration = iterative.plan.iteration
    assert (iteration.batches, iteration.replay_share) == (7, 0.25)
    assert iteration.reset_reference and iteration.refit_reward_model
    plain = build(GRPOConfig())
    assert plain.plan == replace(iterative.plan, iteration=None)
    assert torch.equal(
        iterative.assign_credit(batch).advantages, plain.assign_credit(batch).advantages
    )


def test_without_a_reference_there_is_none_to_reset():
    plan = build(GRPOConfig(iteration_batches=2, reset_reference=True, kl_coefficient=0)).plan
    assert not plan.reference
    assert not plan.iteration.reset_reference
