import pytest

from bakeoff.config import TrainingConfig
from bakeoff.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"lora_rank": -1}, "lora_rank must be at least 0, got -1"),
        ({"lora_rank": 4, "lora_alpha": 0.0}, r"lora_alpha must be above 0, got 0\.0"),
        ({"lora_alpha": 16.0}, "lora_alpha is for lora_rank above 0"),
    ],
)
def test_adapters_that_cannot_be_are_refused(settings, told):
    with pytest.raises(ConfigError, match=told):
        TrainingConfig(**settings)
