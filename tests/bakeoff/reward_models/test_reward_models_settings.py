import pytest

from bakeoff.errors import ConfigError
from bakeoff.reward_models.settings import BUILTIN_TRAINING, RewardTrainingConfig


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": 0.0},
        {"head_learning_rate": -1.0},
        {"max_grad_norm": 0.0},
        {"epochs": 0},
        {"batch_solutions": 0},
        {"micro_batch_tokens": 0},
        {"learning_rate_warmup_steps": -1},
    ],
)
def test_what_cannot_train_is_refused_by_name_and_value(values: dict[str, float]) -> None:
    [(name, value)] = values.items()
    with pytest.raises(ConfigError, match=f"{name} must be .*, got {value}"):
        RewardTrainingConfig(**values)  # type: ignore[arg-type]


def test_no_warm_up_and_the_settings_of_the_builtin_model_are_allowed() -> None:
    config = RewardTrainingConfig(learning_rate_warmup_steps=0, **BUILTIN_TRAINING)  # type: ignore[arg-type]
    assert config.learning_rate == BUILTIN_TRAINING["learning_rate"]
