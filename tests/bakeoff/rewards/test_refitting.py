from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from algorithms import PRESETS
from bakeoff.config import ModelConfig
from bakeoff.errors import ConfigError
from bakeoff.interfaces import IterationPlan
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory
from bakeoff.models.flops import flops_model
from bakeoff.models.loading import load_policy
from bakeoff.reward_models.examples import LabelledSolution
from bakeoff.reward_models.folder import RewardHead, RewardKind
from bakeoff.reward_models.history import keep_history
from bakeoff.reward_models.model import new_reward_model, save_reward_model
from bakeoff.reward_models.refit import Observed, RewardRefit, outcome_labels
from bakeoff.rewards.model_reward import ModelReward
from bakeoff.rewards.refitting import build_refit
from bakeoff.rewards.registry import load_reward
from bakeoff.rewards.shaping import LengthShaping
from bakeoff.rollouts.sources import LiveSource, RolloutMaker
from bakeoff.settings import cell_config
from bakeoff.tasks.arithmetic_task import ArithmeticTask
from bakeoff.types import Problem
from bakeoff.world import World, build_world

REFIT = IterationPlan(batches=2, reset_reference=False, refit_reward_model=True, replay_share=0.25)
EARLIER = [
    LabelledSolution(question="2 +3", response=f"#{n}", ends=(2,), labels=(float(n == 5),))
    for n in range(8)
]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[RewardKind], Path]:
    def make(kind: RewardKind) -> Path:
        config = ModelConfig(model="config:builtin")
        loaded = new_reward_model(
            load_policy(config, init_seed=0),
            kind=kind,
            head=RewardHead.SCALAR,
            config=config,
            instruction=ArithmeticTask.instruction,
            init_seed=0,
        )
        path = tmp_path / kind.value
        path.mkdir(exist_ok=True)
        save_reward_model(loaded, path, info=loaded.info)
        keep_history(path, EARLIER, seed=0)
        return path

    return make


def world_of(**settings: Any) -> World:
    defaults = {"max_response_tokens": 10, "train_problems": 6, "refit_learning_rate": 1e-2}
    config = cell_config("grpo", PRESETS["grpo"], {"model": "builtin"} | defaults | settings)
    return build_world(config)


def refit_of(world: World) -> tuple[RewardRefit | None, Any, Ledger]:
    ledger = Ledger(PeakMemory(torch.device("cpu")))
    reward = load_reward(world.config.reward, world.reward_context())
    return build_refit(REFIT, reward, world, ledger), reward, ledger


def observed(*texts: str, answer: str = "5", finished: bool = True) -> list[Observed]:
    problem = Problem(id="arithmetic/train/0", question="2 +3", answer=answer)
    return [
        Observed(problem=problem, response=text, finished=finished, correct=text.endswith("#5"))
        for text in texts
    ]


@pytest.mark.parametrize(
    "iteration",
    [
        None,
        IterationPlan(batches=2, reset_reference=True, refit_reward_model=False, replay_share=0.1),
    ],
)
def test_without_a_plan_for_it_nothing_is_refitted(iteration: IterationPlan | None) -> None:
    world = world_of()
    reward = load_reward(world.config.reward, world.reward_context())
    assert build_refit(iteration, reward, world, Ledger(PeakMemory(torch.device("cpu")))) is None


@pytest.mark.parametrize("name", ["rule", "steps", "random"])
def test_a_reward_without_a_model_cannot_be_refitted(name: str) -> None:
    with pytest.raises(ConfigError, match="set reward `model`") as caught:
        refit_of(world_of(reward=name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shaping", [{}, {"length_penalty": 0.2}])
def test_the_model_that_scores_is_the_one_that_is_refitted(
    folder: Callable[[RewardKind], Path], shaping: dict[str, float]
) -> None:
    """Through a penalty on length too."""
    path = folder(RewardKind.OUTCOME)
    world = world_of(reward="model", reward_model=str(path), **shaping)
    refit, reward, ledger = refit_of(world)
    assert isinstance(reward, LengthShaping if shaping else ModelReward)
    maker = RolloutMaker(
        prompts=world.training_prompts(),
        sampler=world.sampler,
        reward=reward,
        sampling=world.config.sampling,
        ledger=ledger,
        seeds=world.seeds,
        flops=flops_model(world.policy.model),
        group_size=4,
        problems_per_step=3,
    )
    source = LiveSource(maker)
    rollouts = source.draw(0)
    read = ledger.reward_model_tokens
    refit.observe(rollouts)
    refit.refit()
    again = source.draw(0)
    assert [r.completion for r in again] == [r.completion for r in rollouts]
    assert [r.reward.outcome for r in again] != [r.reward.outcome for r in rollouts]
    assert ledger.reward_model_tokens > 2 * read  # scored twice, and trained on
    assert ledger.seconds["refit"] > 0


def test_an_outcome_model_is_labelled_by_the_verifier_and_replays_its_history(
    folder: Callable[[RewardKind], Path],
) -> None:
    path = folder(RewardKind.OUTCOME)
    refit, _, _ = refit_of(world_of(reward="model", reward_model=str(path), refit_solutions=7))
    assert refit._label is outcome_labels
    assert sorted(one.response for one in refit._history) == [f"#{n}" for n in range(8)]
    assert refit._replay_share == 0.25
    assert refit._solutions == 7


def test_a_process_model_is_labelled_step_by_step_by_the_policy(
    folder: Callable[[RewardKind], Path],
) -> None:
    """The built-in policy almost always finishes one addition, and never mends a wrong one."""
    path = folder(RewardKind.PROCESS)
    world = world_of(reward="model", reward_model=str(path), refit_completions=6)
    refit, _, ledger = refit_of(world)
    texts = ("2+3=5\n#5", "2+3=6\n#6", "2+3=6\n#5", "")
    right, wrong, lucky = refit._label(observed(*texts), 0)
    assert [one.response for one in (right, wrong, lucky)] == list(texts[:3])
    assert right.ends == wrong.ends == (6, 8)
    assert right.labels == (1.0, 1.0)
    assert wrong.labels[1] == 0.0
    assert lucky.labels[1] == 1.0
    # From the first step of each on, six completions; the last step takes the verifier's word.
    assert ledger.rollouts == 3 * 6
    assert ledger.sampled_tokens > 0
    (cut,) = refit._label(observed("2+3=5\n#", finished=False), 0)
    assert not cut.finished
    assert ledger.rollouts == 5 * 6


def test_labels_are_a_function_of_the_refit_they_are_for(
    folder: Callable[[RewardKind], Path],
) -> None:
    """A resumed run labels as the whole one does."""
    path = folder(RewardKind.PROCESS)
    texts = ("47+8=55\n55-5=50\n#50", "47+8=56\n#56", "47+8=55\n55-5=51\n#51")
    problem = Problem(id="p", question="47 +8 -5 *2 +3 -7", answer="96")
    seen = [Observed(problem=problem, response=t, finished=True, correct=False) for t in texts]

    def completions(number: int) -> list[Any]:
        world = world_of(
            reward="model",
            reward_model=str(path),
            refit_completions=8,
            max_response_tokens=40,
            temperature=2.0,
        )
        refit, _, ledger = refit_of(world)
        labelled = refit._label(seen, number)
        return [labelled, ledger.sampled_tokens, ledger.flops]

    assert completions(0) == completions(0)
    assert completions(0) != completions(1)
