from dataclasses import replace

import pytest

from bakeoff.errors import BakeoffError
from reports.claims.verifiers import process_model_verifies_best, verifier_goes_stale

# Scores of a right and of a wrong response: a verifier that knows, one that guesses, one that is
# the wrong way round.
KNOWS, GUESSES, ERRS = (0.9, 0.1), (0.5, 0.5), (0.1, 0.9)
RATES = [0.25] * 30 + [0.75] * 30


def start(make_samples, *, orm, prm, rates=RATES):
    return make_samples(rates, orm=orm, prm=prm)


@pytest.mark.parametrize(
    ("orm", "prm", "verdict"),
    [
        # A guess is right as often as a response: 50 %, as the vote is.
        (GUESSES, KNOWS, "inconclusive"),
        (ERRS, KNOWS, "not reproduced"),  # ORM below the vote
        (KNOWS, GUESSES, "not reproduced"),  # PRM below ORM
        (KNOWS, KNOWS, "inconclusive"),
    ],
)
def test_claim_9_needs_both_steps_on_the_hard_split(make_evidence, make_samples, orm, prm, verdict):
    samples = {("start", "ood"): start(make_samples, orm=orm, prm=prm)}
    found = process_model_verifies_best(make_evidence(accuracy={"grpo": 0.5}, samples=samples))
    assert found.verdict == verdict
    assert (found.policies, found.seeds) == (("start",), ())


def test_claim_9_is_reproduced_by_fixed_samples_without_any_seed(make_evidence, make_samples):
    problems = start(make_samples, orm=KNOWS, prm=KNOWS)
    # The ORM errs on ten problems on which the vote errs too.
    wrong = dict.fromkeys(range(10), ERRS)
    problems = [
        replace(
            problem,
            scores=problem.scores
            | {"orm": make_samples([0.25], orm=wrong[index])[0].scores["orm"]},
        )
        if index in wrong
        else problem
        for index, problem in enumerate(problems)
    ]
    samples = {("start", "ood"): problems}
    found = process_model_verifies_best(make_evidence(accuracy={"grpo": 0.5}, samples=samples))
    assert found.verdict == "reproduced"
    values = {value.name: value.value for value in found.values}
    assert values["best:prm − best:orm at K = 16 on ood"] == pytest.approx(100 * 10 / 60)
    assert values["best:orm − maj at K = 16 on ood"] == pytest.approx(100 * 20 / 60)
    # Of a problem with a quarter right, 4 × 0.9 outweighs 12 × 0.1: nothing is lost by weighing.
    assert values["weighted:prm − best:prm at K = 16 on ood"] == pytest.approx(0.0)
    assert values["maj at K = 16 on ood"] == pytest.approx(50.0)
    assert any("no samples of start on test" in note for note in found.notes)


def test_claim_9_compares_the_gap_of_the_hard_split_with_the_easy_one(make_evidence, make_samples):
    samples = {
        ("start", "ood"): [
            *start(make_samples, orm=ERRS, prm=KNOWS)[:45],
            *start(make_samples, orm=KNOWS, prm=KNOWS)[45:],
        ],
        ("start", "test"): [
            *start(make_samples, orm=ERRS, prm=KNOWS)[:30],
            *start(make_samples, orm=KNOWS, prm=KNOWS)[30:],
        ],
    }
    found = process_model_verifies_best(make_evidence(accuracy={"grpo": 0.5}, samples=samples))
    row = next(value for value in found.values if value.name == "best:prm − best:orm, ood − test")
    assert row.value == pytest.approx(75 - 50)
    # Standard error sqrt(0.75 * 0.25 / 60 + 0.5 * 0.5 / 60) = 8.5 points.
    assert (row.low, row.high) == pytest.approx((25 - 1.96 * 8.5, 25 + 1.96 * 8.5), abs=2)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (KNOWS, ERRS, "reproduced"),
        (KNOWS, KNOWS, "inconclusive"),
        (ERRS, KNOWS, "not reproduced"),
    ],
)
def test_claim_10_compares_what_the_verifier_adds(
    make_evidence, make_samples, before, after, verdict
):
    samples = {("start", "ood"): start(make_samples, orm=KNOWS, prm=before)}
    samples |= {
        (f"ppo_process_prm-s{seed}", "ood"): start(make_samples, orm=KNOWS, prm=after)
        for seed in (0, 1)
    }
    found = verifier_goes_stale(make_evidence(accuracy={"ppo_process_prm": 0.5}, samples=samples))
    assert found.verdict == verdict
    assert (found.policies, found.seeds) == (("start", "ppo_process_prm"), (0, 1))
    advantage = {KNOWS: 50.0, ERRS: -50.0}
    assert [value.value for value in found.values] == pytest.approx(
        [advantage[before] - advantage[after], advantage[before], advantage[after]]
    )


def test_samples_without_scores_are_told(make_evidence, make_samples):
    evidence = make_evidence(
        accuracy={"grpo": 0.5}, samples={("start", "ood"): make_samples(RATES)}
    )
    with pytest.raises(BakeoffError, match="have no scores for best:prm"):
        process_model_verifies_best(evidence)
