import torch

from algorithms.configs import OnlineRFTConfig, RAFTPlusPlusConfig


def test_the_gradient_is_the_surrogate_on_correct_responses_alone(
    batch, moved, method_gradient, paper_gradient
):
    """arXiv:2504.11343v2 section 3: an advantage of 1, so only the upper clip acts."""

    def objective(rows):
        correct = [row for row in rows if row.correct]
        total = 0.0
        for row in correct:
            clipped = row.ratio.clamp(0.8, 1.2)
            total = total + torch.minimum(row.ratio, clipped).mean() / len(correct)
        return total

    expected = paper_gradient(objective, batch, moved)
    assert torch.allclose(method_gradient(RAFTPlusPlusConfig(), batch, moved), expected, atol=1e-6)
    ratio = (moved - batch.old_logprobs).exp()
    alive = batch.response_mask & batch.correct[:, None] & (ratio <= 1.2)
    assert torch.equal(expected != 0, alive)


def test_on_policy_it_is_online_rft(batch, method_gradient):
    ours = method_gradient(RAFTPlusPlusConfig(), batch, batch.old_logprobs)
    theirs = method_gradient(OnlineRFTConfig(), batch, batch.old_logprobs)
    assert theirs.any()
    assert torch.allclose(ours, theirs, atol=1e-7)
