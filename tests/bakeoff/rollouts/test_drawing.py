from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.config import SamplingConfig
from bakeoff.rollouts.drawing import STRETCH, draw_tokens, invert, truncate

SAMPLING = SamplingConfig()


def test_tokens_are_drawn_with_their_probabilities():
    logits = torch.tensor([[2.0, 0.0, -1.0, float("-inf")]])
    draws = torch.from_numpy(np.random.default_rng(0).random(20_000))
    chosen, _ = draw_tokens(logits.repeat(20_000, 1), draws, SAMPLING)
    shares = torch.bincount(chosen, minlength=4) / 20_000
    assert torch.allclose(shares, logits.softmax(dim=1)[0], atol=0.01)
    assert shares[3] == 0


def test_the_edges_of_the_noise_pick_tokens_that_can_be_drawn():
    logits = torch.tensor([[float("-inf"), 0.0, 0.0, float("-inf")]] * 2)
    draws = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    chosen, _ = draw_tokens(logits, draws, SAMPLING)
    assert chosen.tolist() == [1, 2]


def test_top_k_and_top_p_keep_the_right_tokens():
    probabilities = torch.tensor([[0.1, 0.5, 0.15, 0.25]])
    assert truncate(probabilities, replace(SAMPLING, top_k=2)).nonzero()[:, 1].tolist() == [1, 3]
    # 0.5 alone is less than 0.6, so the next one still enters.
    assert truncate(probabilities, replace(SAMPLING, top_p=0.6)).nonzero()[:, 1].tolist() == [1, 3]
    assert torch.equal(truncate(probabilities, SAMPLING), probabilities)


@given(st.integers(1, 3 * STRETCH + 1), st.integers(0, 2**32 - 1))
def test_two_levels_draw_what_one_cumulative_sum_draws(vocabulary, seed):
    # Whole numbers add up without rounding, so both must agree to the word.
    noise = np.random.default_rng(seed)
    weights = torch.from_numpy(noise.integers(0, 4, (5, vocabulary))).float()
    weights[:, noise.integers(vocabulary)] += 1
    draws = torch.from_numpy(noise.random(5))
    cumulative = weights.double().cumsum(dim=1)
    expected = torch.searchsorted(cumulative, draws[:, None] * cumulative[:, -1:], right=True)
    assert invert(weights, draws).tolist() == expected.flatten().tolist()


@given(st.integers(0, 2**32 - 1))
def test_no_draw_finds_a_word_of_no_weight(seed):
    noise = np.random.default_rng(seed)
    weights = torch.from_numpy(noise.random((4, 2 * STRETCH)) * (noise.random(2 * STRETCH) < 0.01))
    weights[:, 7] = 1e-9
    draws = torch.tensor([0.0, 1 - 2**-53, 1 - 2**-53, noise.random()], dtype=torch.float64)
    chosen = invert(weights.float(), draws)
    assert (weights.float().gather(1, chosen[:, None]) > 0).all()


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_the_logprob_is_that_of_the_untruncated_distribution(temperature):
    logits = torch.randn(6, 9, generator=torch.Generator().manual_seed(0))
    sampling = SamplingConfig(temperature=temperature, top_k=2)
    table = (logits / (temperature or 1.0)).log_softmax(dim=1)
    chosen, logprobs = draw_tokens(logits, torch.linspace(0, 0.9, 6).double(), sampling)
    assert torch.allclose(logprobs, table.gather(1, chosen[:, None]).squeeze(1), atol=1e-6)
