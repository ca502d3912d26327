"""Where the sampled rollouts of a batch come from: the current policy, or a pool."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from bakeoff.config import BudgetAxis, BudgetConfig, SamplingConfig
from bakeoff.interfaces import (
    Deduplicate,
    NoiseAddress,
    PoolPlan,
    RewardFunction,
    Sampler,
)
from bakeoff.ledger import Ledger
from bakeoff.models.flops import FlopsModel
from bakeoff.ranks import Ranks
from bakeoff.records import append_lines, read_lines
from bakeoff.rollouts.equations import equation_list
from bakeoff.seeds import Seeds, generator
from bakeoff.types import Completion, Problem, Prompt, Reward, Rollout

# Rewards of a group that spread less than this tell nothing apart.
UNIFORM_SPREAD = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutMaker:
    """Samples and scores: the same for every source, and charged to the ledger."""

    prompts: Sequence[Prompt]  # of the training split
    sampler: Sampler
    reward: RewardFunction
    sampling: SamplingConfig
    ledger: Ledger
    seeds: Seeds
    flops: FlopsModel
    group_size: int
    problems_per_step: int

    def make(self, batch: int) -> list[Rollout]:
        """Fresh rollouts of the batch's problems, from the policy the sampler holds."""
        chosen = problem_order(
            len(self.prompts), seed=self.seeds.data, batch=batch, count=self.problems_per_step
        )
        prompts = [self.prompts[index] for index in chosen]
        with self.ledger.phase("sample"):
            groups = self.sampler.sample(
                prompts,
                group_size=self.group_size,
                sampling=self.sampling,
                noise=NoiseAddress(seed=self.seeds.sampling, batch=batch),
            )
        flat_prompts = [p for p in prompts for _ in range(self.group_size)]
        completions = [completion for group in groups for completion in group]
        with self.ledger.phase("score"):
            rewards = self.reward.score(flat_prompts, completions)
        rollouts = [
            Rollout(
                problem=prompt.problem,
                prompt_ids=prompt.token_ids,
                completion=completion,
                reward=reward,
                group=index // self.group_size,
            )
            for index, (prompt, completion, reward) in enumerate(
                zip(flat_prompts, completions, rewards, strict=True)
            )
        ]
        self.count(rollouts)
        return rollouts

    def count(self, rollouts: Sequence[Rollout]) -> None:
        """Books rollouts on the ledger."""
        self.ledger.count_rollouts(rollouts, sampling_flops=self.flops.sampling(rollouts))
        read = sum(rollout.reward.model_tokens for rollout in rollouts)
        self.ledger.flops += read * self.reward.flops_per_token


def problem_order(problems: int, *, seed: int, batch: int, count: int) -> list[int]:
    """Indices of a batch's problems: `count` places further along endless seeded shuffles.

    A function of its arguments alone, so every method with the same data seed sees the same
    problems in the same order, and resuming needs no cursor but the batch.
    """
    places = range(batch * count, (batch + 1) * count)
    shuffles = {
        epoch: generator(seed, "problem order", epoch).permutation(problems)
        for epoch in range(places.start // problems, (places.stop - 1) // problems + 1)
    }
    return [int(shuffles[place // problems][place % problems]) for place in places]


class LiveSource:
    """The current policy: arXiv:2402.03300v3 Table 10, o ~ pi_theta.

    Args:
        maker: samples and scores.
        rounds: with more than one, dynamic sampling (DAPO, arXiv:2503.14476 section 3.2): groups
            whose rewards are all equal are left out, and more problems drawn in their place, up
            to so many draws a batch. Everything drawn is paid for.
    """

    def __init__(self, maker: RolloutMaker, *, rounds: int = 1) -> None:
        self._maker = maker
        self._rounds = rounds

    def prepare(self) -> None:
        """Nothing comes before the first batch."""

    @property
    def batches(self) -> None:
        return None

    def draw(self, batch: int) -> list[Rollout]:
        if self._rounds == 1:
            return self._maker.make(batch)
        groups: list[list[Rollout]] = []
        drawn: list[Rollout] = []
        for turn in range(self._rounds):
            drawn = self._maker.make(batch * self._rounds + turn)
            groups += [group for group in _by_group(drawn) if _has_spread(group)]
            if len(groups) >= self._maker.problems_per_step:
                break
        if not groups:
            return drawn
        return [
            replace(rollout, group=index)
            for index, group in enumerate(groups[: self._maker.problems_per_step])
            for rollout in group
        ]


class PoolSource:
    """The initial policy: arXiv:2402.03300v3 Table 10, o ~ pi_sft; the pool is on disk.

    All ranks fill it together, and the first one writes; `on_chunk` gets the number of groups after
    every chunk that was sampled.

    The whole pool is sampled, scored and paid for before training. It keeps every rollout with
    its reward; what to leave out of the loss is the method's word.
    """

    def __init__(
        self,
        maker: RolloutMaker,
        plan: PoolPlan,
        *,
        path: Path,
        budget: BudgetConfig,
        ranks: Ranks | None = None,
        on_chunk: Callable[[int], None] | None = None,
    ) -> None:
        self._ranks = ranks or Ranks()
        self._maker = maker
        self._plan = plan
        self._path = path
        self._budget = budget
        self._on_chunk = on_chunk
        self._groups: list[list[Rollout]] = []

    def prepare(self) -> None:
        """Samples the pool, or reads it back as far as an earlier process came."""
        stop = _StopRule(self._maker, self._plan, self._budget)
        groups = self._read_or_fill(stop)
        # Numbered over the whole pool: a batch mixes groups of several draws.
        self._groups = [
            [
                replace(rollout, group=index)
                for rollout in _without_repeats(group, self._plan.deduplicate)
            ]
            for index, group in enumerate(groups)
        ]

    def _read_or_fill(self, stop: _StopRule) -> list[list[Rollout]]:
        """The pool's groups; sampled, or read back as far as an earlier process came."""
        maker = self._maker
        groups: list[list[Rollout]] = []
        chunk = 0
        for row in read_lines(self._path):
            rollouts = [_rollout_from_record(record) for record in row["rollouts"]]
            maker.count(rollouts)
            for phase, seconds in row["seconds"].items():
                maker.ledger.seconds[phase] = maker.ledger.seconds.get(phase, 0.0) + seconds
            groups += _by_group(rollouts)
            chunk += 1
        while not stop.reached(len(groups)):
            before = dict(maker.ledger.seconds)
            rollouts = maker.make(chunk)
            seconds = {
                phase: total - before.get(phase, 0.0)
                for phase, total in maker.ledger.seconds.items()
                if total != before.get(phase, 0.0)
            }
            with maker.ledger.phase("checkpoint"):
                if self._ranks.first:
                    records = [_record_of(rollout) for rollout in rollouts]
                    row = {"batch": chunk, "seconds": seconds, "rollouts": records}
                    append_lines(self._path, [row])
            groups += _by_group(rollouts)
            chunk += 1
            if self._on_chunk is not None:
                self._on_chunk(len(groups))
        return groups

    @property
    def batches(self) -> int:
        """Batches of one pass, the last one maybe short, times the passes."""
        return self._batches_per_epoch * self._plan.epochs

    @property
    def _batches_per_epoch(self) -> int:
        return math.ceil(len(self._groups) / self._maker.problems_per_step)

    def draw(self, batch: int) -> list[Rollout]:
        epoch, place = divmod(batch, self._batches_per_epoch)
        seed, size = self._maker.seeds.data, self._maker.problems_per_step
        order = generator(seed, "pool order", epoch).permutation(len(self._groups))
        chosen = order[place * size : (place + 1) * size]
        return [rollout for index in chosen for rollout in self._groups[index]]


class _StopRule:
    """When a pool is large enough."""

    def __init__(self, maker: RolloutMaker, plan: PoolPlan, budget: BudgetConfig) -> None:
        self._ledger = maker.ledger
        self._budget = budget
        self._problems = plan.problems
        if plan.problems is None and budget.budget_axis is BudgetAxis.OPTIMIZER_STEPS:
            self._problems = math.ceil(budget.budget * maker.problems_per_step / plan.epochs)

    def reached(self, groups: int) -> bool:
        if self._problems is not None and groups >= self._problems:
            return True
        tokens = self._budget.budget_axis is BudgetAxis.SAMPLED_TOKENS
        return tokens and self._ledger.share(self._budget) >= 1


def _by_group(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    groups: dict[int, list[Rollout]] = {}
    for rollout in rollouts:
        groups.setdefault(rollout.group, []).append(rollout)
    return list(groups.values())


def _has_spread(group: Sequence[Rollout]) -> bool:
    outcomes = [r.reward.outcome for r in group if r.reward.outcome is not None]
    return bool(outcomes) and max(outcomes) - min(outcomes) > UNIFORM_SPREAD


def _without_repeats(group: Sequence[Rollout], how: Deduplicate | None) -> list[Rollout]:
    """The first of the correct rollouts that count as the same, and every wrong one."""

    def key(rollout: Rollout) -> object:
        if how is None or not rollout.reward.correct:
            return id(rollout)
        text = rollout.completion.text
        return equation_list(text) if how is Deduplicate.EQUATIONS else text

    kept: dict[object, Rollout] = {}
    for rollout in group:
        kept.setdefault(key(rollout), rollout)
    return list(kept.values())


def _record_of(rollout: Rollout) -> dict[str, object]:
    # `asdict` would copy every token of every response.
    return _shallow(rollout) | {
        name: _shallow(getattr(rollout, name)) for name in ("problem", "completion", "reward")
    }


def _shallow(record: Problem | Completion | Reward | Rollout) -> dict[str, object]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _rollout_from_record(record: dict[str, object]) -> Rollout:
    completion, reward = dict(record["completion"]), dict(record["reward"])  # type: ignore[call-overload]
    for name in ("token_ids", "logprobs"):
        completion[name] = tuple(completion[name])
    for name in ("step_ends", "step_values"):
        reward[name] = tuple(reward[name])
    return Rollout(
        problem=Problem(**record["problem"]),  # type: ignore[arg-type]
        prompt_ids=tuple(record["prompt_ids"]),  # type: ignore[arg-type]
        completion=Completion(**completion),
        reward=Reward(**reward),
        group=int(record["group"]),  # type: ignore[call-overload]
    )
