"""Whether weights are the ones they were."""

import torch
from torch import nn

# Integers of the same width, so that the bits are read and nothing is converted.
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def weights_checksum(module: nn.Module) -> int:
    """The sum of the bit patterns of all parameters: changing any one weight changes it.

    Weights that only change places leave it as it is. One pass over memory, on their device.
    """
    return sum(
        int(parameter.detach().view(_BITS[parameter.element_size()]).sum(dtype=torch.int64))
        for parameter in module.parameters()
    )
