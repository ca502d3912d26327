"""Value models: a head on a trunk of its own, or on the policy's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bakeoff.batch import TokenBatch
from bakeoff.interfaces import CriticHead
from bakeoff.logprobs import on_response, response_hidden


class ValueHead(nn.Module):
    """A linear map from hidden states to values, in float32."""

    def __init__(self, hidden_size: int, init: CriticHead, *, seed: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.linear.bias)
        match init:
            case CriticHead.ZEROS:
                nn.init.zeros_(self.linear.weight)
            case CriticHead.NORMAL:
                generator = torch.Generator().manual_seed(seed)
                nn.init.normal_(
                    self.linear.weight, std=(hidden_size + 1) ** -0.5, generator=generator
                )

    def forward(self, hidden: Tensor) -> Tensor:
        """[K] values of the states [K, H]."""
        with torch.autocast(hidden.device.type, enabled=False):
            values: Tensor = self.linear(hidden.float()).squeeze(-1)
        return values


class Critic(nn.Module):
    """A separate value model on a trunk of its own.

    Args:
        model: becomes the critic's, and loses its output head: a copy of the policy.
        init: of the value head.
        seed: of the value head.
    """

    def __init__(self, model: PreTrainedModel, init: CriticHead, *, seed: int) -> None:
        super().__init__()
        self.model = model
        # It would only take memory; the trunk is all that is used.
        self.model.set_output_embeddings(nn.Identity())
        self.head = ValueHead(hidden_size(model), init, seed=seed)

    def forward(self, batch: TokenBatch) -> Tensor:
        """[N, T] value of the state before each response token, 0 off the response mask."""
        return on_response(self.head(response_hidden(self.model, batch)), batch.response_mask)


def hidden_size(model: PreTrainedModel) -> int:
    """H of a model."""
    return int(model.get_input_embeddings().weight.shape[1])
