import copy

import pytest
import torch
from torch import nn

from bakeoff.checksums import weights_checksum


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_smallest_change_of_any_one_weight_shows(dtype):
    torch.manual_seed(0)
    module = nn.Linear(3, 2).to(dtype)
    before = weights_checksum(module)
    assert weights_checksum(copy.deepcopy(module)) == before
    for parameter in module.parameters():
        for index in range(parameter.numel()):
            flat = parameter.data.view(-1)
            old = flat[index].clone()
            flat[index] = torch.nextafter(old, old + 1)
            assert weights_checksum(module) != before
            flat[index] = old
    assert weights_checksum(module) == before


def test_the_sum_by_hand():
    module = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False))
    module[0].weight.data = torch.tensor([[1.0, -2.0]])
    module[1].weight.data = torch.tensor([[1.0]])
    # 1.0 is 0x3f800000; -2.0 is 0xc0000000, as a signed integer -0x40000000.
    expected = 0x3F800000 - 3 * 0x40000000 + 5 * 0x3F800000
    assert weights_checksum(module) == expected % 2**64


def test_stretches_do_not_show(monkeypatch):
    module = nn.Linear(5, 3)
    whole = weights_checksum(module)
    monkeypatch.setattr("bakeoff.checksums._STRETCH", 4)
    assert weights_checksum(module) == whole


def test_opposite_changes_and_exchanged_weights_show():
    module = nn.Linear(2, 1, bias=False)
    seen = set()
    for weights in ([1.0, 2.0], [2.0, 1.0], [1.5, 1.5]):
        module.weight.data = torch.tensor([weights])
        seen.add(weights_checksum(module))
    assert len(seen) == 3
