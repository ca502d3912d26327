"""The training loop that every method runs in; it knows none of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from bakeoff.aggregation import loss_weights
from bakeoff.batch import Credit, TokenBatch, collate, take
from bakeoff.canaries import CHECK_EVERY, Canaries
from bakeoff.checksums import weights_checksum
from bakeoff.config import BudgetAxis, CellConfig
from bakeoff.interfaces import (
    Algorithm,
    Engine,
    IterationPlan,
    RolloutSource,
    Sampler,
    Source,
    UpdateResult,
)
from bakeoff.ledger import Ledger
from bakeoff.metrics import Metrics, achieved_kl, batch_metrics
from bakeoff.models.flops import FlopsModel
from bakeoff.ranks import Ranks
from bakeoff.reward_models.refit import RewardRefit
from bakeoff.seeds import Seeds, generator
from bakeoff.types import Rollout
from bakeoff.weight_probe import WeightProbe

LIVE = (Source.CURRENT_POLICY, Source.MIXED_POLICY)
KL_EVERY = 8  # problems of a batch to one whose responses tell the achieved KL


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """What one cell trains with."""

    config: CellConfig
    algorithm: Algorithm
    source: RolloutSource
    sampler: Sampler
    engine: Engine
    ledger: Ledger
    flops: FlopsModel
    canaries: Canaries
    probe: WeightProbe
    seeds: Seeds
    pad_token_id: int
    reward_model: nn.Module | None = None  # frozen but for the refits
    refit: RewardRefit | None = None  # present iff the plan asks for refits
    ranks: Ranks = field(default_factory=Ranks)

    def train(self, *, done: int) -> Iterator[tuple[int, Metrics]]:
        """Trains until the budget is spent or the policy has collapsed.

        Yields the batches done so far and their metrics.

        Args:
            done: batches an earlier process has finished.
        """
        plan = self.algorithm.plan
        self.canaries.check_frozen(self._frozen_checksums())
        while self.progress(done) < 1 and self.canaries.collapsed is None:
            metrics = self._batch(done)
            done += 1
            self.engine.publish_policy(self.sampler)
            seldom = done % CHECK_EVERY == 0
            # Whoever trains on a pool samples for its evaluations only.
            if seldom or plan.source in LIVE:
                self._check_published()
            if seldom:
                self.canaries.check_frozen(self._frozen_checksums())
            if plan.iteration is not None and done % plan.iteration.batches == 0:
                self._new_iteration(plan.iteration)
            yield done, metrics
        self._check_published()
        self.canaries.check_frozen(self._frozen_checksums())

    def _check_published(self) -> None:
        with self.ledger.phase("measure"):
            self.canaries.check_published(self.probe.gap())

    def _frozen_checksums(self) -> dict[str, int]:
        """Of the engine's frozen copies and of the reward model."""
        with self.ledger.phase("measure"):
            found = dict(self.engine.frozen_checksums())
            if self.reward_model is not None:
                found["reward model"] = weights_checksum(self.reward_model)
        return found

    def _new_iteration(self, iteration: IterationPlan) -> None:
        """What comes between two outer iterations (arXiv:2402.03300v3 Algorithm 1)."""
        if iteration.reset_reference:
            self.engine.refresh_reference()
        if self.refit is not None:
            self.refit.refit()
        self.canaries.freeze(self._frozen_checksums())

    def progress(self, done: int) -> float:
        """The share of the run that is over; at 1 or more it ends.

        A pool is paid for before training, so a budget of tokens does not end the training on it.
        The first rank says it for all: clocks differ.
        """
        return self.ranks.once(lambda: self._progress(done))

    def _progress(self, done: int) -> float:
        batches = self.source.batches
        spent = self.ledger.share(self.config.budget)
        if batches is None:
            return spent
        if self.config.budget.budget_axis is BudgetAxis.SAMPLED_TOKENS:
            return done / batches
        return max(done / batches, spent)

    def _batch(self, index: int) -> Metrics:
        plan, ledger = self.algorithm.plan, self.ledger
        ledger.begin_batch(index)
        rollouts = self.source.draw(index)
        if self.refit is not None:
            self.refit.observe(rollouts)
        scored = [rollout for rollout in rollouts if _has_verdict(rollout)]
        self.canaries.check_rewards(scored, ledger)
        with ledger.phase("measure"):
            self.canaries.check_gold(scored)
        self.canaries.check_repeats(rollouts)
        with ledger.phase("annotate"):
            batch = self.engine.annotate(collate(scored, pad_token_id=self.pad_token_id))
        kl = None
        if plan.source is Source.CURRENT_POLICY:
            self.canaries.watch_collapse(rollouts, batch=index + 1)
            # Samples of another policy would estimate another divergence.
            with ledger.phase("measure"):
                kl = self._achieved_kl(batch)
        critic_only = plan.critic is not None and index < plan.critic.warmup_batches
        with ledger.phase("update"):
            credit = self._credit(batch)
            updates = [
                self._update(part, part_credit, critic_only=critic_only)
                for part, part_credit in self._passes(batch, credit, index)
            ]
        ledger.optimizer_steps += len(updates)
        ledger.trained_tokens += sum(update.trained_tokens for update in updates)
        ledger.flops += self.flops.training(plan, batch, updates, critic_only=critic_only)
        metrics = batch_metrics(plan, rollouts, batch, credit, updates) | {"kl_to_start": kl}
        self.canaries.check_metrics(metrics)
        return metrics

    def _achieved_kl(self, batch: TokenBatch) -> float | None:
        """Of all responses to a few of the problems: the start's pass is there for us alone."""
        few = torch.unique(batch.groups)[::KL_EVERY]
        part = self.engine.measure(take(batch, torch.isin(batch.groups, few)))
        return achieved_kl(part, part.sampler_logprobs)

    def _credit(self, batch: TokenBatch) -> Credit:
        credit = self.algorithm.assign_credit(batch)
        if not self.config.training.mask_truncated:
            return credit
        return replace(credit, keep=credit.keep & ~batch.truncated)

    def _passes(
        self, batch: TokenBatch, credit: Credit, index: int
    ) -> Iterator[tuple[TokenBatch, Credit]]:
        """The rows of each optimizer step: epochs x minibatches, freshly shuffled each epoch."""
        plan = self.algorithm.plan
        for epoch in range(plan.epochs):
            if plan.minibatches == 1:
                yield batch, credit
                continue
            order = generator(self.seeds.data, "minibatches", index, epoch).permutation(
                len(batch.groups)
            )
            for rows in torch.from_numpy(order).chunk(plan.minibatches):
                yield take(batch, rows), take(credit, rows)

    def _update(self, batch: TokenBatch, credit: Credit, *, critic_only: bool) -> UpdateResult:
        weights = loss_weights(
            batch.response_mask,
            credit.keep,
            self.config.training.aggregation or self.algorithm.plan.aggregation,
            max_response_tokens=self.config.sampling.max_response_tokens,
        )
        return self.engine.update(
            batch, credit, weights, self.algorithm.token_losses, critic_only=critic_only
        )


def _has_verdict(rollout: Rollout) -> bool:
    """Whether it was scored and judged: a verifier that failed must not count as a wrong answer."""
    return rollout.reward.outcome is not None and rollout.reward.correct is not None
