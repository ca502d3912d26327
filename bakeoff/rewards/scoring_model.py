"""The model behind a reward."""

from torch import nn

from bakeoff.interfaces import RewardFunction
from bakeoff.rewards.model_reward import ModelReward
from bakeoff.rewards.shaping import LengthShaping


def scoring_model(reward: RewardFunction) -> nn.Module | None:
    """The live reward model of a reward, shaped or not; None where none scores."""
    unshaped = reward.reward if isinstance(reward, LengthShaping) else reward
    return unshaped.loaded.model if isinstance(unshaped, ModelReward) else None
