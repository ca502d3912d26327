import numpy as np
import pytest

from bakeoff.errors import BakeoffError
from reports.claims.contrasts import accuracy, contrast, difference_name, minus
from reports.metrics import greedy


def test_accuracy_is_the_final_pass_at_1_by_seed_and_problem(make_evidence):
    evidence = make_evidence(accuracy={"grpo": (0.5, 0.6, 0.7), "start": 0.4}, noise=0.0)
    table = accuracy(evidence, "grpo")
    assert (table.seeds, table.values.shape) == ((0, 1, 2), (3, 60))
    assert table.values.mean(axis=1) == pytest.approx([0.5, 0.6, 0.7])
    assert accuracy(evidence, "grpo", split="ood").values.mean() == pytest.approx(0.5)
    assert accuracy(evidence, "start").values.mean() == pytest.approx(0.4)
    assert accuracy(evidence, "grpo", score=greedy).values.min() == 1.0


def test_a_seed_without_a_verdict_is_no_seed(make_evidence):
    evidence = make_evidence(accuracy={"grpo": (0.5, 0.6, 0.7)}, noise=0.0)
    evidence.study.cells[1].evaluations["test"][-1].judged[:] = 0
    table = accuracy(evidence, "grpo")
    assert table.seeds == (0, 2)
    assert table.values.mean(axis=1) == pytest.approx([0.5, 0.7])


def test_a_difference_is_paired_by_seed(make_evidence):
    # The arms agree within every seed but for five points; seeds differ by thirty.
    levels = np.array([0.2, 0.5, 0.8])
    evidence = make_evidence(accuracy={"a": levels + 0.05, "b": levels}, noise=0.0)
    effect = minus(evidence, "a", "b")
    assert effect.name == "a − b"
    found = (effect.interval.mean, effect.interval.low, effect.interval.high)
    assert found == pytest.approx((5, 5, 5))


def test_a_contrast_weighs_its_arms(make_evidence):
    levels = {"a": 0.9, "b": 0.5, "c": 0.3, "d": 0.1}
    evidence = make_evidence(accuracy=levels, noise=0.0)
    effect = contrast(evidence, {"a": 1, "b": -1, "c": -1, "d": 1}, name="more", margin=2.0)
    assert effect.interval.mean == pytest.approx(20)
    assert (effect.name, effect.policies, effect.margin) == ("more", ("a", "b", "c", "d"), 2.0)


def test_a_contrast_is_named_after_its_signs():
    assert difference_name({"a": 1, "b": -1}) == "a − b"
    assert difference_name({"a": 1, "b": -1, "c": 1, "d": -1}) == "a + c − b − d"


def test_a_policy_without_an_evaluation_is_refused(make_evidence):
    evidence = make_evidence(accuracy={"a": 0.5})
    with pytest.raises(BakeoffError, match="start has no final evaluation on test"):
        minus(evidence, "a", "start")
