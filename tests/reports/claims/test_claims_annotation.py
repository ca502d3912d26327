from itertools import combinations

import numpy as np
import pytest

from bakeoff.errors import BakeoffError
from reports.claims.annotation import HARD, SOFT, hard_peaks_early, label_accuracy, peak_verdict
from reports.claims.effects import seed_effect
from reports.claims.evidence import Step


def step(right, is_right, *, completions=4):
    return Step(completions=completions, right=right, is_right=bool(is_right))


LAST = step(0, 1, completions=0)  # judged without completions


def test_label_accuracy_by_hand():
    # A good step that 1 of 4 completions proves, and a bad one that 1 of 4 disproves.
    found = label_accuracy([[step(1, 1), step(1, 0), LAST]])
    assert found.ns == (1, 2, 4)
    assert found.steps.tolist() == [2.0]
    # n = 1: the right one is drawn in 1 of 4. n = 2: in 3 of 6. n = 4: always.
    for n, drawn in ((1, 1 / 4), (2, 1 / 2), (4, 1.0)):
        assert found.right[HARD, n] == pytest.approx([drawn + (1 - drawn)])
    good = label_accuracy([[step(1, 1)]]).right
    bad = label_accuracy([[step(1, 0)]]).right
    assert [good[HARD, n][0] for n in (1, 2, 4)] == pytest.approx([1 / 4, 1 / 2, 1.0])
    assert [bad[HARD, n][0] for n in (1, 2, 4)] == pytest.approx([3 / 4, 1 / 2, 0.0])
    # More than half: 1 of 1, 2 of 2, 3 of 4.
    assert [bad[SOFT, n][0] for n in (1, 2, 4)] == pytest.approx([3 / 4, 1.0, 1.0])
    assert [good[SOFT, n][0] for n in (1, 2, 4)] == pytest.approx([1 / 4, 0.0, 0.0])


@pytest.mark.parametrize("right", range(7))
@pytest.mark.parametrize("is_right", [True, False])
def test_label_accuracy_is_the_mean_over_all_subsets(right, is_right):
    found = label_accuracy([[step(right, is_right, completions=6)]])
    assert found.ns == (1, 2, 4, 6)
    outcomes = [True] * right + [False] * (6 - right)
    for n in found.ns:
        subsets = [[outcomes[i] for i in chosen] for chosen in combinations(range(6), n)]
        hard = np.mean([any(subset) == is_right for subset in subsets])
        soft = np.mean([(sum(subset) > n / 2) == is_right for subset in subsets])
        assert found.right[HARD, n] == pytest.approx([hard])
        assert found.right[SOFT, n] == pytest.approx([soft])


def test_steps_with_fewer_completions_and_solutions_without_any_are_left_out():
    found = label_accuracy([[step(4, 1), step(1, 1, completions=2)], [LAST], [step(0, 0), LAST]])
    assert found.steps.tolist() == [1.0, 1.0]
    assert found.right[HARD, 4].tolist() == [1.0, 1.0]
    with pytest.raises(BakeoffError, match="no annotations with completions"):
        label_accuracy([[LAST]])
    with pytest.raises(BakeoffError, match="no annotations with completions"):
        label_accuracy([])


def judged(make_evidence, solutions):
    return hard_peaks_early(make_evidence(accuracy={"grpo": 0.5}, annotations=solutions))


def test_claim_11_is_reproduced_where_luck_proves_bad_steps(make_evidence):
    # Of 8: good steps are proved by most completions, bad ones by a lucky one.
    good, bad = step(6, 1, completions=8), step(1, 0, completions=8)
    found = judged(make_evidence, [[good, bad, LAST]] * 40)
    assert found.verdict == "reproduced"
    assert (found.policies, found.seeds) == ((), ())
    values = {value.name: value.value for value in found.values}
    # n = 8: the good one is labelled good, the bad one too. n = 2: 1 - C(2,2)/C(8,2), and 6/8.
    assert values["accuracy of hard labels at N = 8"] == pytest.approx(50.0)
    assert values["accuracy of hard labels at N = 2"] == pytest.approx(100 * (27 / 28 + 3 / 4) / 2)
    assert values["hard at N = 2 − hard at N = 8"] == pytest.approx(
        100 * (27 / 28 + 3 / 4) / 2 - 50.0
    )
    assert values["soft at N = 8 − soft at N = 1"] == pytest.approx(100 - 100 * (3 / 4 + 7 / 8) / 2)
    assert sum(value.decides for value in found.values) == 4


def test_claim_11_is_not_reproduced_where_more_completions_only_help(make_evidence):
    good, bad = step(2, 1, completions=8), step(0, 0, completions=8)
    assert judged(make_evidence, [[good, bad]] * 40).verdict == "not reproduced"


def test_claim_11_is_inconclusive_where_nothing_changes(make_evidence):
    good, bad = step(8, 1, completions=8), step(0, 0, completions=8)
    assert judged(make_evidence, [[good, bad]] * 40).verdict == "inconclusive"


def test_a_long_solution_weighs_as_its_steps(make_evidence):
    right, wrong = step(4, 1), step(0, 1)
    found = judged(make_evidence, [[right] * 9, [wrong]])
    values = {value.name: value.value for value in found.values}
    assert values["accuracy of hard labels at N = 4"] == pytest.approx(90.0)


def test_one_completion_a_step_is_told(make_evidence):
    with pytest.raises(BakeoffError, match="one completion a step"):
        judged(make_evidence, [[step(1, 1, completions=1)]])


def side(sign):
    """An effect on this side of 0; 0 is neither."""
    by_seed = {0: sign - 0.001, 1: sign, 2: sign + 0.001}
    return seed_effect("x", by_seed, unit="points", policies=())


@pytest.mark.parametrize(
    ("falls", "rise", "verdict"),
    [
        ((1, 1), 1, "reproduced"),
        ((-1, 1), 1, "reproduced"),  # a peak in between
        ((-1, -1), 1, "not reproduced"),
        ((1, 1), -1, "not reproduced"),
        ((1, 1), 0, "inconclusive"),
        ((0, -1), 1, "inconclusive"),
    ],
)
def test_the_verdict_on_peaks(falls, rise, verdict):
    assert peak_verdict([side(fall) for fall in falls], side(rise)) == verdict
