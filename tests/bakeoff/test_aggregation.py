import pytest
import torch

from bakeoff.aggregation import loss_weights
from bakeoff.config import Aggregation

MASK = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]).bool()
ALL = torch.ones(3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("how", "per_token"),
    [
        (Aggregation.SEQUENCE_MEAN, [1 / 12, 1 / 3, 1 / 6]),
        (Aggregation.TOKEN_MEAN, [1 / 7, 1 / 7, 1 / 7]),
        (Aggregation.CONSTANT, [1 / 30, 1 / 30, 1 / 30]),
    ],
)
def test_weights_by_hand(how, per_token):
    weights = loss_weights(MASK, ALL, how, max_response_tokens=10)
    assert torch.allclose(weights, torch.tensor(per_token)[:, None] * MASK)


@pytest.mark.parametrize("how", [Aggregation.SEQUENCE_MEAN, Aggregation.TOKEN_MEAN])
def test_weights_of_the_means_sum_to_one(how):
    keep = torch.tensor([True, False, True])
    weights = loss_weights(MASK, keep, how, max_response_tokens=10)
    assert weights.sum().item() == pytest.approx(1)
    assert not weights[1].any()


def test_token_mean_is_not_sequence_mean():
    """Losses 3 and 6 over 1 and 2 tokens: means of 4.5 and of 5."""
    mask = torch.tensor([[1, 0], [1, 1]]).bool()
    losses = torch.tensor([[3.0, 0.0], [6.0, 6.0]])
    values = [
        (losses * loss_weights(mask, ALL[:2], how, max_response_tokens=2)).sum().item()
        for how in (Aggregation.SEQUENCE_MEAN, Aggregation.TOKEN_MEAN, Aggregation.CONSTANT)
    ]
    assert values == pytest.approx([4.5, 5.0, 3.75])


@pytest.mark.parametrize("how", Aggregation)
def test_nothing_kept_gives_no_weight_and_no_nan(how):
    weights = loss_weights(MASK, ~ALL, how, max_response_tokens=10)
    assert not weights.any()
