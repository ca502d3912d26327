"""The check's own gradients by hand, and the faults that go by the name of a KL penalty."""

from dataclasses import replace

import pytest
import torch

from algorithms import PRESETS
from algorithms.configs import (
    DrGRPOConfig,
    GRPOConfig,
    PPOConfig,
    ReinforcePlusPlusConfig,
    RLOOConfig,
)
from algorithms.grpo import GRPO
from algorithms.losses import kl_k1, kl_k2, kl_k3
from algorithms.ppo import PPO
from algorithms.registry import build
from bakeoff.conformance.kl_gradient import (
    ESTIMATORS,
    FORWARD,
    LOGITS,
    REFERENCE_LOGITS,
    REVERSE,
    exact_gradients,
    kl_gradient_is_the_claimed_one,
    stated_gradient,
)

POLICY = torch.tensor(LOGITS).softmax(dim=0)
REFERENCE = torch.tensor(REFERENCE_LOGITS).softmax(dim=0)


def checked(algorithm):
    return kl_gradient_is_the_claimed_one(algorithm, method="m")


def test_the_gradients_of_both_divergences_in_closed_form():
    log_ratio = (POLICY / REFERENCE).log()
    reverse = POLICY * (log_ratio - (POLICY * log_ratio).sum())
    exact = exact_gradients()
    assert torch.allclose(exact[REVERSE], reverse, atol=1e-6)
    assert torch.allclose(exact[FORWARD], POLICY - REFERENCE, atol=1e-6)


def test_what_each_estimate_descends_by_its_place():
    exact = exact_gradients()
    expected = {
        ("k1", "loss"): torch.zeros(4),
        ("k2", "loss"): exact[REVERSE],
        ("k3", "loss"): exact[FORWARD],
        ("k1", "reward"): exact[REVERSE],
        # E[k3] is the reverse KL, so its two halves sum to that gradient.
        ("k3", "reward"): exact[REVERSE] - exact[FORWARD],
    }
    for (estimator, place), gradient in expected.items():
        assert torch.allclose(stated_gradient(estimator, place), gradient, atol=1e-6)


@pytest.mark.parametrize(("name", "ours"), [("k1", kl_k1), ("k2", kl_k2), ("k3", kl_k3)])
def test_the_checks_estimates_are_the_methods(name, ours):
    twin = ESTIMATORS[name]((POLICY / REFERENCE).log())
    assert torch.allclose(twin, ours(POLICY.log(), REFERENCE.log()), atol=1e-6)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (GRPOConfig(kl_coefficient=0.3), f"descends 0.3 x {FORWARD}"),
        (DrGRPOConfig(kl_coefficient=0.1), f"descends 0.1 x {FORWARD}"),
        (PPOConfig(kl_coefficient=0.04), f"descends 0.04 x {REVERSE}"),
        (RLOOConfig(kl_coefficient=0.04), f"descends 0.04 x {REVERSE}"),
        (ReinforcePlusPlusConfig(group_baseline=True, group_size=4), f"descends 0.01 x {REVERSE}"),
        (GRPOConfig(kl_coefficient=0), "no KL term"),
    ],
)
def test_a_sound_penalty_passes_by_name_and_size(config, told):
    check = checked(build(config))
    assert check.passed
    assert check.detail.startswith(told)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_the_penalty_that_it_states(name):
    assert checked(build(PRESETS[name])).passed


class WithAnotherPenalty(GRPO):
    """States k3 in the loss and does something else."""

    def __init__(self, config, penalty):
        super().__init__(config)
        self.penalty = penalty

    def token_losses(self, batch, credit, outputs):
        kept = super().token_losses(replace(batch, ref_logprobs=outputs.logprobs), credit, outputs)
        return replace(
            kept, policy=kept.policy + self.penalty(outputs.logprobs, batch.ref_logprobs)
        )


@pytest.mark.parametrize(
    ("penalty", "told"),
    [
        (lambda new, ref: 0.04 * kl_k1(new, ref), "descends nothing"),
        (lambda new, ref: 0.04 * kl_k2(new, ref), f"descends {REVERSE}"),
        (lambda new, ref: -0.04 * kl_k3(new, ref), "descends neither"),  # maximises it
        (lambda new, ref: 0.01 * kl_k3(new, ref), "descends 0.01 x"),  # divided once more
        (lambda new, ref: 0.0 * ref, "no KL term"),
    ],
)
def test_a_loss_that_does_not_do_what_it_states_fails(penalty, told):
    check = checked(WithAnotherPenalty(GRPOConfig(kl_coefficient=0.04), penalty))
    assert not check.passed
    assert check.detail.startswith(told)
    assert "it states 'k3 in the loss, beta 0.04'" in check.detail


class RewardsTheDistance(PPO):
    """The penalty with the wrong sign."""

    def _token_rewards(self, batch):
        swapped = replace(batch, old_logprobs=batch.ref_logprobs, ref_logprobs=batch.old_logprobs)
        return super()._token_rewards(swapped)


def test_a_reward_that_grows_with_the_distance_fails():
    assert not checked(RewardsTheDistance(PPOConfig())).passed


class Unstated(GRPO):
    conventions = {"advantage": "", "loss": "", "kl": "ask the author"}  # noqa: RUF012


class UnstatedK1(WithAnotherPenalty):
    conventions = Unstated.conventions


def test_an_arm_that_names_no_estimate_has_to_descend_some_divergence():
    assert checked(Unstated(GRPOConfig())).passed
    k1 = UnstatedK1(GRPOConfig(), lambda new, ref: 0.04 * kl_k1(new, ref))
    assert not checked(k1).passed
