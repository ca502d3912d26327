"""Padded tensors of one rollout batch. N rollouts, P prompt and T response positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from bakeoff.types import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """What the engine and the methods see of a list of rollouts."""

    input_ids: Tensor  # [N, P+T] int64; prompts left-padded, responses right-padded
    attention_mask: Tensor  # [N, P+T] bool
    response_mask: Tensor  # [N, T] bool; True on sampled tokens, EOS included
    groups: Tensor  # [N] int64; rollouts of one problem share it
    correct: Tensor  # [N] bool, the verifier's word
    rewards: Tensor  # [N] float32, outcome rewards
    truncated: Tensor  # [N] bool; the response was cut at the limit, no EOS
    step_rewards: Tensor  # [N, T] float32, at each step's last token, else 0
    step_mask: Tensor  # [N, T] bool; True at each step's last token
    sampler_logprobs: Tensor  # [N, T] nats as the sampler saw them: a metric, never pi_old
    old_logprobs: Tensor | None = None  # [N, T] nats under pi_old, by the training engine
    ref_logprobs: Tensor | None = None  # [N, T] nats; present iff the plan asks for a reference
    old_values: Tensor | None = None  # [N, T]; present iff the plan asks for a critic
    start_logprobs: Tensor | None = None  # [N, T] nats under the start: a metric, for no method

    @property
    def prompt_length(self) -> int:
        """P, in positions."""
        return self.input_ids.shape[1] - self.response_mask.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What a method decided each sampled token deserves. No gradient flows through it."""

    advantages: Tensor  # [N, T] float32; 0 off response_mask
    keep: Tensor  # [N] bool; rollouts that enter the loss *and* its denominator
    returns: Tensor | None = None  # [N, T] critic targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """One differentiable forward pass."""

    logprobs: Tensor  # [N, T] nats under pi_theta, of the sampled tokens
    values: Tensor | None = None  # [N, T]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLosses:
    """Unreduced losses: masking and normalisation happen once, in `loss_weights`.

    A policy and a critic of its own learn one after the other, to hold the activations of one at a
    time: so neither loss may depend on the other's output.
    """

    policy: Tensor  # [N, T], of `Outputs.logprobs`
    critic: Tensor | None = None  # [N, T], of `Outputs.values`
    metrics: Mapping[str, Tensor] = field(default_factory=dict)  # [N, T] each, detached


Value = TypeVar("Value")


def present(value: Value | None, name: str) -> Value:
    """`value`, which the plan asked for; ValueError when the plan did not."""
    if value is None:
        raise ValueError(f"{name} is missing: the method uses it but its plan does not ask for it")
    return value


def collate(rollouts: Sequence[Rollout], *, pad_token_id: int) -> TokenBatch:
    """Rollouts as one padded batch: prompts left-padded to P, responses right-padded to T.

    Raises:
        ValueError: no rollouts, or one whose outcome reward is None.
    """
    if not rollouts:
        raise ValueError("cannot collate an empty list of rollouts")
    if unscored := [r.problem.id for r in rollouts if r.reward.outcome is None]:
        raise ValueError(f"unscored rollouts must be left out before collating: {unscored[:3]}")
    n = len(rollouts)
    prompt_length = max(len(r.prompt_ids) for r in rollouts)
    response_length = max(1, *(len(r.completion.token_ids) for r in rollouts))
    input_ids = torch.full((n, prompt_length + response_length), pad_token_id, dtype=torch.int64)
    attention_mask = torch.zeros(n, prompt_length + response_length, dtype=torch.bool)
    sampler_logprobs = torch.zeros(n, response_length)
    step_rewards = torch.zeros(n, response_length)
    step_mask = torch.zeros(n, response_length, dtype=torch.bool)
    for row, rollout in enumerate(rollouts):
        start = prompt_length - len(rollout.prompt_ids)
        end = prompt_length + len(rollout.completion.token_ids)
        input_ids[row, start:end] = torch.tensor(rollout.prompt_ids + rollout.completion.token_ids)
        attention_mask[row, start:end] = True
        logprobs = rollout.completion.logprobs
        sampler_logprobs[row, : len(logprobs)] = torch.tensor(logprobs)
        for position, value in zip(
            rollout.reward.step_ends, rollout.reward.step_values, strict=True
        ):
            step_rewards[row, position] = value
            step_mask[row, position] = True
    return TokenBatch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        response_mask=attention_mask[:, prompt_length:].clone(),
        groups=torch.tensor([r.group for r in rollouts]),
        correct=torch.tensor([bool(r.reward.correct) for r in rollouts]),
        rewards=torch.tensor([r.reward.outcome for r in rollouts], dtype=torch.float32),
        truncated=torch.tensor([r.completion.finish == "length" for r in rollouts]),
        step_rewards=step_rewards,
        step_mask=step_mask,
        sampler_logprobs=sampler_logprobs,
    )


Record = TypeVar("Record", TokenBatch, Credit)


def take(record: Record, rows: Tensor) -> Record:
    """The given rows of every tensor of a record."""
    chosen = {
        f.name: value[rows]
        for f in fields(record)
        if isinstance(value := getattr(record, f.name), Tensor)
    }
    return replace(record, **chosen)


def to_device(batch: TokenBatch, device: torch.device) -> TokenBatch:
    """The batch with every tensor on `device`."""
    moved = {
        f.name: value.to(device)
        for f in fields(batch)
        if isinstance(value := getattr(batch, f.name), Tensor)
    }
    return replace(batch, **moved)


def trim(batch: TokenBatch) -> TokenBatch:
    """The batch without the columns that only pad: what a cut into similar lengths saves.

    The response is cut at its longest kept row, so T shrinks; [N, T] tensors shrink with it.
    """
    prompt_length = batch.prompt_length
    prompt_used = int(batch.attention_mask[:, :prompt_length].sum(dim=1).max())
    response_used = max(1, int(batch.response_mask.sum(dim=1).max()))
    columns = slice(prompt_length - prompt_used, prompt_length + response_used)
    per_token = {
        f.name: value[:, :response_used]
        for f in fields(batch)
        if f.name not in ("input_ids", "attention_mask")
        and isinstance(value := getattr(batch, f.name), Tensor)
        and value.dim() == 2
    }
    return replace(
        batch,
        input_ids=batch.input_ids[:, columns],
        attention_mask=batch.attention_mask[:, columns],
        **per_token,
    )


def narrow(credit: Credit, batch: TokenBatch) -> Credit:
    """The credit of a trimmed batch's rows, cut at its T."""
    length = batch.response_mask.shape[1]
    device = batch.input_ids.device
    return Credit(
        advantages=credit.advantages[:, :length].to(device),
        keep=credit.keep.to(device),
        returns=None if credit.returns is None else credit.returns[:, :length].to(device),
    )


def numbered_prompts(batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """[N] number of each row's prompt, equal ones alike, and [U] the first row of each number."""
    mask = batch.attention_mask[:, : batch.prompt_length]
    tokens = batch.input_ids[:, : batch.prompt_length].masked_fill(~mask, -1)
    _, numbers = torch.unique(tokens, dim=0, return_inverse=True)
    rows = torch.arange(len(numbers), device=numbers.device)
    first = rows.new_full((int(numbers.max()) + 1,), len(rows))
    return numbers, first.scatter_reduce(0, numbers, rows, "amin")
