"""Where the rollouts of a batch come from: the current policy, a pool, or demonstrations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from bakeoff.config import BudgetAxis, BudgetConfig, SamplingConfig
from bakeoff.interfaces import NoiseAddress, PoolPlan, RewardFunction, Sampler, Task
from bakeoff.ledger import Ledger
from bakeoff.models.flops import FlopsModel
from bakeoff.models.prompts import PromptFormat
from bakeoff.records import append_lines, read_lines
from bakeoff.seeds import Seeds, generator
from bakeoff.types import Completion, Problem, Prompt, Reward, Rollout


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
        self.ledger.count_rollouts(rollouts, sampling_flops=self.flops.sampling(rollouts))
        return rollouts


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
    """The current policy: arXiv:2402.03300v3 Table 10, o ~ pi_theta."""

    def __init__(self, maker: RolloutMaker) -> None:
        self._maker = maker

    def prepare(self) -> None:
        """Nothing comes before the first batch."""

    @property
    def batches(self) -> None:
        return None

    def draw(self, batch: int) -> list[Rollout]:
        return self._maker.make(batch)


class PoolSource:
    """The initial policy: arXiv:2402.03300v3 Table 10, o ~ pi_sft; the pool is on disk.

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
        on_chunk: Callable[[int], None] | None = None,
    ) -> None:
        self._maker = maker
        self._plan = plan
        self._path = path
        self._budget = budget
        self._on_chunk = on_chunk
        self._groups: list[list[Rollout]] = []

    def prepare(self) -> None:
        """Samples the pool, or reads it back as far as an earlier process came."""
        stop = _StopRule(self._maker, self._plan, self._budget)
        groups = _read_or_fill(self._maker, self._path, stop, self._on_chunk)
        self._groups = [_without_repeats(g) if self._plan.deduplicate else g for g in groups]

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


class DemonstrationSource:
    """The task's own solutions, written as rollouts of reward 1; nothing is sampled."""

    def __init__(
        self,
        task: Task,
        prompts: PromptFormat,
        tokenizer: PreTrainedTokenizerBase,
        *,
        eos_token_id: int,
        seeds: Seeds,
        per_batch: int,
    ) -> None:
        self._task = task
        self._prompts = prompts
        self._tokenizer = tokenizer
        self._eos_token_id = eos_token_id
        self._seed = seeds.data
        self._per_batch = per_batch
        self._stream: Iterator[tuple[Problem, str]] = iter(())
        self._next_batch = -1

    def prepare(self) -> None:
        """Nothing comes before the first batch."""

    @property
    def batches(self) -> None:
        return None

    def draw(self, batch: int) -> list[Rollout]:
        if batch != self._next_batch:
            stream = self._task.demonstrations(seed=self._seed)
            self._stream = islice(stream, batch * self._per_batch, None)
        self._next_batch = batch + 1
        return [
            self._rollout(problem, text, group)
            for group, (problem, text) in enumerate(islice(self._stream, self._per_batch))
        ]

    def _rollout(self, problem: Problem, text: str, group: int) -> Rollout:
        token_ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return Rollout(
            problem=problem,
            prompt_ids=self._prompts.render(problem).token_ids,
            completion=Completion(
                text=text,
                token_ids=(*token_ids, self._eos_token_id),
                logprobs=(),
                finish="stop",
                policy_version=0,
            ),
            reward=Reward(correct=True, outcome=1.0),
            group=group,
        )


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


def _read_or_fill(
    maker: RolloutMaker, path: Path, stop: _StopRule, on_chunk: Callable[[int], None] | None
) -> list[list[Rollout]]:
    """The pool's groups; sampled, or read back as far as an earlier process came.

    `on_chunk` gets the number of groups after every chunk that was sampled.
    """
    groups: list[list[Rollout]] = []
    chunk = 0
    for row in read_lines(path):
        rollouts = [_rollout_from_record(record) for record in row["rollouts"]]
        maker.ledger.count_rollouts(rollouts, sampling_flops=maker.flops.sampling(rollouts))
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
        records = [asdict(rollout) for rollout in rollouts]
        append_lines(path, [{"batch": chunk, "seconds": seconds, "rollouts": records}])
        groups += _by_group(rollouts)
        chunk += 1
        if on_chunk is not None:
            on_chunk(len(groups))
    return groups


def _by_group(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    groups: dict[int, list[Rollout]] = {}
    for rollout in rollouts:
        groups.setdefault(rollout.group, []).append(rollout)
    return list(groups.values())


def _without_repeats(group: Sequence[Rollout]) -> list[Rollout]:
    return list({rollout.completion.text: rollout for rollout in reversed(group)}.values())[::-1]


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
