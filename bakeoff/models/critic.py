"""Value models: a head on a trunk of its own, or on the policy's."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bakeoff.batch import TokenBatch
from bakeoff.interfaces import CriticHead
from bakeoff.logprobs import response_hidden


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
        """[N, T] values of the states [N, T, H]."""
        values: Tensor = self.linear(hidden.float()).squeeze(-1)
        return values


class Critic(nn.Module):
    """A separate value model that starts from a copy of the policy's trunk."""

    def __init__(self, policy: PreTrainedModel, init: CriticHead, *, seed: int) -> None:
        super().__init__()
        self.model = copy.deepcopy(policy)
        # The copy's output head would only take memory; its trunk is all that is used.
        self.model.set_output_embeddings(nn.Identity())
        self.head = ValueHead(hidden_size(policy), init, seed=seed)

    def forward(self, batch: TokenBatch) -> Tensor:
        """[N, T] value of the state before each response token."""
        values: Tensor = self.head(response_hidden(self.model, batch))
        return values


def hidden_size(model: PreTrainedModel) -> int:
    """H of a model."""
    return int(model.get_input_embeddings().weight.shape[1])
