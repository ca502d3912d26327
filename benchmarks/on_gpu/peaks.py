"""Operations a second that a card is sold for."""

from __future__ import annotations

from collections.abc import Mapping

# Dense bfloat16 products with float32 sums; where a data sheet states them with sparsity, half.
# Matched in order against `torch.cuda.get_device_name`.
BFLOAT16_PEAKS: Mapping[str, float] = {
    "GB200": 2500e12,  # NVIDIA GB200 NVL72 data sheet: 360 PFLOP/s with sparsity on 72
    "B200": 2250e12,  # NVIDIA DGX B200 data sheet: 36 PFLOP/s with sparsity on 8
    "H200 NVL": 835.5e12,  # NVIDIA H200 data sheet: 1,671 with sparsity
    "H200": 989.5e12,  # NVIDIA H200 data sheet, SXM: 1,979 with sparsity
    "H100 NVL": 835.5e12,  # NVIDIA H100 data sheet: 1,671 with sparsity
    "H100 PCIe": 756e12,  # NVIDIA H100 PCIe product brief: 1,513 with sparsity
    "H100": 989.5e12,  # NVIDIA H100 data sheet, SXM: 1,979 with sparsity
    "A100": 312e12,  # NVIDIA A100 data sheet
    "L40S": 362e12,  # NVIDIA L40S data sheet: 733 with sparsity, 362.05 without
    "RTX 4090": 165.2e12,  # NVIDIA Ada architecture white paper, table 2
}


def bfloat16_peak(device_name: str) -> float | None:
    """Operations a second by a card's name; None for one that is not in the table."""
    return next((peak for name, peak in BFLOAT16_PEAKS.items() if name in device_name), None)
