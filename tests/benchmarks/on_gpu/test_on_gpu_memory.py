import json
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.on_gpu.arms import arms
from benchmarks.on_gpu.memory import BEYOND_WEIGHTS, expected_bytes, plain_estimate
from benchmarks.on_gpu.scale import SCALES, Setting

SETTING = Setting(device="cpu", scale=SCALES["small"], options={}, predictions="/nowhere")
ARMS = {arm.title: arm for arm in arms(SETTING.scale, "tiny-1")}
# Embedding 384 x 32, tied; q and o 32 x 32, k and v 16 x 32 with biases; MLP 3 x 32 x 96; 3 norms.
PARAMETERS = 384 * 32 + 2 * 32 * 32 + 32 + 2 * (16 * 32 + 16) + 3 * 32 * 96 + 3 * 32


def test_all_arms_make_as_many_rollouts() -> None:
    assert {arm.algorithm().plan.group_size for arm in ARMS.values()} == {4}


def test_an_estimate_counts_weights_gradients_and_moments_of_all_models() -> None:
    copies = {
        "ppo": 4 + 4 + 1,
        "ppo, shared trunk": 4 + 1,
        "grpo": 4 + 1,
        "online_rft": 4,
        "rft": 4,
        "grpo, LoRA 16": 1,
    }
    for title, count in copies.items():
        assert plain_estimate(ARMS[title]) == BEYOND_WEIGHTS * 4 * PARAMETERS * count


def test_a_prediction_goes_before_an_estimate_and_is_waited_for_where_it_matters(
    tmp_path: Path,
) -> None:
    file = tmp_path / "predictions.jsonl"
    rows = [
        {"name": "grpo", "model": "another", "peak_bytes": 1},
        {"name": "grpo", "model": "tiny-1", "peak_bytes": 1234},
        {"name": "ppo", "model": "tiny-1", "failed": "no"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    setting = replace(SETTING, predictions=str(file))

    def expected(title: str, *, most: float, wait: float = 0.0) -> float:
        waits_until = time.monotonic() + wait
        return expected_bytes(ARMS[title], setting, most=most, waits_until=waits_until)

    assert expected("grpo", most=1e12) == 1234
    assert expected("ppo", most=1e12) == plain_estimate(ARMS["ppo"])
    # Far below what fits: nothing to wait for.
    begin = time.monotonic()
    assert expected("rft", most=1e12, wait=30) == plain_estimate(ARMS["rft"])
    assert time.monotonic() - begin < 5
    begin = time.monotonic()
    assert expected("rft", most=1.0, wait=0.5) == plain_estimate(ARMS["rft"])
    assert time.monotonic() - begin >= 0.5
