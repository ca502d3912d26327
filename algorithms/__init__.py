"""The methods under comparison, by the name used in configs, records and reports."""

from collections.abc import Mapping

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

PRESETS: Mapping[str, MethodConfig] = {
    "sft": SFTConfig(),
    "rft": RFTConfig(),
    "online_rft": OnlineRFTConfig(),
    "dpo": DPOConfig(),
    "ppo": PPOConfig(),
    "ppo_process": PPOConfig(supervision="process"),
    "grpo": GRPOConfig(),
    "grpo_process": GRPOConfig(supervision="process"),
    "grpo_iterative": GRPOConfig(
        iteration_batches=20, reset_reference=True, refit_reward_model=True
    ),
    "dr_grpo": DrGRPOConfig(),
    "dapo": DAPOConfig(),
    "gspo": GSPOConfig(),
    "cispo": CISPOConfig(),
    "rloo": RLOOConfig(),
    "reinforce": ReinforceConfig(),
    "reinforce_rej": ReinforceConfig(drop_all_wrong=True, drop_all_correct=True),
    "reinforce++": ReinforcePlusPlusConfig(),
    "reinforce++_baseline": ReinforcePlusPlusConfig(group_size=8, group_baseline=True),
    "raft++": RAFTPlusPlusConfig(),
}
