"""Which card it is, and what it does in one matrix product."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator

import torch

from benchmarks.on_gpu.child import Row, attempted
from benchmarks.on_gpu.material import wait_for
from benchmarks.on_gpu.peaks import bfloat16_peak
from benchmarks.on_gpu.scale import Setting


def run(setting: Setting) -> Iterator[Row]:
    """The card, then its rate."""
    yield attempted("card", lambda: card(setting.device))
    yield attempted("bfloat16 product", lambda: product(setting))


def card(device: str) -> Row:
    """Name, memory and software of the device; None where there is no card."""
    if device != "cuda":
        return {"device": "cpu", "total_bytes": None, "bfloat16_peak_flops": None, "driver": None}
    properties = torch.cuda.get_device_properties(0)
    return {
        "device": torch.cuda.get_device_name(),
        "total_bytes": properties.total_memory,
        "free_bytes_at_start": torch.cuda.mem_get_info()[0],
        "multiprocessors": properties.multi_processor_count,
        "capability": list(torch.cuda.get_device_capability()),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "driver": _driver(),
        "bfloat16_peak_flops": bfloat16_peak(torch.cuda.get_device_name()),
        "float32_product_precision": torch.get_float32_matmul_precision(),
    }


def product(setting: Setting) -> Row:
    """Operations a second of a square product of random bfloat16 numbers."""
    size = setting.scale.product
    torch.manual_seed(0)
    one, other = torch.randn(2, size, size, device=setting.device, dtype=torch.bfloat16).unbind()
    seconds = []
    for _ in range(3 + 10):
        wait_for(setting.device)
        start = time.perf_counter()
        one @ other
        wait_for(setting.device)
        seconds.append(time.perf_counter() - start)
    return {
        "size": size,
        "seconds": seconds[3:],
        "flops_per_second": 2 * size**3 / statistics.median(seconds[3:]),
    }


def _driver() -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return None
    return answer.stdout.strip() or None
