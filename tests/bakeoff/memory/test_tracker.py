import pytest
import torch

from bakeoff.memory.tracker import PeakMemory

MEBIBYTE = 1 << 20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.gpu
def test_cuda_peaks_are_the_allocators():
    memory = PeakMemory(torch.device("cuda"))
    memory.start()
    torch.zeros(64 * MEBIBYTE, dtype=torch.uint8, device="cuda")
    assert memory.stop("update") >= 64 * MEBIBYTE


def test_a_phase_sees_its_own_peak_and_not_an_earlier_ones():
    memory = PeakMemory(torch.device("cpu"))
    memory.start()
    large = torch.ones(256 * MEBIBYTE, dtype=torch.uint8)
    high = memory.stop("large")
    del large
    memory.start()
    low = memory.stop("small")
    assert high - low > 200 * MEBIBYTE


def test_the_highest_mark_of_a_phase_is_kept():
    memory = PeakMemory(torch.device("cpu"))
    memory.peak_bytes["update"] = 1 << 50
    memory.start()
    assert memory.stop("update") < 1 << 50
    assert memory.peak_bytes["update"] == 1 << 50
