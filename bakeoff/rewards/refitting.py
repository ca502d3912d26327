"""Puts together what refits a cell's reward model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bakeoff.errors import ConfigError
from bakeoff.interfaces import IterationPlan, NoiseAddress, RewardFunction
from bakeoff.ledger import Ledger
from bakeoff.models.flops import flops_model
from bakeoff.records import Row
from bakeoff.reward_models.annotation import Annotator
from bakeoff.reward_models.examples import LabelledSolution
from bakeoff.reward_models.folder import RewardKind
from bakeoff.reward_models.history import read_history
from bakeoff.reward_models.refit import Labeller, Observed, RewardRefit, outcome_labels
from bakeoff.reward_models.settings import RewardTrainingConfig
from bakeoff.reward_models.solutions import Solution
from bakeoff.reward_models.training import RewardModelTrainer
from bakeoff.rewards.model_reward import ModelReward
from bakeoff.rewards.shaping import LengthShaping
from bakeoff.world import World


def build_refit(
    iteration: IterationPlan | None, reward: RewardFunction, world: World, ledger: Ledger
) -> RewardRefit | None:
    """What refits the reward model between outer iterations; None where the plan asks for none.

    Raises:
        ConfigError: the plan asks for refits, but the reward has no model.
    """
    if iteration is None or not iteration.refit_reward_model:
        return None
    scoring = reward.reward if isinstance(reward, LengthShaping) else reward
    if not isinstance(scoring, ModelReward):
        raise ConfigError(
            "refit_reward_model needs a reward model to refit: set reward `model` and "
            "reward_model, or refit_reward_model false"
        )
    config = world.config.reward
    return RewardRefit(
        RewardModelTrainer(
            scoring.loaded,
            RewardTrainingConfig(
                learning_rate=config.refit_learning_rate,
                micro_batch_tokens=world.config.training.micro_batch_tokens,
            ),
            seed=world.seeds.data,
        ),
        _labeller(scoring.loaded.kind, world, ledger),
        history=read_history(Path(str(config.reward_model))),
        replay_share=iteration.replay_share,
        solutions=config.refit_solutions,
        seed=world.seeds.data,
        ledger=ledger,
        flops_per_token=scoring.flops_per_token,
    )


def _labeller(kind: RewardKind, world: World, ledger: Ledger) -> Labeller:
    """How fresh responses get their labels: by the verifier, or step by step by the policy."""
    if kind is RewardKind.OUTCOME:
        return outcome_labels
    annotator = Annotator(
        completer=world.sampler,
        prompts=world.prompts,
        tokenizer=world.policy.tokenizer,
        verifier=world.verifier,
        step_checker=None,
        task=world.task.name,
        sampling=world.config.sampling,
        completions=world.config.reward.refit_completions,
        ledger=ledger,
        flops=flops_model(world.policy.model),
    )

    def label(observed: Sequence[Observed], refit: int) -> list[LabelledSolution]:
        noise = NoiseAddress(seed=world.seeds.sampling, batch=f"refit/{refit}")
        solutions = [_solution(one, number) for number, one in enumerate(observed)]
        return [_example(row) for row in annotator.annotate(solutions, noise=noise) if row["steps"]]

    return label


def _example(row: Row) -> LabelledSolution:
    """Hard labels, which is what the paper's reward model is trained on."""
    return LabelledSolution(
        question=row["question"],
        response=row["response"],
        ends=tuple(step["end"] for step in row["steps"]),
        labels=tuple(float(step["hard"]) for step in row["steps"]),
        finished=row["finish"] == "stop",
    )


def _solution(observed: Observed, number: int) -> Solution:
    return Solution(
        problem=observed.problem,
        number=number,
        response=observed.response,
        finish="stop" if observed.finished else "length",
    )
