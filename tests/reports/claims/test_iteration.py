import numpy as np
import pytest

from reports.claims.iteration import iteration_helps, over_optimisation


@pytest.mark.parametrize(
    ("iterated", "verdict"),
    [(0.60, "reproduced"), (0.50, "not reproduced"), (0.55, "inconclusive")],
)
def test_claim_5_is_iterated_against_frozen(make_evidence, iterated, verdict):
    levels = {"grpo_orm": 0.55, "grpo_iterative": iterated, "grpo_reset": 0.5, "grpo_refit": 0.6}
    found = iteration_helps(make_evidence(accuracy=levels))
    assert found.verdict == verdict
    rows = {value.name: value.value for value in found.values}
    assert rows["grpo_refit − grpo_orm"] == pytest.approx(5, abs=1)
    assert rows["grpo_reset − grpo_orm"] == pytest.approx(-5, abs=1)


def test_a_frozen_model_s_reward_leaves_the_pass_rate_behind(make_evidence):
    shares = np.linspace(0, 1, 41)
    rewards = [(0.5 + (0.4 + j) * shares).tolist() for j in (-0.1, 0.0, 0.1)]
    rates = [(0.5 + 0.1 * shares).tolist()] * 3
    metrics = {"grpo_orm": {"reward": rewards, "pass_rate": rates}}
    effect = over_optimisation(make_evidence(metrics=metrics))
    assert effect.interval.mean == pytest.approx(0.3)
    # Slopes of 0.2, 0.3 and 0.4: standard error 0.1 / sqrt 3, t(0.975, 2) = 4.3027.
    assert effect.interval.low == pytest.approx(0.3 - 4.3027 * 0.1 / 3**0.5, abs=1e-4)
