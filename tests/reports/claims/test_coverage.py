import math

import pytest

from bakeoff.errors import BakeoffError
from reports.claims.coverage import (
    ALGORITHMS,
    algorithms_alike,
    coverage_gap,
    crossover,
    votes_rise_coverage_does_not,
)

# Shares of right responses of 60 problems at the start: a third each hard, middling and easy.
BEFORE = [0.25] * 20 + [0.5] * 20 + [0.75] * 20
SHARPER = [0.0] * 4 + [0.75] * 16 + [1.0] * 40  # more are right, but four are out of reach
BROADER = [0.5] * 20 + [0.75] * 20 + [1.0] * 20
SPREAD_OUT = [0.0] * 20 + [0.25] * 20 + [0.5] * 20
LOST = [0.0] * 30 + [0.25] * 30


def with_samples(make_evidence, make_samples, before, after, *, seeds=(0, 1, 2)):
    samples = {("start", "ood"): make_samples(before)}
    samples |= {(f"grpo-s{seed}", "ood"): make_samples(after) for seed in seeds}
    return make_evidence(accuracy={"grpo": 0.5}, samples=samples)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (BEFORE, SHARPER, "reproduced"),
        (BEFORE, BROADER, "reproduced"),  # pass@16 is 1 before and after: within a point
        (SPREAD_OUT, BROADER, "not reproduced"),  # votes and coverage rise
        (BEFORE, LOST, "not reproduced"),  # votes fall
        (BEFORE, BEFORE, "inconclusive"),  # coverage stays, but so do the votes
    ],
)
def test_claim_6_needs_better_votes_and_no_more_coverage(
    make_evidence, make_samples, before, after, verdict
):
    found = votes_rise_coverage_does_not(with_samples(make_evidence, make_samples, before, after))
    assert found.verdict == verdict
    assert [v.name for v in found.values[:2]] == [
        "maj@16 on ood, grpo − start",
        "pass@16 on ood, grpo − start",
    ]
    assert (found.policies, found.seeds) == (("grpo", "start"), (0, 1, 2))


def test_claim_6_shows_every_k_and_says_what_is_missing(make_evidence, make_samples):
    found = votes_rise_coverage_does_not(with_samples(make_evidence, make_samples, BEFORE, SHARPER))
    rows = {value.name: value.value for value in found.values}
    assert rows["pass@1 on ood, grpo − start"] == pytest.approx(
        100 * (16 * 0.75 + 40 - 20 * (0.25 + 0.5 + 0.75)) / 60
    )
    assert rows["pass@16 on ood, grpo − start"] == pytest.approx(-100 * 4 / 60)
    assert {"maj@1 on ood, grpo − start", "maj@4 on ood, grpo − start"} <= rows.keys()
    assert any("no samples of grpo on test" in note for note in found.notes)


def test_the_crossover_lies_where_the_difference_changes_sign(make_evidence, make_samples):
    evidence = with_samples(make_evidence, make_samples, BEFORE, SHARPER)
    found = crossover(evidence, split="ood", most=16)

    def gap(k):
        def missed(rate):
            wrong = 16 - round(16 * rate)
            return math.comb(wrong, k) / math.comb(16, k)

        return sum(map(missed, BEFORE)) - sum(map(missed, SHARPER))

    k = next(k for k in (1, 2, 4, 8) if gap(k) > 0 >= gap(2 * k))
    share = gap(k) / (gap(k) - gap(2 * k))
    assert found.value == pytest.approx(k * 2**share)
    evidence = with_samples(make_evidence, make_samples, BEFORE, BEFORE)
    with pytest.raises(BakeoffError, match="does not cross up to K = 16"):
        crossover(evidence, split="ood", most=16)


def levels(**changes):
    return dict.fromkeys(ALGORITHMS, 0.6) | changes


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [
        (levels(), "reproduced"),
        (levels(rloo=0.66), "not reproduced"),
        # Apart for sure, yet not by more than two points for sure.
        (levels(rloo=0.62), "inconclusive"),
        # Apart by one seed alone.
        (levels(rloo=(0.60, 0.60, 0.70)), "inconclusive"),
    ],
)
def test_claim_7_needs_every_pair_within_two_points(make_evidence, accuracy, verdict):
    found = algorithms_alike(make_evidence(accuracy=accuracy, noise=0.005))
    assert found.verdict == verdict
    assert sum(value.decides for value in found.values) == 10


def test_the_gap_to_the_start_s_coverage_is_of_the_samples_where_they_are(
    make_evidence, make_samples
):
    samples = {
        ("start", "ood"): make_samples([0.25, 0.0, 0.5, 0.75]),
        ("ppo-s0", "ood"): make_samples([0.5] * 4),
        ("ppo-s1", "ood"): make_samples([0.75] * 4),
    }
    evidence = make_evidence(accuracy={"ppo": 0.7, "start": 0.5}, samples=samples, noise=0.0)
    gap = coverage_gap(evidence, "ppo")
    assert gap.name == "pass@16 of the start − pass@1 of ppo, on ood"
    assert gap.interval.mean == pytest.approx(100 * (0.75 - 0.625))
    # Without samples of its own, an arm is measured by its evaluation: 60 % out of domain.
    samples = {("start", "ood"): samples["start", "ood"]}
    evidence = make_evidence(accuracy={"ppo": 0.7, "start": 0.5}, samples=samples, noise=0.0)
    gap = coverage_gap(evidence, "ppo")
    assert gap.name == "pass@100 of the start − pass@1 of ppo, on ood"
    assert gap.interval.mean == pytest.approx(100 * (1.0 - 0.6))


def test_a_missing_algorithm_is_told(make_evidence):
    with pytest.raises(BakeoffError, match="arm dapo is not in the study"):
        algorithms_alike(make_evidence(accuracy={a: 0.6 for a in ALGORITHMS if a != "dapo"}))
