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
        (Aggregation.SEQUENCE_SUM, [1 / 3, 1 / 3, 1 / 3]),
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


def test_a_sum_over_tokens_is_a_mean_over_kept_rollouts():
    keep = torch.tensor([True, False, True])
    weights = loss_weights(MASK, keep, Aggregation.SEQUENCE_SUM, max_response_tokens=10)
    assert torch.equal(weights, 0.5 * (MASK & keep[:, None]))


def test_a_constant_is_the_sum_over_the_limit():
    summed, constant = (
        loss_weights(MASK, ALL, how, max_response_tokens=10)
        for how in (Aggregation.SEQUENCE_SUM, Aggregation.CONSTANT)
    )
    assert torch.allclose(constant * 10, summed)


def test_every_mean_is_another_one():
    """Losses 3 and 6 over 1 and 2 tokens: 3 and 6, 3 + 6 + 6 tokens, and sums 3 and 12."""
    mask = torch.tensor([[1, 0], [1, 1]]).bool()
    losses = torch.tensor([[3.0, 0.0], [6.0, 6.0]])
    values = [
        (losses * loss_weights(mask, ALL[:2], how, max_response_tokens=2)).sum().item()
        for how in (
            Aggregation.SEQUENCE_MEAN,
            Aggregation.TOKEN_MEAN,
            Aggregation.SEQUENCE_SUM,
            Aggregation.CONSTANT,
        )
    ]
    assert values == pytest.approx([4.5, 5.0, 7.5, 3.75])


@pytest.mark.parametrize("how", Aggregation)
def test_nothing_kept_gives_no_weight_and_no_nan(how):
    weights = loss_weights(MASK, ~ALL, how, max_response_tokens=10)
    assert not weights.any()
