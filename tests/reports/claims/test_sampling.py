import pytest

from bakeoff.errors import BakeoffError
from reports.claims.sampling import online_gains_late, rft_plateaus

# Nine evaluations, as the matrix has.
FLAT = (0.50,) * 9
RISING = (0.50, 0.50, 0.50, 0.52, 0.54, 0.56, 0.58, 0.60, 0.62)
FALLING = (0.50, 0.50, 0.50, 0.48, 0.46, 0.44, 0.42, 0.40, 0.38)
AHEAD = (0.58,) * 9


def judged(judge, make_evidence, online, offline, **changes):
    evidence = make_evidence(
        accuracy={"start": 0.5}, curves={"online_rft": online, "rft": offline}, **changes
    )
    return judge(evidence)


@pytest.mark.parametrize(
    ("online", "offline", "verdict"),
    [
        (RISING, FLAT, "reproduced"),
        (FALLING, FLAT, "not reproduced"),
        (FLAT, FLAT, "inconclusive"),
        # Ahead all along is no late advantage: the start alone does not make it one.
        (AHEAD, (0.50, 0.50, 0.50, 0.50, 0.50, 0.51, 0.52, 0.53, 0.54), "inconclusive"),
    ],
)
def test_claim_1_needs_a_late_lead_that_is_larger_than_the_early_one(
    make_evidence, online, offline, verdict
):
    assert judged(online_gains_late, make_evidence, online, offline).verdict == verdict


def test_claim_1_shows_both_windows_by_hand(make_evidence):
    found = judged(online_gains_late, make_evidence, RISING, FLAT, noise=0.0)
    values = {value.name: value.value for value in found.values}
    # Evaluations 6 to 9 lie in the last third, the start and 1 to 3 in the first.
    late = 100 * (0.06 + 0.08 + 0.10 + 0.12) / 4
    assert values["online_rft − rft, last third"] == pytest.approx(late)
    assert values["online_rft − rft, first third"] == pytest.approx(0.0)
    assert values["last third − first third"] == pytest.approx(late)
    assert values["online_rft − rft"] == pytest.approx(12.0)
    assert (found.policies, found.seeds) == (("online_rft", "rft"), (0, 1, 2))
    assert [value.decides for value in found.values] == [True, True, False, False]


@pytest.mark.parametrize(
    ("online", "offline", "verdict"),
    [
        (RISING, FLAT, "reproduced"),
        (FLAT, RISING, "not reproduced"),
        (RISING, RISING, "inconclusive"),
    ],
)
def test_claim_2_compares_slopes_of_the_last_half(make_evidence, online, offline, verdict):
    found = judged(rft_plateaus, make_evidence, online, offline)
    assert found.verdict == verdict
    assert [value.name for value in found.values[1:]] == ["slope of online_rft", "slope of rft"]


def test_claim_2_is_in_points_per_run(make_evidence):
    found = judged(rft_plateaus, make_evidence, RISING, FLAT, noise=0.0)
    assert [value.value for value in found.values] == pytest.approx([18.0, 18.0, 0.0])


def test_an_arm_that_is_missing_is_told(make_evidence):
    evidence = make_evidence(curves={"online_rft": RISING}, failed={"rft": "loss is nan"})
    with pytest.raises(BakeoffError, match="arm rft did not finish: loss is nan"):
        online_gains_late(evidence)
