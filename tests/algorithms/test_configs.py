import pytest

from algorithms.configs import (
    CISPOConfig,
    DAPOConfig,
    DPOConfig,
    DrGRPOConfig,
    GRPOConfig,
    GSPOConfig,
    OnlineRFTConfig,
    PPOConfig,
    RAFTPlusPlusConfig,
    ReinforceConfig,
    ReinforcePlusPlusConfig,
    RFTConfig,
    RLOOConfig,
    SFTConfig,
)
from bakeoff.errors import ConfigError


@pytest.mark.parametrize(
    "config",
    [GRPOConfig, DrGRPOConfig, DAPOConfig, GSPOConfig, CISPOConfig, RLOOConfig, DPOConfig],
)
def test_a_group_of_one_is_refused_where_the_group_is_the_baseline(config):
    with pytest.raises(ConfigError, match="at least 2"):
        config(group_size=1)


def test_a_group_of_one_is_refused_for_reinforce_plus_plus_with_a_baseline_alone():
    assert ReinforcePlusPlusConfig().group_size == 1
    with pytest.raises(ConfigError, match="at least 2"):
        ReinforcePlusPlusConfig(group_baseline=True)


@pytest.mark.parametrize(
    ("config", "settings", "named"),
    [
        (SFTConfig, {"updates": 0}, "updates"),
        (GRPOConfig, {"clip_epsilon": None, "clip_epsilon_high": 0.3}, "without a clip_epsilon"),
        (ReinforceConfig, {"group_size": 1, "subtract_mean": True}, "group_size"),
        (ReinforceConfig, {"group_size": 1, "divide_by_std": True}, "group_size"),
        (GRPOConfig, {"kl_coefficient": -0.1}, "kl_coefficient"),
        (GRPOConfig, {"clip_epsilon": 0}, "clip_epsilon"),
        (GRPOConfig, {"clip_epsilon_high": -1}, "clip_epsilon_high"),
        (GRPOConfig, {"iteration_batches": 0, "reset_reference": True}, "iteration_batches"),
        (GRPOConfig, {"iteration_batches": 5}, "reset_reference or refit_reward_model"),
        (GRPOConfig, {"reset_reference": True}, "iteration_batches None"),
        (GRPOConfig, {"refit_reward_model": True}, "iteration_batches None"),
        (GRPOConfig, {"replay_share": 1}, "replay_share"),
        (GRPOConfig, {"replay_share": -0.1}, "replay_share"),
        (DrGRPOConfig, {"kl_coefficient": -0.1}, "kl_coefficient"),
        (DAPOConfig, {"sampling_rounds": 0}, "sampling_rounds"),
        (DAPOConfig, {"clip_epsilon_high": 0}, "clip_epsilon_high"),
        (GSPOConfig, {"epochs": 0}, "epochs"),
        (CISPOConfig, {"ratio_limit": 0}, "ratio_limit"),
        (RLOOConfig, {"kl_coefficient": -1}, "kl_coefficient"),
        (ReinforcePlusPlusConfig, {"kl_coefficient": -1}, "kl_coefficient"),
        (ReinforceConfig, {"group_size": 0}, "group_size"),
        (RAFTPlusPlusConfig, {"minibatches": 0}, "minibatches"),
        (PPOConfig, {"gae_lambda_policy": 1.5}, "gae_lambda_policy"),
        (PPOConfig, {"minibatches": 0}, "minibatches"),
        (DPOConfig, {"kl_coefficient": 0}, "kl_coefficient"),
        (DPOConfig, {"pool_problems": 0}, "pool_problems"),
        (RFTConfig, {"epochs": 0}, "epochs"),
        (RFTConfig, {"pool_problems": 0}, "pool_problems"),
        (OnlineRFTConfig, {"group_size": 0}, "group_size"),
        (OnlineRFTConfig, {"kl_coefficient": -1}, "kl_coefficient"),
        (OnlineRFTConfig, {"offline_share": -0.1}, "offline_share"),
        (OnlineRFTConfig, {"offline_share": 1.1}, "offline_share"),
        (OnlineRFTConfig, {"offline_share": 0.5, "kl_coefficient": 0.1}, "one of the two to 0"),
        (GRPOConfig, {"kl_placement": "reward", "supervision": "process"}, "kl_placement loss"),
    ],
)
def test_impossible_settings_are_refused_by_name(config, settings, named):
    with pytest.raises(ConfigError, match=named) as caught:
        config(**settings)
    assert "\n" not in str(caught.value)
