import numpy as np
import pytest

from bakeoff.errors import BakeoffError
from reports.claims.groups import (
    divisions_are_biases,
    dropping_explains_grpo,
    uniform_groups_multiply,
)


@pytest.mark.parametrize(
    ("no_wrong", "with_std", "verdict"),
    [
        (0.60, 0.60, "reproduced"),  # ten points against none
        (0.60, 0.70, "inconclusive"),  # ten points against ten
        (0.60, 0.80, "not reproduced"),  # ten points against twenty
        (0.50, 0.60, "inconclusive"),
        (0.40, 0.60, "not reproduced"),
    ],
)
def test_claim_14_needs_a_gain_that_is_larger_than_that_of_the_std(
    make_evidence, no_wrong, with_std, verdict
):
    levels = {
        "reinforce": 0.50,
        "reinforce_no_wrong": no_wrong,
        "reinforce_rej": 0.60,
        "reinforce_rej_std": with_std,
    }
    found = dropping_explains_grpo(make_evidence(accuracy=levels))
    assert found.verdict == verdict
    second = found.values[1]
    assert second.name == "(reinforce_no_wrong − reinforce) − (reinforce_rej_std − reinforce_rej)"
    assert second.value == pytest.approx(100 * (no_wrong - 0.5 - with_std + 0.6), abs=1)
    assert found.values[2].name == "reinforce_rej_std − reinforce_rej"


def tokens(level, growth=0.0):
    return [[level + j + growth * b / 19 for b in range(20)] for j in (-0.1, 0.0, 0.1)]


@pytest.mark.parametrize(
    ("divided", "accuracy", "verdict"),
    [
        (40.0, 0.60, "reproduced"),
        (30.05, 0.60, "inconclusive"),
        (25.0, 0.60, "not reproduced"),
        (40.0, 0.66, "not reproduced"),
        (40.0, 0.62, "inconclusive"),
    ],
)
def test_claim_15_needs_longer_wrong_responses_at_equal_accuracy(
    make_evidence, divided, accuracy, verdict
):
    series = tokens(divided, growth=3.0)
    # Seeds differ in what the arms differ by, or Student's t would have no spread.
    series[0] = [value + 0.5 for value in series[0]]
    metrics = {
        "grpo_no_kl": {"response_tokens_wrong": series},
        "dr_grpo": {"response_tokens_wrong": tokens(33.0)},
    }
    levels = {"grpo_no_kl": accuracy, "dr_grpo": 0.60}
    found = divisions_are_biases(make_evidence(accuracy=levels, metrics=metrics, noise=0.005))
    assert found.verdict == verdict
    rows = {value.name: value for value in found.values}
    growth = rows["tokens of wrong responses, grpo_no_kl, last tenth − first"]
    # The means of two batches of twenty: 18.5 / 19 of the way minus 0.5 / 19.
    assert growth.value == pytest.approx(3.0 * 18 / 19)
    assert growth.unit == "tokens"


def shares(slope):
    line = np.linspace(0, 1, 30)
    return [(0.3 + (slope + j) * line).tolist() for j in (-0.02, 0.0, 0.02)]


@pytest.mark.parametrize(
    ("slope", "dynamic", "verdict"),
    [
        (0.3, 0.65, "reproduced"),
        (0.0, 0.65, "inconclusive"),
        (-0.3, 0.65, "not reproduced"),
        (0.3, 0.60, "inconclusive"),
        (0.3, 0.55, "not reproduced"),
    ],
)
def test_claim_16_needs_a_rising_share_and_a_gain(make_evidence, slope, dynamic, verdict):
    evidence = make_evidence(
        accuracy={"dapo": dynamic, "dapo_static": 0.60},
        metrics={"grpo": {"zero_variance_share": shares(slope)}},
    )
    found = uniform_groups_multiply(evidence)
    assert found.verdict == verdict
    assert found.values[0].value == pytest.approx(slope)
    assert found.policies == ("grpo", "dapo", "dapo_static")


def test_a_missing_arm_is_told(make_evidence):
    with pytest.raises(BakeoffError, match="arm dr_grpo did not finish: loss is nan"):
        divisions_are_biases(
            make_evidence(
                accuracy={"grpo_no_kl": 0.5},
                metrics={"grpo_no_kl": {"response_tokens_wrong": tokens(30.0)}},
                failed={"dr_grpo": "loss is nan"},
            )
        )
