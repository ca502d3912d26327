import copy

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from bakeoff.memory.attribution import AllocationTracker
from bakeoff.memory.weightless import Weightless


def test_lengths_are_real_and_outputs_are_not() -> None:
    with Weightless() as mode:
        with mode.building():
            linear = nn.Linear(3, 5)
        lengths = torch.tensor([2, 7])
        outputs = linear(lengths.float()[:, None].expand(2, 3))
        assert lengths.max().item() == 7
        assert isinstance(outputs, FakeTensor)
        assert outputs.shape == (2, 5)


def test_a_model_too_large_for_any_machine_runs_forward_and_backward() -> None:
    width = 1_000_000  # a matrix of 4 TB
    with Weightless() as mode, AllocationTracker() as tracker:
        with mode.building():
            linear = nn.Linear(width, width, bias=False)
        linear(torch.ones(1, width)).sum().backward()
        assert linear.weight.grad is not None
        assert tracker.peak_bytes > 2 * 4 * width**2


def test_a_real_mask_chooses_as_many_places_as_it_has() -> None:
    mask = torch.tensor([[True, False], [True, True]])
    with Weightless() as mode:
        with mode.building():
            values = torch.empty(2, 2, 7)
        assert values[mask].shape == (3, 7)
        assert values[:, :, 0].masked_select(mask).shape == (3,)
        assert values[(values > 0).any(dim=2)].shape == (0, 7)


def test_what_a_model_says_holds_for_nobody_and_is_one() -> None:
    with Weightless() as mode:
        with mode.building():
            outputs = torch.empty(4)
        assert outputs.sum().item() == 1.0
        assert not bool((outputs > 0).any())
        assert int(outputs.argmax()) == 1


def test_a_real_tensor_is_not_changed_by_outputs() -> None:
    with Weightless() as mode:
        with mode.building():
            tokens = torch.empty(2, 9).argmax(dim=1)
        written = torch.zeros(2, 3, dtype=torch.int64)
        written[torch.arange(2), 1] = tokens
        assert not isinstance(written, FakeTensor)
        assert written.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_new_floats_are_fake_unless_they_are_computed_with() -> None:
    with Weightless() as mode:
        assert isinstance(torch.zeros(3), FakeTensor)
        with mode.computing():
            assert torch.zeros(3).add(2).tolist() == [2, 2, 2]
        assert isinstance(torch.zeros(3), FakeTensor)
        assert torch.zeros(3, dtype=torch.int64).tolist() == [0, 0, 0]


def test_a_copied_model_shares_the_mode() -> None:
    with Weightless() as mode, mode.building():
        norm = nn.BatchNorm1d(3)  # it has buffers
        twin = copy.deepcopy(norm)
        assert twin.running_mean is not norm.running_mean
        assert twin.running_mean.fake_mode is norm.running_mean.fake_mode
