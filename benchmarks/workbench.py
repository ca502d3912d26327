"""One rollout batch after another of a model with random weights, without a task around it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bakeoff.aggregation import loss_weights
from bakeoff.batch import TokenBatch, collate
from bakeoff.config import ModelConfig, OptimizerConfig, SamplingConfig, TrainingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.interfaces import Algorithm, NoiseAddress, UpdateResult
from bakeoff.models.loading import Policy, load_policy
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.types import Problem, Prompt, Reward, Rollout
from benchmarks.against_peers.material import write_model
from benchmarks.methods import build_method, method_defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A Llama and the batches that it samples."""

    hidden_size: int = 128
    layers: int = 4
    vocabulary: int = 48
    problems: int = 16
    group_size: int = 8
    prompt_tokens: tuple[int, int] = (8, 24)  # fewest and most
    max_response_tokens: int = 64
    ends: bool = True  # responses end where the model ends them


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """A policy, its sampler and its engine."""

    shape: Shape
    parameters: int
    policy: Policy
    sampler: TransformersSampler
    engine: LocalEngine
    algorithm: Algorithm
    prompts: Sequence[Prompt] = field(default_factory=list)

    def sample(self, index: int) -> list[Rollout]:
        """The rollouts of a batch; half of them are called correct, by their first token."""
        shape = self.shape
        groups = self.sampler.sample(
            self.prompts,
            group_size=shape.group_size,
            sampling=SamplingConfig(
                max_response_tokens=shape.max_response_tokens,
                sampling_rows=shape.problems * shape.group_size,
            ),
            noise=NoiseAddress(seed=0, batch=index),
        )
        return [
            Rollout(
                problem=prompt.problem,
                prompt_ids=prompt.token_ids,
                completion=completion,
                reward=Reward(
                    correct=completion.token_ids[0] % 2 == 0,
                    outcome=float(completion.token_ids[0] % 2 == 0),
                ),
                group=group,
            )
            for group, (prompt, completions) in enumerate(zip(self.prompts, groups, strict=True))
            for completion in completions
        ]

    def annotate(self, rollouts: Sequence[Rollout]) -> TokenBatch:
        """What the engine adds to a batch before its first step."""
        return self.engine.annotate(collate(rollouts, pad_token_id=self.policy.pad_token_id))

    def update(self, batch: TokenBatch) -> UpdateResult:
        """One optimizer step on an annotated batch."""
        credit = self.algorithm.assign_credit(batch)
        weights = loss_weights(
            batch.response_mask,
            credit.keep,
            self.algorithm.plan.aggregation,
            max_response_tokens=self.shape.max_response_tokens,
        )
        return self.engine.update(batch, credit, weights, self.algorithm.token_losses)


def workbench(
    shape: Shape,
    *,
    method: str = "grpo",
    training: TrainingConfig | None = None,
    optimizer: OptimizerConfig | None = None,
    compute_dtype: torch.dtype | None = None,
    device: str = "cpu",
) -> Workbench:
    """A method at work on a model of a shape; the same shape has the same weights and prompts."""
    policy, parameters = shape_policy(shape, device=device)
    algorithm = build_method(method_defaults(method))
    engine = LocalEngine(
        policy,
        algorithm.plan,
        optimizer=optimizer or OptimizerConfig(),
        training=training or TrainingConfig(measure_kl=False),
        temperature=1.0,
        autocast_dtype=compute_dtype,
        init_seed=0,
    )
    return Workbench(
        shape=shape,
        parameters=parameters,
        policy=policy,
        sampler=TransformersSampler(policy, autocast_dtype=compute_dtype),
        engine=engine,
        algorithm=algorithm,
        prompts=shape_prompts(shape),
    )


def shape_policy(shape: Shape, *, device: str = "cpu") -> tuple[Policy, int]:
    """The model of a shape and the number of its parameters."""
    with tempfile.TemporaryDirectory() as folder:
        parameters = write_model(
            Path(folder),
            vocabulary=shape.vocabulary,
            hidden_size=shape.hidden_size,
            layers=shape.layers,
            ends=shape.ends,
        )
        return load_policy(ModelConfig(model=folder, device=device), init_seed=0), parameters


def shape_prompts(shape: Shape) -> list[Prompt]:
    """Prompts of a shape, of random words."""
    noise = np.random.default_rng(0)
    fewest, most = shape.prompt_tokens
    return [
        Prompt(
            problem=Problem(id=f"workbench/{index}", question="", answer=""),
            token_ids=tuple(
                noise.integers(2, shape.vocabulary, noise.integers(fewest, most + 1)).tolist()
            ),
            text="",
        )
        for index in range(shape.problems)
    ]
