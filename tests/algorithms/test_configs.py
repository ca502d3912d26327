import pytest

from algorithms.configs import GRPOConfig, OnlineRFTConfig, PPOConfig, RFTConfig
from bakeoff.errors import ConfigError


def test_a_group_of_one_is_refused_for_grpo():
    with pytest.raises(ConfigError, match="at least 2"):
        GRPOConfig(group_size=1)


@pytest.mark.parametrize(
    ("config", "settings", "named"),
    [
        (GRPOConfig, {"kl_coefficient": -0.1}, "kl_coefficient"),
        (GRPOConfig, {"clip_epsilon": 0}, "clip_epsilon"),
        (GRPOConfig, {"reference_refresh_every": 0}, "reference_refresh_every"),
        (PPOConfig, {"gae_lambda_policy": 1.5}, "gae_lambda_policy"),
        (PPOConfig, {"minibatches": 0}, "minibatches"),
        (RFTConfig, {"epochs": 0}, "epochs"),
        (RFTConfig, {"pool_problems": 0}, "pool_problems"),
        (OnlineRFTConfig, {"group_size": 0}, "group_size"),
    ],
)
def test_impossible_settings_are_refused_by_name(config, settings, named):
    with pytest.raises(ConfigError, match=named):
        config(**settings)
