"""From a method's settings to the method."""

from algorithms.cispo import CISPO
from algorithms.configs import (
    CISPOConfig,
    DAPOConfig,
    DPOConfig,
    DrGRPOConfig,
    GRPOConfig,
    GSPOConfig,
    MethodConfig,
    OnlineRFTConfig,
    PPOConfig,
    RAFTPlusPlusConfig,
    ReinforceConfig,
    ReinforcePlusPlusConfig,
    RFTConfig,
    RLOOConfig,
    SFTConfig,
)
from algorithms.dapo import DAPO
from algorithms.dpo import DPO
from algorithms.dr_grpo import DrGRPO
from algorithms.grpo import GRPO
from algorithms.gspo import GSPO
from algorithms.ppo import PPO
from algorithms.raft_plus_plus import RAFTPlusPlus
from algorithms.reinforce import Reinforce
from algorithms.reinforce_plus_plus import ReinforcePlusPlus, ReinforcePlusPlusBaseline
from algorithms.rft import RFT, OnlineRFT
from algorithms.rloo import RLOO
from algorithms.sft import SFT
from bakeoff.interfaces import Algorithm


def build(config: MethodConfig) -> Algorithm:
    """The method that these settings describe."""
    match config:
        case SFTConfig():
            return SFT(config)
        case RFTConfig():
            return RFT(config)
        case OnlineRFTConfig():
            return OnlineRFT(config)
        case DPOConfig():
            return DPO(config)
        case PPOConfig():
            return PPO(config)
        case GRPOConfig():
            return GRPO(config)
        case DrGRPOConfig():
            return DrGRPO(config)
        case DAPOConfig():
            return DAPO(config)
        case GSPOConfig():
            return GSPO(config)
        case CISPOConfig():
            return CISPO(config)
        case RLOOConfig():
            return RLOO(config)
        case ReinforcePlusPlusConfig(group_baseline=False):
            return ReinforcePlusPlus(config)
        case ReinforcePlusPlusConfig():
            return ReinforcePlusPlusBaseline(config)
        case ReinforceConfig():
            return Reinforce(config)
        case RAFTPlusPlusConfig():
            return RAFTPlusPlus(config)
