import pytest
import torch

from bakeoff.batch import collate
from bakeoff.logprobs import position_ids, response_hidden, response_logprobs, selected_logprobs

TOKENS, HIDDEN, VOCABULARY = 13, 8, 31


def plain(hidden, weight, bias, targets, temperature):
    """The slow twin: all logits at once."""
    logits = hidden @ weight.T
    if bias is not None:
        logits = logits + bias
    table = (logits / temperature).log_softmax(dim=1)
    return table.gather(1, targets[:, None]).squeeze(1), -(table.exp() * table).sum(dim=1)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOKENS, HIDDEN, generator=generator, dtype=torch.float32)
    weight = torch.randn(VOCABULARY, HIDDEN, generator=generator)
    bias = torch.randn(VOCABULARY, generator=generator)
    targets = torch.randint(0, VOCABULARY, (TOKENS,), generator=generator)
    return hidden, weight, bias, targets


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0])
@pytest.mark.parametrize("logits_per_tile", [1, VOCABULARY, 5 * VOCABULARY, 1 << 20])
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_equal_a_plain_log_softmax(
    inputs, temperature, logits_per_tile, biased
):
    hidden, weight, bias, targets = inputs
    upstream = torch.linspace(-1, 1, TOKENS)
    leaves = [[t.clone().requires_grad_() for t in (hidden, weight, bias)] for _ in range(2)]
    ours, entropy = selected_logprobs(
        leaves[0][0],
        leaves[0][1],
        leaves[0][2] if biased else None,
        targets,
        temperature=temperature,
        logits_per_tile=logits_per_tile,
    )
    expected, expected_entropy = plain(
        leaves[1][0], leaves[1][1], leaves[1][2] if biased else None, targets, temperature
    )
    assert torch.allclose(ours, expected, atol=1e-5)
    assert torch.allclose(entropy, expected_entropy, atol=1e-5)
    (ours * upstream).sum().backward()
    (expected * upstream).sum().backward()
    for mine, theirs in zip(*leaves, strict=True):
        if theirs.grad is not None:
            assert torch.allclose(mine.grad, theirs.grad, atol=1e-5)


def test_the_gradient_is_right_by_finite_differences(inputs):
    hidden, weight, bias, targets = (t.double() if t.is_floating_point() else t for t in inputs)

    def logprobs(h, w, b):
        # The log-softmax is float32 by design, so differences are taken coarsely.
        return selected_logprobs(h, w, b, targets, temperature=0.8, logits_per_tile=62)[0]

    leaves = [t.requires_grad_() for t in (hidden, weight, bias)]
    assert torch.autograd.gradcheck(logprobs, leaves, eps=1e-2, atol=2e-2, rtol=1e-2)


def test_entropy_carries_no_gradient(inputs):
    hidden, weight, bias, targets = inputs
    _, entropy = selected_logprobs(hidden.requires_grad_(), weight, bias, targets, temperature=1.0)
    assert not entropy.requires_grad


def test_no_tokens_give_no_logprobs(inputs):
    hidden, weight, bias, targets = inputs
    logprobs, entropy = selected_logprobs(hidden[:0], weight, bias, targets[:0], temperature=1.0)
    assert logprobs.shape == entropy.shape == (0,)


def test_half_precision_inputs_get_a_float32_log_softmax(inputs):
    hidden, weight, _, targets = inputs
    half = hidden.bfloat16(), weight.bfloat16()
    ours, _ = selected_logprobs(*half, None, targets, temperature=1.0)
    assert ours.dtype == torch.float32
    expected, _ = plain((half[0] @ half[1].T).float(), torch.eye(VOCABULARY), None, targets, 1.0)
    assert torch.allclose(ours, expected, atol=1e-5)


def test_response_logprobs_equal_the_models_own_logits(policy, rollouts):
    batch = collate(rollouts, pad_token_id=policy.pad_token_id)
    with torch.no_grad():
        hidden = response_hidden(policy.model, batch)
        ours, _ = response_logprobs(policy.model, batch, hidden, temperature=0.7)
    for row, rollout in enumerate(rollouts):
        ids = torch.tensor([rollout.prompt_ids + rollout.completion.token_ids])
        with torch.no_grad():
            table = (policy.model(ids).logits[0] / 0.7).log_softmax(dim=1)
        start = len(rollout.prompt_ids)
        length = len(rollout.completion.token_ids)
        expected = table[start - 1 : start - 1 + length].gather(1, ids[0, start:, None])[:, 0]
        assert torch.allclose(ours[row, :length], expected, atol=2e-5)
        assert not ours[row, length:].any()


def test_left_padding_changes_nothing(policy, rollouts):
    alone = collate(rollouts[:1], pad_token_id=policy.pad_token_id)
    longest = max(rollouts, key=lambda r: len(r.prompt_ids))
    padded = collate([rollouts[0], longest], pad_token_id=policy.pad_token_id)
    assert padded.prompt_length > alone.prompt_length
    with torch.no_grad():
        one, other = (
            response_logprobs(
                policy.model, batch, response_hidden(policy.model, batch), temperature=1.0
            )[0][0]
            for batch in (alone, padded)
        )
    assert torch.allclose(one, other[: len(one)], atol=2e-5)


def test_positions_start_at_the_first_real_token():
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 0]])
    assert position_ids(mask).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 3]]
