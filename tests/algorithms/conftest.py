import pytest
import torch

from bakeoff.batch import TokenBatch

ROLLOUTS, TOKENS = 6, 7


@pytest.fixture
def batch() -> TokenBatch:
    """Two groups of three, ragged lengths, every field filled."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([7, 3, 5, 1, 6, 2])
    mask = torch.arange(TOKENS)[None] < lengths[:, None]

    def noise() -> torch.Tensor:
        return torch.randn(ROLLOUTS, TOKENS, generator=generator)

    correct = torch.tensor([True, False, True, False, False, True])
    step_mask = torch.zeros(ROLLOUTS, TOKENS, dtype=torch.bool)
    step_mask[torch.arange(ROLLOUTS), lengths - 1] = True
    step_mask[:, 0] = True
    old_logprobs = -noise().abs() * mask
    return TokenBatch(
        input_ids=torch.zeros(ROLLOUTS, TOKENS, dtype=torch.int64),
        attention_mask=mask,
        response_mask=mask,
        groups=torch.tensor([0, 0, 0, 1, 1, 1]),
        correct=correct,
        rewards=correct.float(),
        truncated=torch.zeros(ROLLOUTS, dtype=torch.bool),
        step_rewards=noise() * step_mask,
        step_mask=step_mask,
        sampler_logprobs=old_logprobs,
        old_logprobs=old_logprobs,
        ref_logprobs=-noise().abs() * mask,
        old_values=noise() * mask,
    )
