"""What the papers state exactly, evaluated on random batches: no training, no tolerance to tune."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import torch
from torch import Tensor

from algorithms.advantages import generalized_advantages, standardize, terminal_rewards, to_go
from algorithms.configs import (
    GRPOConfig,
    MethodConfig,
    OnlineRFTConfig,
    PPOConfig,
    RFTConfig,
    RLOOConfig,
    SFTConfig,
)
from algorithms.losses import kl_k3
from algorithms.registry import build
from bakeoff.aggregation import loss_weights
from bakeoff.batch import Outputs, TokenBatch
from bakeoff.config import Aggregation
from bakeoff.records import write_json

TOLERANCE = 1e-5  # float32 rounding of sums over some tens of tokens
BATCHES = 20
GROUPS, GROUP_SIZE, TOKENS = 4, 4, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One exact statement and how far off it was at worst."""

    statement: str
    source: str
    largest_error: float

    @property
    def holds(self) -> bool:
        """Whether the error is that of float32."""
        return self.largest_error <= TOLERANCE


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="write them here too")
def main(json_file: Path | None) -> None:
    """Print every identity and how far off it was at worst."""
    found = check_identities()
    for one in found:
        verdict = "holds" if one.holds else "FAILS"
        click.echo(f"{verdict}  {one.largest_error:.1e}  {one.statement} ({one.source})")
    if json_file is not None:
        rows = [asdict(one) | {"holds": one.holds} for one in found]
        write_json(json_file, {"tolerance": TOLERANCE, "identities": rows})
    raise SystemExit(not all(one.holds for one in found))


def check_identities(*, seed: int = 0) -> list[Identity]:
    """Every identity of the papers, over random batches."""
    generator = torch.Generator().manual_seed(seed)
    batches = [_random_batch(generator) for _ in range(BATCHES)]
    return [
        Identity(
            statement=statement,
            source=source,
            largest_error=max(float(error(batch)) for batch in batches),
        )
        for statement, source, error in _identities()
    ]


def _identities() -> Iterator[tuple[str, str, Callable[[TokenBatch], Tensor]]]:
    yield (
        "the gradient of eq. 3 at pi_old = pi_theta has the coefficient of eq. 21",
        "DeepSeekMath eq. 20, 21",
        _grpo_coefficient,
    )
    yield (
        "SFT's gradient coefficient is 1",
        "DeepSeekMath table 10",
        lambda batch: _off_one(SFTConfig(), batch),
    )
    yield (
        "RFT's gradient coefficient is 1 on correct responses, which alone enter",
        "DeepSeekMath eq. 10",
        lambda batch: _off_one(RFTConfig(), batch),
    )
    yield (
        "online RFT's is the same",
        "DeepSeekMath eq. 10",
        lambda batch: _off_one(OnlineRFTConfig(), batch),
    )
    yield "k3 is not negative", "DeepSeekMath eq. 4", _k3_below_zero
    yield "k3 is 0 where the policies agree", "DeepSeekMath eq. 4", _k3_at_equality
    yield (
        "a group of equal rewards has no advantage",
        "DeepSeekMath section 4.1.2",
        lambda batch: standardize(torch.full_like(batch.rewards, 0.3), batch.groups).abs().max(),
    )
    yield (
        "process supervision with one step a response is outcome supervision",
        "DeepSeekMath section 4.1.3",
        _one_step_is_outcome,
    )
    yield (
        "leave-one-out is G / (G - 1) times the centred reward",
        "RLOO, arXiv:2402.14740",
        _leave_one_out,
    )
    yield (
        "GAE with lambda = gamma = 1 and no values is the return",
        "arXiv:1506.02438 eq. 16",
        _gae_is_the_return,
    )
    yield (
        "the KL penalties in the reward add up to the response's log-ratio",
        "DeepSeekMath eq. 2",
        _kl_telescopes,
    )


def _coefficient(config: MethodConfig, batch: TokenBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. 5's coefficient by autograd, the advantages, and where tokens have a weight."""
    algorithm = build(config)
    credit = algorithm.assign_credit(batch)
    weights = loss_weights(
        batch.response_mask, credit.keep, Aggregation.SEQUENCE_MEAN, max_response_tokens=TOKENS
    )
    assert batch.old_logprobs is not None
    logprobs = batch.old_logprobs.clone().requires_grad_()
    losses = algorithm.token_losses(
        batch, credit, Outputs(logprobs=logprobs, values=batch.old_values)
    )
    (gradient,) = torch.autograd.grad((losses.policy * weights).sum(), logprobs)
    weighed = weights > 0
    return -gradient[weighed] / weights[weighed], credit.advantages[weighed], weighed


def _grpo_coefficient(batch: TokenBatch) -> Tensor:
    beta = 0.04
    found, advantages, weighed = _coefficient(GRPOConfig(kl_coefficient=beta), batch)
    assert batch.ref_logprobs is not None and batch.old_logprobs is not None
    ratio = (batch.ref_logprobs - batch.old_logprobs).exp()[weighed]
    return (found - (advantages + beta * (ratio - 1))).abs().max()


def _off_one(config: MethodConfig, batch: TokenBatch) -> Tensor:
    found, _, weighed = _coefficient(config, batch)
    entered = batch.response_mask if isinstance(config, SFTConfig) else _of_correct(batch)
    wrongly = (weighed != entered).any().float()
    return torch.maximum((found - 1).abs().max(), wrongly)


def _of_correct(batch: TokenBatch) -> Tensor:
    return batch.response_mask & batch.correct[:, None]


def _k3_below_zero(batch: TokenBatch) -> Tensor:
    assert batch.ref_logprobs is not None and batch.old_logprobs is not None
    return (-kl_k3(batch.old_logprobs, batch.ref_logprobs)).clamp(min=0).max()


def _k3_at_equality(batch: TokenBatch) -> Tensor:
    assert batch.old_logprobs is not None
    return kl_k3(batch.old_logprobs, batch.old_logprobs).abs().max()


def _one_step_is_outcome(batch: TokenBatch) -> Tensor:
    rows = torch.arange(len(batch.groups))
    last = batch.response_mask.sum(dim=1) - 1
    step_mask = torch.zeros_like(batch.response_mask)
    step_mask[rows, last] = True
    single = replace(
        batch, step_mask=step_mask, step_rewards=step_mask.float() * batch.rewards[:, None]
    )
    process = build(GRPOConfig(supervision="process")).assign_credit(single).advantages
    return (process - build(GRPOConfig()).assign_credit(batch).advantages).abs().max()


def _leave_one_out(batch: TokenBatch) -> Tensor:
    advantages = build(RLOOConfig(kl_coefficient=0.0)).assign_credit(batch).advantages[:, 0]
    rewards = batch.rewards.view(GROUPS, GROUP_SIZE)
    expected = GROUP_SIZE / (GROUP_SIZE - 1) * (rewards - rewards.mean(dim=1, keepdim=True))
    return (advantages - expected.flatten()).abs().max()


def _gae_is_the_return(batch: TokenBatch) -> Tensor:
    rewards = torch.where(batch.response_mask, batch.sampler_logprobs, 0)
    found = generalized_advantages(
        rewards, torch.zeros_like(rewards), batch.response_mask, gamma=1.0, gae_lambda=1.0
    )
    return (found - to_go(rewards) * batch.response_mask).abs().max()


def _kl_telescopes(batch: TokenBatch) -> Tensor:
    beta = 0.04
    assert batch.ref_logprobs is not None and batch.old_logprobs is not None
    zeros = replace(batch, old_values=torch.zeros_like(batch.old_logprobs))
    advantages = build(PPOConfig(kl_coefficient=beta)).assign_credit(zeros).advantages
    log_ratio = ((batch.old_logprobs - batch.ref_logprobs) * batch.response_mask).sum(dim=1)
    outcome = terminal_rewards(batch.rewards, batch.response_mask).sum(dim=1)
    return (advantages[:, 0] - (outcome - beta * log_ratio)).abs().max()


def _random_batch(generator: torch.Generator) -> TokenBatch:
    """Groups with mixed rewards, ragged lengths, and policies that differ."""
    n = GROUPS * GROUP_SIZE
    lengths = torch.randint(1, TOKENS + 1, (n,), generator=generator)
    mask = torch.arange(TOKENS)[None] < lengths[:, None]

    def logprobs() -> Tensor:
        return -torch.rand(n, TOKENS, generator=generator) * mask

    correct = torch.rand(n, generator=generator) < 0.5
    correct[::GROUP_SIZE], correct[1::GROUP_SIZE] = True, False
    old = logprobs()
    return TokenBatch(
        input_ids=torch.zeros(n, TOKENS + 1, dtype=torch.int64),
        attention_mask=torch.cat([torch.ones(n, 1, dtype=torch.bool), mask], dim=1),
        response_mask=mask,
        groups=torch.arange(GROUPS).repeat_interleave(GROUP_SIZE),
        correct=correct,
        rewards=correct.float(),
        truncated=torch.zeros(n, dtype=torch.bool),
        step_rewards=torch.zeros(n, TOKENS),
        step_mask=torch.zeros(n, TOKENS, dtype=torch.bool),
        sampler_logprobs=logprobs(),
        old_logprobs=old,
        ref_logprobs=logprobs(),
        old_values=logprobs(),
    )


if __name__ == "__main__":
    main()
