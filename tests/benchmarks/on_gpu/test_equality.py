from functools import partial
from typing import Any

import pytest
import torch

from benchmarks.on_gpu import equality
from benchmarks.on_gpu.equality import judged, same_gradient, tiled
from benchmarks.on_gpu.scale import SCALES, Setting

SETTING = Setting(device="cpu", scale=SCALES["small"], options={}, predictions="")


def test_a_difference_at_its_bound_passes() -> None:
    assert judged(0.5, 0.5)["passed"] and not judged(0.51, 0.5)["passed"]
    # What is not a number is no small difference.
    assert not judged(float("nan"), 0.5)["passed"]


@pytest.mark.parametrize("of", ["value", "gradient"])
def test_tiles_that_compute_something_else_are_found(
    of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = equality.selected_logprobs

    def wrong(*args: Any, **options: Any) -> Any:
        logprobs, entropy = right(*args, **options)
        if of == "value":
            return logprobs + 1e-3, entropy
        return logprobs + 1e-3 * (logprobs - logprobs.detach()), entropy

    assert tiled(SETTING, 100)["passed"]
    monkeypatch.setattr(equality, "selected_logprobs", wrong)
    assert not tiled(SETTING, 100)["passed"]


def test_gradients_of_other_weights_differ() -> None:
    made = partial(equality._bench, device="cpu", dtype=None)

    def moved(**options: Any) -> Any:
        bench = made(**options)
        if options:
            with torch.no_grad():
                next(bench.engine.model.parameters()).mul_(1.01)
        return bench

    assert same_gradient(made, None, cut=True)["passed"]
    assert not same_gradient(moved, None, cut=True)["passed"]
