import pytest

from reports.claims.judges import JUDGES, judge, judge_all
from reports.claims.paper import CLAIMS

LEAD = {"grpo": 0.60, "online_rft": 0.55}


def test_every_claim_has_a_judge_and_every_judge_a_claim():
    assert sorted(JUDGES) == [claim.number for claim in CLAIMS]
    assert len(set(JUDGES.values())) == len(JUDGES)


def test_judges_say_which_claim_they_are_of():
    said = {number: (one.__doc__ or "").partition(":")[0] for number, one in JUDGES.items()}
    assert said == {number: f"Claim {number}" for number in JUDGES}


def test_a_claim_is_judged_on_what_there_is(make_evidence):
    found = judge(3, make_evidence(accuracy=LEAD))
    assert found.verdict == "reproduced"
    assert found.reason == "grpo − online_rft is above 0"


@pytest.mark.parametrize("number", sorted(JUDGES))
def test_nothing_crashes_where_everything_is_missing(make_evidence, number):
    found = judge(number, make_evidence(accuracy={"dpo": 0.5}))
    assert (found.verdict, found.values) == ("inconclusive", ())
    assert (
        "not in the study" in found.reason
        or "there is no" in found.reason
        or ("there are no" in found.reason)
    )


def test_a_missing_arm_is_the_reason(make_evidence):
    evidence = make_evidence(accuracy={"online_rft": 0.5}, failed={"grpo": "killed: out of memory"})
    found = judge(3, evidence)
    assert found.verdict == "inconclusive"
    assert found.reason == "arm grpo did not finish: killed: out of memory"


@pytest.mark.parametrize("levels", [LEAD, {"grpo": 0.50, "online_rft": 0.55}])
def test_one_seed_decides_nothing_about_methods_but_shows_its_numbers(make_evidence, levels):
    found = judge(3, make_evidence(accuracy=levels, seeds=(0,)))
    assert found.verdict == "inconclusive"
    assert found.reason.startswith("one seed: ")
    assert found.values[0].value == pytest.approx(
        100 * (levels["grpo"] - levels["online_rft"]), abs=1
    )
    assert found.seeds == (0,)


def test_two_arms_that_share_one_seed_are_one_seed(make_evidence):
    evidence = make_evidence(accuracy=LEAD, seeds=(0, 1))
    evidence.study.cells[0].evaluations["test"][-1].judged[:] = 0  # of grpo with seed 0
    kept = judge(3, evidence)
    assert kept.verdict == "inconclusive" and kept.reason.startswith("one seed: ")


def test_samples_of_the_start_need_no_seed(make_evidence, make_samples):
    steps = [0.25] * 20 + [0.75] * 40
    problems = make_samples(steps, orm=(0.1, 0.9), prm=(0.9, 0.1))
    evidence = make_evidence(
        accuracy={"grpo": 0.5}, seeds=(0,), samples={("start", "ood"): problems}
    )
    assert judge(9, evidence).verdict == "not reproduced"


def test_samples_of_one_trained_policy_are_one_seed(make_evidence, make_samples):
    samples = {
        ("start", "ood"): make_samples([0.25] * 60, orm=(0.9, 0.1), prm=(0.9, 0.1)),
        ("ppo_process_prm-s0", "ood"): make_samples([0.75] * 60, orm=(0.9, 0.1), prm=(0.1, 0.9)),
    }
    found = judge(10, make_evidence(accuracy={"ppo_process_prm": 0.5}, samples=samples))
    assert found.verdict == "inconclusive" and found.reason.startswith("one seed: ")
    assert found.values[0].value == pytest.approx(200.0)


def test_a_failed_gate_decides_nothing_about_methods(make_evidence, make_samples):
    problems = make_samples([0.25] * 20 + [0.75] * 40, orm=(0.1, 0.9), prm=(0.9, 0.1))
    evidence = make_evidence(accuracy=LEAD, passed=False, samples={("start", "ood"): problems})
    found = judge(3, evidence)
    assert found.verdict == "inconclusive"
    assert found.reason == "the study is not comparable: accumulation: gradients differ"
    assert judge(9, evidence).verdict == "not reproduced"


def test_seeds_that_are_left_out_are_told(make_evidence):
    evidence = make_evidence(accuracy=LEAD, seeds=(0, 1, 2))
    for cell in evidence.study.cells:
        if (cell.method, cell.seed) == ("grpo", 1):
            cell.evaluations["test"][-1].judged[:] = 0
    found = judge(3, evidence)
    assert found.seeds == (0, 2)
    assert found.notes[-1] == "Seeds 1 are left out: not every arm finished with them."


def test_all_claims_are_judged_in_order(make_evidence):
    judged = judge_all(make_evidence(accuracy=LEAD))
    assert [one.claim for one in judged] == list(CLAIMS)
    assert [one.claim.number for one in judged if one.finding.verdict != "inconclusive"] == [3]
