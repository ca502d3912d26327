"""The methods under comparison, by the name used in configs, records and reports."""

from collections.abc import Mapping

from algorithms.configs import (
    GRPOConfig,
    MethodConfig,
    OnlineRFTConfig,
    PPOConfig,
    RFTConfig,
    SFTConfig,
)

PRESETS: Mapping[str, MethodConfig] = {
    "sft": SFTConfig(),
    "rft": RFTConfig(),
    "online_rft": OnlineRFTConfig(),
    "ppo": PPOConfig(),
    "grpo": GRPOConfig(),
}
