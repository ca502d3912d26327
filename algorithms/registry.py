"""From a method's settings to the method."""

from algorithms.configs import (
    GRPOConfig,
    MethodConfig,
    OnlineRFTConfig,
    PPOConfig,
    RFTConfig,
    SFTConfig,
)
from algorithms.grpo import GRPO
from algorithms.ppo import PPO
from algorithms.rft import RFT
from algorithms.sft import SFT
from bakeoff.interfaces import Algorithm


def build(config: MethodConfig) -> Algorithm:
    """The method that these settings describe."""
    match config:
        case SFTConfig():
            return SFT(config)
        case RFTConfig() | OnlineRFTConfig():
            return RFT(config)
        case PPOConfig():
            return PPO(config)
        case GRPOConfig():
            return GRPO(config)
