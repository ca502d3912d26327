"""What a run takes place in: everything that does not depend on the method."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from bakeoff.config import CellConfig, ModelConfig, SeedConfig
from bakeoff.errors import ConfigError
from bakeoff.evaluate import Evaluator
from bakeoff.interfaces import Sampler, Task, Verifier
from bakeoff.models.loading import Policy, load_policy
from bakeoff.models.prompts import PromptFormat
from bakeoff.ranks import Ranks
from bakeoff.rewards.once import VerifiedOnce
from bakeoff.rewards.registry import RewardContext
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.rollouts.shared import SharedSampler
from bakeoff.seeds import Seeds
from bakeoff.tasks.registry import load_task, load_verifier
from bakeoff.types import Prompt, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What does not depend on the method: model, task, verifier, prompts and sampler.

    Sampler and verifier are this rank's own. What all ranks do together goes through
    `shared_sampler` and `shared_verifier`.
    """

    config: CellConfig
    policy: Policy
    task: Task
    verifier: Verifier
    prompts: PromptFormat
    sampler: TransformersSampler
    seeds: Seeds
    ranks: Ranks = field(default_factory=Ranks)

    @property
    def shared_sampler(self) -> Sampler:
        """Draws every rank's completions on all ranks."""
        return self.sampler if self.ranks.count == 1 else SharedSampler(self.sampler, self.ranks)

    @property
    def shared_verifier(self) -> Verifier:
        """Says the same on every rank."""
        return self.verifier if self.ranks.count == 1 else VerifiedOnce(self.verifier, self.ranks)

    def training_prompts(self) -> list[Prompt]:
        """Prompts of the training split; ConfigError when it is empty."""
        problems = self.task.problems(Split.TRAIN, count=self.config.task.train_problems)
        if not problems:
            raise ConfigError(f"task {self.task.name!r} has no training problems")
        return [self.prompts.render(problem) for problem in problems]

    def reward_context(self) -> RewardContext:
        """What this world's rewards are made of."""
        return RewardContext(
            task=self.task,
            verifier=self.verifier,
            tokenizer=self.policy.tokenizer,
            device=self.policy.model.device,
            max_response_tokens=self.config.sampling.max_response_tokens,
            micro_batch_tokens=self.config.training.micro_batch_tokens,
            seed=self.seeds.sampling,
        )

    def evaluator(self, split: Split, *, problems: int) -> Evaluator | None:
        """An evaluator of the first problems of a split; None when the split is empty."""
        found = self.task.problems(split, count=problems) if problems else []
        if not found:
            return None
        return Evaluator(
            prompts=[self.prompts.render(problem) for problem in found],
            split=split,
            sampler=self.shared_sampler,
            verifier=self.shared_verifier,
            sampling=self.config.sampling,
            seed=self.seeds.sampling,
        )


def build_world(config: CellConfig, *, ranks: Ranks | None = None) -> World:
    """Loads model and task; nothing is written. Without `ranks` this process is alone.

    Raises:
        ConfigError: model, tokenizer, task or data cannot be used.
    """
    torch.set_num_threads(config.model.threads)
    seeds = resolve_seeds(config.seeds)
    task = load_task(config.task)
    policy = load_policy(config.model, init_seed=seeds.initialisation)
    return World(
        config=config,
        policy=policy,
        task=task,
        verifier=load_verifier(task, config.task),
        prompts=PromptFormat(policy.tokenizer, instruction=task.instruction, config=config.model),
        sampler=TransformersSampler(policy, autocast_dtype=autocast_dtype(config.model)),
        seeds=seeds,
        ranks=ranks or Ranks(),
    )


def resolve_seeds(config: SeedConfig) -> Seeds:
    """The three streams' seeds; each is the cell's unless it is set."""
    own = (config.data_seed, config.sampling_seed, config.init_seed)
    data, sampling, initialisation = (config.seed if s is None else s for s in own)
    return Seeds(data=data, sampling=sampling, initialisation=initialisation)


def autocast_dtype(config: ModelConfig) -> torch.dtype | None:
    """The type of forward and backward passes; None is the float32 of the weights."""
    return torch.bfloat16 if config.compute_dtype == "bfloat16" else None
