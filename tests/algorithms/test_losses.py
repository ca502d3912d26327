import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms.losses import (
    clip_fraction,
    clipped_squared_error,
    clipped_surrogate,
    kl_k1,
    kl_k3,
    squared_error,
)

logprob = st.floats(-20, 0)


@given(logprob, logprob)
def test_k3_is_never_negative(one, other):
    assert kl_k3(torch.tensor(one).double(), torch.tensor(other).double()).item() >= 0


@given(logprob)
def test_k3_is_zero_when_the_policies_agree(value):
    assert kl_k3(torch.tensor(value), torch.tensor(value)).item() == 0


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
    assert clipped_surrogate(*arguments, clip_epsilon=0.2).item() == pytest.approx(loss, abs=1e-5)
    assert clip_fraction(*arguments, clip_epsilon=0.2).item() == clipped


def test_the_clip_fraction_counts_where_the_gradient_is_gone():
    generator = torch.Generator().manual_seed(0)
    logprobs = torch.randn(500, generator=generator).requires_grad_()
    advantages = torch.randn(500, generator=generator)
    loss = clipped_surrogate(logprobs, torch.zeros(500), advantages, clip_epsilon=0.2)
    loss.sum().backward()
    gone = clip_fraction(logprobs, torch.zeros(500), advantages, clip_epsilon=0.2)
    assert torch.equal(logprobs.grad == 0, gone.bool())


def test_value_clip_takes_the_larger_error():
    # Value moved from 0 to 1 towards the return 2; clipped at 0.2 the error is (0.2 - 2)^2 / 2.
    arguments = (torch.tensor(1.0), torch.tensor(0.0), torch.tensor(2.0))
    loss = clipped_squared_error(*arguments, clip_epsilon=0.2)
    assert loss.item() == pytest.approx(1.62, abs=1e-6)
    assert squared_error(torch.tensor(1.0), torch.tensor(2.0)).item() == 0.5
