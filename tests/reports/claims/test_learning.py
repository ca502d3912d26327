from dataclasses import replace

import pytest

from bakeoff.errors import BakeoffError
from reports.claims.learning import from_best_to_last, slope_scores, window_scores
from reports.windows import EARLY, LATE

# At 1/6 to 6/6 of the run; with the start, seven points.
SLOW = (0.40, 0.40, 0.40, 0.40, 0.40, 0.40)
FAST = (0.43, 0.46, 0.49, 0.52, 0.55, 0.58)


def test_windows_are_differences_of_the_same_evaluations(make_evidence):
    evidence = make_evidence(curves={"fast": FAST, "slow": SLOW}, noise=0.0)
    # Without a start the first third holds two points, the last third three.
    early = window_scores(evidence, "fast", "slow", window=EARLY)
    late = window_scores(evidence, "fast", "slow", window=LATE)
    assert early.values.mean() == pytest.approx((0.03 + 0.06) / 2)
    assert late.values.mean() == pytest.approx((0.12 + 0.15 + 0.18) / 3)
    assert (late.policies, late.seeds) == (("fast", "slow"), (0, 1, 2))
    assert late.values.shape == (3, 60)


def test_the_start_is_the_first_point_of_both_curves(make_evidence):
    curves = {"fast": FAST, "slow": SLOW}
    evidence = make_evidence(accuracy={"start": 0.4}, curves=curves, noise=0.0)
    early = window_scores(evidence, "fast", "slow", window=EARLY)
    assert early.values.mean() == pytest.approx((0.0 + 0.03 + 0.06) / 3)


def test_every_problem_keeps_its_own_difference(make_evidence):
    evidence = make_evidence(curves={"fast": FAST, "slow": SLOW}, noise=0.1)
    late = window_scores(evidence, "fast", "slow", window=LATE)
    cells = {(cell.method, cell.seed): cell for cell in evidence.study.cells}
    place = late.problems.index("p07")

    def mean(arm):
        points = cells[arm, 1].evaluations["test"][3:]
        return sum(point.right[7] / 100 for point in points) / 3

    assert late.values[1, place] == pytest.approx(mean("fast") - mean("slow"))


def test_slopes_are_per_run(make_evidence):
    evidence = make_evidence(curves={"fast": FAST, "slow": SLOW}, noise=0.0)
    fast, slow = slope_scores(evidence, ("fast", "slow"))
    assert fast.values.mean() == pytest.approx(6 * 0.03)
    assert slow.values.mean() == pytest.approx(0.0)
    assert (fast.policies, slow.policies) == (("fast",), ("slow",))


def test_a_fall_is_from_the_best_evaluation_to_the_end(make_evidence):
    evidence = make_evidence(
        curves={"a": (0.40, 0.60, 0.55, 0.50), "b": (0.1, 0.2, 0.3, 0.4)}, noise=0.0
    )
    effect = from_best_to_last(evidence, "a")
    assert effect.interval.mean == pytest.approx(-10)
    assert "at 50% of the run" in effect.name
    assert from_best_to_last(evidence, "b").interval.mean == 0.0


def test_a_problem_without_a_verdict_leaves_all_curves(make_evidence):
    evidence = make_evidence(curves={"fast": FAST, "slow": SLOW}, noise=0.0)
    point = evidence.study.cells[0].evaluations["test"][4]
    point.judged[3] = point.right[3] = 0
    late = window_scores(evidence, "fast", "slow", window=LATE)
    assert len(late.problems) == 59 and "p03" not in late.problems
    assert late.values.mean() == pytest.approx(0.15)


def test_curves_of_unlike_lengths_do_not_pair(make_evidence):
    evidence = make_evidence(curves={"fast": FAST, "slow": SLOW[:4]})
    with pytest.raises(BakeoffError, match=r"have \[4, 6\] evaluations"):
        window_scores(evidence, "fast", "slow", window=LATE)


def test_a_seed_that_one_arm_lacks_leaves_both(make_evidence):
    evidence = make_evidence(curves={"fast": FAST, "slow": SLOW}, noise=0.0)
    kept = tuple(c for c in evidence.study.cells if (c.method, c.seed) != ("slow", 1))
    found = window_scores(
        replace(evidence, study=replace(evidence.study, cells=kept)), "fast", "slow", window=LATE
    )
    assert found.seeds == (0, 2)
