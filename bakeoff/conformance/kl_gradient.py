"""Does a method's KL term have the gradient of the estimate that the method says it uses?

A KL estimate that is unbiased as a value can have another gradient, or none: k1 inside the loss
has an expected gradient of 0, k3 inside the loss descends KL(pi_ref || pi_theta), k2 inside the
loss and k1 inside the reward descend KL(pi_theta || pi_ref), k2 and k3 inside the reward neither.
On a vocabulary this small every expectation is a sum.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from bakeoff.batch import Outputs, TokenBatch
from bakeoff.conformance.check import Check
from bakeoff.interfaces import Algorithm

LOGITS = (0.5, -0.3, 0.9, -1.2)  # of pi_theta, one token long
REFERENCE_LOGITS = (-0.4, 0.8, 0.1, 0.6)
# By the place in the group and whatever the token, so that rewards cancel from the expectation.
# Large, because a group's std that moves with the KL would bend its gradient; three, because the
# standardized rewards of two are +-1 whatever the KL.
REWARDS = (100.0, 0.0, 0.0)
TOLERANCE = 1e-2  # of the gradient's norm; float32 beside rewards of 100 leaves 1e-3
REVERSE, FORWARD = "KL(pi_theta || pi_ref)", "KL(pi_ref || pi_theta)"
_CLAIM = re.compile(r"\b(k[123])\b.*?\bin the (loss|reward)\b(?:.*?\bbeta ([\d.e+-]+))?")

# Of the log-ratio log(pi_theta / pi_ref), in nats.
ESTIMATORS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "k1": lambda log_ratio: log_ratio,
    "k2": lambda log_ratio: 0.5 * log_ratio**2,
    "k3": lambda log_ratio: (-log_ratio).expm1() + log_ratio,
}


def kl_gradient_is_the_claimed_one(algorithm: Algorithm, *, method: str) -> Check:
    """The expected gradient of the KL term, by enumeration, against that of the stated estimate.

    Whether there is a term is found by moving pi_ref, not by asking; what it should be is the
    arm's own word in ``conventions``. Where that names no known estimate, either divergence will
    do.
    """
    claim = _CLAIM.search(algorithm.conventions.get("kl", ""))
    stated = "" if claim is None else f"; it states {claim.group(0)!r}"
    passed, found = _judged(algorithm, claim)
    return Check(name=f"KL gradient ({method})", passed=passed, detail=found + stated)


def _judged(algorithm: Algorithm, claim: re.Match[str] | None) -> tuple[bool, str]:
    if not _depends_on_reference(algorithm):
        return claim is None, "no KL term"
    found = _expected_gradient(algorithm)
    if claim is None:
        return _divergence(found) is not None, f"descends {_described(found)}"
    estimator, place, beta = claim.groups()
    target = stated_gradient(estimator, place)
    if _is_nothing(target):
        # What is no gradient at all has no direction to compare.
        return _is_nothing(found / float(beta or 1)), f"descends {_described(found)}"
    coefficient = _coefficient(found, target)
    if coefficient is None:
        return False, f"descends {_described(found)}"
    # A reward is scaled by what the method makes of rewards; a loss is not.
    exact = place == "reward" or beta is None
    passed = exact or abs(coefficient - float(beta)) <= TOLERANCE * float(beta)
    return passed, f"descends {coefficient:.3g} x {_described(target)}"


def _described(gradient: Tensor) -> str:
    if _is_nothing(gradient):
        return "nothing: its expected gradient is 0"
    return _divergence(gradient) or "neither divergence"


def _is_nothing(gradient: Tensor) -> bool:
    return bool(gradient.norm() < 1e-3 * exact_gradients()[REVERSE].norm())


def _divergence(gradient: Tensor) -> str | None:
    exact = exact_gradients().items()
    return next((name for name, one in exact if _coefficient(gradient, one) is not None), None)


def _coefficient(found: Tensor, direction: Tensor) -> float | None:
    """How often `direction` goes into `found`; None where it points elsewhere, or the other way."""
    coefficient = (found @ direction / (direction @ direction)).item()
    rest = (found - coefficient * direction).norm()
    return coefficient if coefficient > 0 and rest <= TOLERANCE * found.norm() else None


def exact_gradients() -> dict[str, Tensor]:
    """Gradients of both divergences with respect to the logits, by autograd of the exact sums."""
    gradients = {}
    reference = _reference_logprobs()
    for divergence in (REVERSE, FORWARD):
        logits = torch.tensor(LOGITS, requires_grad=True)
        logprobs = logits.log_softmax(dim=0)
        one, other = (logprobs, reference) if divergence == REVERSE else (reference, logprobs)
        (gradients[divergence],) = torch.autograd.grad((one.exp() * (one - other)).sum(), logits)
    return gradients


def stated_gradient(estimator: str, place: str) -> Tensor:
    """[V] expected gradient of an estimate: through itself in a loss, through log pi in a reward.

    Under tokens that the policy has drawn; their own chances carry no gradient.
    """
    logits = torch.tensor(LOGITS, requires_grad=True)
    logprobs = logits.log_softmax(dim=0)
    estimate = ESTIMATORS[estimator](logprobs - _reference_logprobs())
    terms = estimate if place == "loss" else estimate.detach() * logprobs
    (gradient,) = torch.autograd.grad((logprobs.detach().exp() * terms).sum(), logits)
    return gradient


def _reference_logprobs() -> Tensor:
    return torch.tensor(REFERENCE_LOGITS).log_softmax(dim=0)


def _expected_gradient(algorithm: Algorithm) -> Tensor:
    """[V]: the mean over all groups, each by its chance, of the losses' gradients."""
    logits = torch.tensor(LOGITS, requires_grad=True)
    logprobs = logits.log_softmax(dim=0)
    losses = _losses(algorithm, logprobs, _reference_logprobs())
    size = len(REWARDS)
    chance = logprobs.detach().exp()[_tokens()].reshape(-1, size).prod(dim=1)
    expected = (losses * chance.repeat_interleave(size) / size).sum()
    if not expected.requires_grad:
        return torch.zeros(len(LOGITS))
    (gradient,) = torch.autograd.grad(expected, logits)
    return gradient


def _depends_on_reference(algorithm: Algorithm) -> bool:
    """Whether any loss changes when pi_ref does."""
    if not algorithm.plan.reference:
        return False
    logprobs = torch.tensor(LOGITS).log_softmax(dim=0)
    moved, still = (
        _losses(algorithm, logprobs, reference) for reference in (_reference_logprobs(), logprobs)
    )
    return not torch.equal(moved, still)


def _losses(algorithm: Algorithm, logprobs: Tensor, reference: Tensor) -> Tensor:
    """[N] policy losses of every group of tokens."""
    tokens = _tokens()
    batch = _batch(tokens)
    chosen = logprobs[tokens][:, None]
    batch = replace(batch, ref_logprobs=reference[tokens][:, None], old_logprobs=chosen.detach())
    credit = algorithm.assign_credit(batch)
    outputs = Outputs(logprobs=chosen, values=torch.zeros(chosen.shape))
    return algorithm.token_losses(batch, credit, outputs).policy[:, 0]


def _tokens() -> Tensor:
    """[N] the tokens of every possible group, group by group."""
    return torch.tensor(list(product(range(len(LOGITS)), repeat=len(REWARDS)))).flatten()


def _batch(tokens: Tensor) -> TokenBatch:
    rows = len(tokens)
    return TokenBatch(
        input_ids=torch.stack([torch.zeros_like(tokens), tokens], dim=1),
        attention_mask=torch.ones(rows, 2, dtype=torch.bool),
        response_mask=torch.ones(rows, 1, dtype=torch.bool),
        groups=torch.arange(rows) // len(REWARDS),
        correct=torch.zeros(rows, dtype=torch.bool),
        rewards=torch.tensor(REWARDS).repeat(rows // len(REWARDS)),
        truncated=torch.zeros(rows, dtype=torch.bool),
        step_rewards=torch.zeros(rows, 1),
        step_mask=torch.ones(rows, 1, dtype=torch.bool),
        sampler_logprobs=torch.zeros(rows, 1),
        old_values=torch.zeros(rows, 1),
    )
