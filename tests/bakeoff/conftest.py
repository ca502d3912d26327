"""A real two-layer Llama with random weights, and rollouts it sampled."""

import copy

import pytest
import torch

from bakeoff.config import ModelConfig, SamplingConfig
from bakeoff.interfaces import NoiseAddress
from bakeoff.models.loading import Policy, load_policy
from bakeoff.models.prompts import PromptFormat
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.tasks import arithmetic
from bakeoff.types import Completion, Prompt, Reward, Rollout, Split

MAX_RESPONSE_TOKENS = 12


@pytest.fixture(scope="session")
def shared_policy() -> Policy:
    torch.set_num_threads(1)
    policy = load_policy(ModelConfig(model="config:builtin"), init_seed=3)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(3)  # away from the uniform distribution that small weights give
    return policy


@pytest.fixture
def policy(shared_policy) -> Policy:
    """A copy that a test may train."""
    return Policy(
        model=copy.deepcopy(shared_policy.model),
        tokenizer=shared_policy.tokenizer,
        eos_token_ids=shared_policy.eos_token_ids,
        pad_token_id=shared_policy.pad_token_id,
    )


def prompts_of(policy: Policy) -> list[Prompt]:
    """Six prompts of different lengths."""
    form = PromptFormat(policy.tokenizer, instruction="{question}\n", config=ModelConfig())
    problems = arithmetic.problems(Split.TRAIN, count=5) + arithmetic.problems(Split.OOD, count=1)
    return [form.render(problem) for problem in problems]


def rollouts_of(policy: Policy, prompts: list[Prompt]) -> list[Rollout]:
    """Groups of four with rewards 1, 0, 1, 0 and two steps each: signal for every method."""
    groups = TransformersSampler(policy, autocast_dtype=None).sample(
        prompts,
        group_size=4,
        sampling=SamplingConfig(max_response_tokens=MAX_RESPONSE_TOKENS),
        noise=NoiseAddress(seed=0, batch=0),
    )
    return [
        Rollout(
            problem=prompt.problem,
            prompt_ids=prompt.token_ids,
            completion=completion,
            reward=_reward(completion, float(sample % 2 == 0)),
            group=index,
        )
        for index, (prompt, group) in enumerate(zip(prompts, groups, strict=True))
        for sample, completion in enumerate(group)
    ]


@pytest.fixture(scope="session")
def prompts(shared_policy) -> list[Prompt]:
    return prompts_of(shared_policy)


@pytest.fixture(scope="session")
def rollouts(shared_policy, prompts) -> list[Rollout]:
    return rollouts_of(shared_policy, prompts)


def _reward(completion: Completion, value: float) -> Reward:
    """The value for the whole; a made-up step ends in its middle and another at its end."""
    last = len(completion.token_ids) - 1
    ends = tuple(sorted({last // 2, last}))
    return Reward(
        correct=value > 0,
        outcome=value,
        step_ends=ends,
        step_values=tuple(value if end == last else 0.5 for end in ends),
    )
