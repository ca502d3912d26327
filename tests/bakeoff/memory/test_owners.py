import torch
from torch import nn

from bakeoff.memory.owners import gradient_tensors, optimizer_tensors, weight_tensors


def test_every_tensor_of_a_module_and_its_optimizer_is_found() -> None:
    trunk, head = nn.BatchNorm1d(3), nn.Linear(3, 1, bias=False)
    optimizer = torch.optim.AdamW([*trunk.parameters(), *head.parameters()])
    assert gradient_tensors(trunk, head) == []
    assert optimizer_tensors([optimizer], trunk, head) == []
    head(trunk(torch.randn(4, 3))).sum().backward()
    optimizer.step()
    assert [id(t) for t in weight_tensors(None, trunk)] == [
        id(t) for t in (*trunk.parameters(), *trunk.buffers())
    ]
    assert {id(t) for t in gradient_tensors(trunk, head)} == {
        id(p.grad) for p in (*trunk.parameters(), *head.parameters())
    }
    # Two moments and a step count for each of a module's own parameters.
    assert len(optimizer_tensors([optimizer, None], head)) == 3
    assert len(optimizer_tensors([optimizer], trunk)) == 6
