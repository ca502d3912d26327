"""A batch with every field filled, and two ways to the same gradient.

The methods' losses go through `method_gradient`. What they are compared with is written out in
each test, one rollout at a time, from the paper: `rows` gives the unpadded numbers for that.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from algorithms.configs import MethodConfig
from algorithms.registry import build
from bakeoff.aggregation import loss_weights
from bakeoff.batch import Outputs, TokenBatch

ROLLOUTS, TOKENS = 6, 7
LIMIT = 10  # max_response_tokens

MethodGradient = Callable[..., Tensor]


@pytest.fixture
def batch() -> TokenBatch:
    """Two groups of three, ragged lengths, every field filled."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([7, 3, 5, 1, 6, 2])
    mask = torch.arange(TOKENS)[None] < lengths[:, None]

    def noise() -> torch.Tensor:
        return torch.randn(ROLLOUTS, TOKENS, generator=generator)

    correct = torch.tensor([True, False, True, False, False, True])
    step_mask = torch.zeros(ROLLOUTS, TOKENS, dtype=torch.bool)
    step_mask[torch.arange(ROLLOUTS), lengths - 1] = True
    step_mask[:, 0] = True
    old_logprobs = -noise().abs() * mask
    return TokenBatch(
        input_ids=torch.zeros(ROLLOUTS, TOKENS, dtype=torch.int64),
        attention_mask=mask,
        response_mask=mask,
        groups=torch.tensor([0, 0, 0, 1, 1, 1]),
        correct=correct,
        rewards=correct.float(),
        truncated=torch.zeros(ROLLOUTS, dtype=torch.bool),
        step_rewards=noise() * step_mask,
        step_mask=step_mask,
        sampler_logprobs=old_logprobs,
        old_logprobs=old_logprobs,
        ref_logprobs=-noise().abs() * mask,
        old_values=noise() * mask,
    )


@pytest.fixture
def moved(batch: TokenBatch) -> Tensor:
    """[N, T] log-probabilities after some updates: ratios between a third and three."""
    generator = torch.Generator().manual_seed(1)
    change = torch.empty(ROLLOUTS, TOKENS).uniform_(-1.1, 1.1, generator=generator)
    return batch.old_logprobs + change * batch.response_mask


@pytest.fixture
def method_gradient() -> MethodGradient:
    """The gradient of a method's scalar loss in the log-probabilities, as the harness makes it."""

    def gradient(config: MethodConfig, batch: TokenBatch, logprobs: Tensor) -> Tensor:
        algorithm = build(config)
        credit = algorithm.assign_credit(batch)
        weights = loss_weights(
            batch.response_mask,
            credit.keep,
            algorithm.plan.aggregation,
            max_response_tokens=LIMIT,
        )
        leaf = logprobs.clone().requires_grad_()
        losses = algorithm.token_losses(
            batch, credit, Outputs(logprobs=leaf, values=batch.old_values)
        )
        (losses.policy * weights).sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    return gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rollout without its padding; log-probabilities in float64."""

    group: int
    correct: bool
    reward: float
    logprobs: Tensor  # [L], under pi_theta; carries gradient
    old: Tensor  # [L]
    ref: Tensor  # [L]

    @property
    def ratio(self) -> Tensor:
        return torch.exp(self.logprobs - self.old)


@pytest.fixture
def paper_gradient() -> MethodGradient:
    """The gradient of a loss that is a function of single rollouts, [N, T], 0 on padding."""

    def gradient(
        objective: Callable[[list[Row]], Tensor], batch: TokenBatch, logprobs: Tensor
    ) -> Tensor:
        rows = []
        for index, length in enumerate(batch.response_mask.sum(dim=1).tolist()):
            rows.append(
                Row(
                    group=int(batch.groups[index]),
                    correct=bool(batch.correct[index]),
                    reward=float(batch.rewards[index]),
                    logprobs=logprobs[index, :length].double().requires_grad_(),
                    old=batch.old_logprobs[index, :length].double(),
                    ref=batch.ref_logprobs[index, :length].double(),
                )
            )
        (-objective(rows)).backward()
        found = torch.zeros(batch.response_mask.shape)
        for index, row in enumerate(rows):
            if row.logprobs.grad is not None:
                found[index, : len(row.old)] = row.logprobs.grad.float()
        return found

    return gradient
