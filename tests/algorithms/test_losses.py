import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms.losses import (
    Clip,
    add_kl,
    clip_fraction,
    clipped_squared_error,
    clipped_surrogate,
    kl_k1,
    kl_k2,
    kl_k3,
    squared_error,
)
from bakeoff.batch import Outputs, TokenLosses

logprob = st.floats(-20, 0)


@pytest.mark.parametrize("estimate", [kl_k2, kl_k3])
@given(logprob, logprob)
def test_k2_and_k3_are_never_negative(estimate, one, other):
    assert estimate(torch.tensor(one).double(), torch.tensor(other).double()).item() >= 0


@pytest.mark.parametrize("estimate", [kl_k1, kl_k2, kl_k3])
@given(logprob)
def test_every_estimate_is_zero_when_the_policies_agree(estimate, value):
    assert estimate(torch.tensor(value), torch.tensor(value)).item() == 0


def test_k1_and_k3_are_unbiased_for_the_kl_of_an_exact_distribution():
    policy = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    reference = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    exact = (policy * (policy / reference).log()).sum().item()
    for estimate in (kl_k1, kl_k3):
        mean = (policy * estimate(policy.log(), reference.log())).sum().item()
        assert mean == pytest.approx(exact, abs=1e-12)


def test_k3_by_hand():
    # pi_ref / pi_theta = 2: 2 - log 2 - 1.
    value = kl_k3(torch.tensor(math.log(0.25)), torch.tensor(math.log(0.5)))
    assert value.item() == pytest.approx(1 - math.log(2), abs=1e-6)


def test_k2_by_hand():
    # pi_ref / pi_theta = 2: (log 2)^2 / 2.
    value = kl_k2(torch.tensor(math.log(0.25)), torch.tensor(math.log(0.5)))
    assert value.item() == pytest.approx(math.log(2) ** 2 / 2, abs=1e-6)


@given(logprob, logprob)
def test_the_gradient_of_k2_is_k1_times_that_of_the_log_probability(one, other):
    logprobs = torch.tensor(one, dtype=torch.float64, requires_grad=True)
    reference = torch.tensor(other, dtype=torch.float64)
    kl_k2(logprobs, reference).backward()
    assert logprobs.grad.item() == pytest.approx(one - other)


def test_on_policy_k2_has_the_gradient_of_the_reverse_kl_and_k3_of_the_forward_kl():
    """The expectation over pi_theta of the estimate's gradient, against autograd of the KL."""
    logits = torch.tensor([0.5, -0.3, 0.2], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    policy = logits.softmax(0)

    def on_policy(estimate):
        loss = (policy.detach() * estimate(logits.log_softmax(0), reference.log())).sum()
        return torch.autograd.grad(loss, logits)[0]

    reverse = (policy * (policy / reference).log()).sum()
    forward = (reference * (reference / policy).log()).sum()
    exact = [torch.autograd.grad(kl, logits, retain_graph=True)[0] for kl in (reverse, forward)]
    assert torch.allclose(on_policy(kl_k2), exact[0], atol=1e-12)
    assert torch.allclose(on_policy(kl_k3), exact[1], atol=1e-12)
    assert not torch.allclose(exact[0], exact[1], atol=1e-2)


def test_k3_as_a_reward_descends_the_reverse_kl_less_the_forward_kl_of_a_single_token():
    """The score-function gradient of the detached estimate, against autograd of both."""
    logits = torch.tensor([0.5, -0.3, 0.2], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    policy = logits.softmax(0)
    penalty = kl_k3(policy.log(), reference.log()).detach()
    (found,) = torch.autograd.grad((policy * penalty).sum(), logits, retain_graph=True)
    reverse = (policy * (policy / reference).log()).sum()
    forward = (reference * (reference / policy).log()).sum()
    (expected,) = torch.autograd.grad(reverse - forward, logits)
    assert torch.allclose(found, expected, atol=1e-12)
    assert expected.abs().max() > 1e-3


def test_a_kl_is_added_to_every_token_with_its_coefficient(batch):
    losses = TokenLosses(
        policy=torch.ones_like(batch.old_logprobs), metrics={"clip_fraction": batch.old_logprobs}
    )
    outputs = Outputs(logprobs=batch.old_logprobs)
    added = add_kl(losses, batch, outputs, estimator=kl_k1, coefficient=0.5)
    assert torch.allclose(added.policy, 1 + 0.5 * (batch.old_logprobs - batch.ref_logprobs))
    assert added.metrics.keys() == {"clip_fraction", "kl_to_reference"}
    assert add_kl(losses, batch, outputs, estimator=kl_k1, coefficient=0) is losses


@pytest.mark.parametrize(
    ("clip", "bounds", "text"),
    [
        (Clip.of(0.2), (0.2, 0.2), "0.2"),
        (Clip.of(0.2, 0.28), (0.2, 0.28), "0.2/0.28"),
        (Clip.of(None), (math.inf, math.inf), "none"),
        (Clip.of(3e-4, 4e-4), (3e-4, 4e-4), "0.0003/0.0004"),
    ],
)
def test_a_clip_says_its_bounds(clip, bounds, text):
    assert (clip.low, clip.high) == bounds
    assert str(clip) == text


def test_without_a_clip_the_surrogate_is_ratio_times_advantage():
    logprobs = torch.tensor([-3.0, 0.0, 4.0])
    advantages = torch.tensor([-1.0, 2.0, 3.0])
    loss = clipped_surrogate(logprobs, torch.zeros(3), advantages, clip=Clip.of(None))
    assert torch.allclose(loss, -logprobs.exp() * advantages)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [
        (1.5, 1.0, -1.2, 1.0),  # gain is capped
        (1.5, -1.0, 1.5, 0.0),  # loss is not
        (0.5, 1.0, -0.5, 0.0),
        (0.5, -1.0, 0.8, 1.0),
        (1.1, 2.0, -2.2, 0.0),
    ],
)
def test_clipped_surrogate_by_hand(ratio, advantage, loss, clipped):
    arguments = (torch.tensor(math.log(ratio)), torch.tensor(0.0), torch.tensor(advantage))
    assert clipped_surrogate(*arguments, clip=Clip.of(0.2)).item() == pytest.approx(loss, abs=1e-5)
    assert clip_fraction(*arguments, clip=Clip.of(0.2)).item() == clipped


@pytest.mark.parametrize("clip", [Clip.of(0.2), Clip.of(0.2, 0.5), Clip.of(None)], ids=str)
def test_the_clip_fraction_counts_where_the_gradient_is_gone(clip):
    generator = torch.Generator().manual_seed(0)
    logprobs = torch.randn(500, generator=generator).requires_grad_()
    advantages = torch.randn(500, generator=generator)
    loss = clipped_surrogate(logprobs, torch.zeros(500), advantages, clip=clip)
    loss.sum().backward()
    gone = clip_fraction(logprobs, torch.zeros(500), advantages, clip=clip)
    assert torch.equal(logprobs.grad == 0, gone.bool())


def test_value_clip_takes_the_larger_error():
    # Value moved from 0 to 1 towards the return 2; clipped at 0.2 the error is (0.2 - 2)^2 / 2.
    arguments = (torch.tensor(1.0), torch.tensor(0.0), torch.tensor(2.0))
    loss = clipped_squared_error(*arguments, clip_epsilon=0.2)
    assert loss.item() == pytest.approx(1.62, abs=1e-6)
    assert squared_error(torch.tensor(1.0), torch.tensor(2.0)).item() == 0.5
