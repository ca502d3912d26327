"""The one place where a per-token loss becomes a scalar."""

from torch import Tensor

from bakeoff.config import Aggregation


def loss_weights(
    response_mask: Tensor, keep: Tensor, how: Aggregation, *, max_response_tokens: int
) -> Tensor:
    """Weight of every token in the scalar loss ``(token_loss * weights).sum()``.

    Computed once over all rollouts of an optimizer step, before they are cut into micro-batches,
    so the gradient does not depend on the cut.

    Args:
        response_mask: [N, T] bool.
        keep: [N] bool; rollouts left out here leave the denominator too.
        how: which mean the loss is.
        max_response_tokens: the constant of `Aggregation.CONSTANT`, in tokens.

    Returns:
        [N, T] float32, 0 off the kept response tokens. All 0 when nothing is kept.
    """
    kept = (response_mask & keep[:, None]).float()
    rollouts = keep.sum().clamp(min=1)
    match how:
        case Aggregation.SEQUENCE_MEAN:
            return kept / kept.sum(dim=1, keepdim=True).clamp(min=1) / rollouts
        case Aggregation.TOKEN_MEAN:
            return kept / kept.sum().clamp(min=1)
        case Aggregation.SEQUENCE_SUM:
            return kept / rollouts
        case Aggregation.CONSTANT:
            return kept / (rollouts * max_response_tokens)
