"""Analytic floating-point operations of a decoder, from its shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from bakeoff.batch import TokenBatch
from bakeoff.interfaces import Plan, UpdateResult
from bakeoff.types import Rollout

BACKWARD = 2.0  # forward passes' worth: gradients of inputs and of weights


@dataclass(frozen=True, slots=True, kw_only=True)
class FlopsModel:
    """Operations a token, split by what they scale with (arXiv:2001.08361v1 table 1).

    A multiply-add counts as two operations.
    """

    trunk_weights: int  # matrices of the layers, without embeddings and output head
    head_weights: int
    layers: int
    attention_width: int  # heads x head size

    def forward(self, tokens: float, *, context: float, head_tokens: float | None = None) -> float:
        """Operations of a forward pass.

        Args:
            tokens: positions that go through the trunk.
            context: mean number of positions each attends to.
            head_tokens: positions that go through the output head; None: all.
        """
        attention = 4.0 * self.layers * self.attention_width * context
        through_head = tokens if head_tokens is None else head_tokens
        return tokens * (2.0 * self.trunk_weights + attention) + through_head * (
            2.0 * self.head_weights
        )

    def sampling(self, rollouts: Sequence[Rollout]) -> float:
        """Operations of drawing rollouts: one prefill a group, then a token at a time."""
        prefills = {rollout.group: len(rollout.prompt_ids) for rollout in rollouts}
        total = sum(
            self.forward(length, context=length / 2, head_tokens=1) for length in prefills.values()
        )
        for rollout in rollouts:
            length = len(rollout.completion.token_ids)
            total += self.forward(length, context=len(rollout.prompt_ids) + length / 2)
        return total

    def training(
        self, plan: Plan, batch: TokenBatch, updates: Sequence[UpdateResult], *, critic_only: bool
    ) -> float:
        """Operations of annotating a rollout batch and of its optimizer steps.

        Rollouts that no loss keeps are not run through the model; rows count at their mean length.
        """
        rows = len(batch.groups)
        tokens = float(batch.attention_mask.sum()) / rows
        head_tokens = float(batch.response_mask.sum()) / rows
        trunk = self.forward(tokens, context=tokens / 2, head_tokens=0)
        policy = self.forward(tokens, context=tokens / 2, head_tokens=head_tokens)
        separate_critic = plan.critic is not None and not plan.critic.shared_trunk
        scored = rows * (
            policy * plan.needs_old_logprobs
            + policy * plan.reference
            + trunk * (plan.critic is not None)
        )
        kept = sum(update.kept_rollouts for update in updates)
        policy_passes = 1.0 if critic_only else 1.0 + BACKWARD
        return scored + kept * (policy * policy_passes + trunk * (1.0 + BACKWARD) * separate_critic)


def flops_model(model: PreTrainedModel) -> FlopsModel:
    """The operation counts of a loaded model."""
    embedding = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    matrices = sum(p.numel() for p in model.base_model.parameters() if p.dim() >= 2)
    config = model.config.get_text_config()
    return FlopsModel(
        trunk_weights=matrices - embedding.numel(),
        head_weights=head.numel(),
        layers=config.num_hidden_layers,
        attention_width=config.hidden_size,
    )
