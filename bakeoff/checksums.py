"""Whether weights are the ones they were."""

import torch
from torch import Tensor, nn

# Integers of the same width, so that the bits are read and nothing is converted.
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_STRETCH = 1 << 22  # weights; 64 MiB of integers, whatever the model's size


def weights_checksum(module: nn.Module) -> int:
    """A sum of the bit patterns of all parameters, each times an odd number of its place.

    Modulo 2^64, so that changing any one weight changes it; weights that change places or by
    opposite amounts show too. One pass over memory, on their device.
    """
    total, before = 0, 0
    for parameter in module.parameters():
        total += part_checksum(parameter, before)
        before += parameter.numel()
    return total % 2**64


def part_checksum(weights: Tensor, first: int) -> int:
    """What weights add to a checksum when `first` others come before them; take it modulo 2^64."""
    bits = weights.detach().view(_BITS[weights.element_size()]).flatten()
    return sum(
        _weighted_sum(bits[start : start + _STRETCH], first + start)
        for start in range(0, len(bits), _STRETCH)
    )


def _weighted_sum(bits: Tensor, first: int) -> int:
    places = torch.arange(first, first + len(bits), device=bits.device)
    return int((bits.to(torch.int64) * (2 * places + 1)).sum())
