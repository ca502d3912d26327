"""Reward models on the random two-layer Llama, and labelled solutions of the built-in task."""

from collections.abc import Callable

import pytest

from bakeoff.config import ModelConfig
from bakeoff.reward_models.examples import LabelledSolution
from bakeoff.reward_models.folder import RewardHead, RewardKind
from bakeoff.reward_models.model import LoadedRewardModel, new_reward_model
from bakeoff.rewards.steps import split_steps


@pytest.fixture
def build(policy) -> Callable[..., LoadedRewardModel]:
    """Makes a reward model that a test may train."""

    def make(
        kind: RewardKind = RewardKind.PROCESS,
        head: RewardHead = RewardHead.SCALAR,
        **settings: object,
    ) -> LoadedRewardModel:
        return new_reward_model(
            policy,
            kind=kind,
            head=head,
            config=ModelConfig(model="config:builtin"),
            instruction="{question}\n",
            init_seed=1,
            **settings,
        )

    return make


def labelled(question: str, response: str, *labels: float, finished: bool = True):
    """A solution whose steps are its lines."""
    return LabelledSolution(
        question=question,
        response=response,
        ends=tuple(step.end for step in split_steps(response)),
        labels=labels,
        finished=finished,
    )


@pytest.fixture
def solutions() -> list[LabelledSolution]:
    """Different numbers of steps, soft and hard labels, one that was cut."""
    return [
        labelled("2 +3", "2+3=5\n#5", 1, 1),
        labelled("47 +8 -5", "47+8=56\n56-5=51\n#51", 0, 0.25, 0),
        labelled("9 *9", "9*9=81\n#8", 1, 0.5, finished=False),
        labelled("1 +1 +1 +1", "1+1=2\n2+1=3\n3+1=4\n#4", 1, 1, 0.75, 1),
        labelled("5 -4", "#1", 1),
    ]
