import pytest

from bakeoff.errors import BakeoffError
from reports.claims.controls import identities_hold, random_rewards_help
from reports.claims.evidence import Identity


@pytest.mark.parametrize(
    ("level", "noise", "verdict"),
    [
        (0.60, 0.02, "reproduced"),
        (0.40, 0.02, "not reproduced"),
        (0.50, 0.01, "not reproduced"),  # within a point
        (0.51, 0.03, "inconclusive"),  # near the margin
        ((0.40, 0.50, 0.60), 0.02, "inconclusive"),  # whichever way the seed falls
    ],
)
def test_claim_22_asks_whether_random_rewards_raise_accuracy(make_evidence, level, noise, verdict):
    evidence = make_evidence(
        accuracy={"random_reward": level, "start": 0.50, "grpo": 0.70, "sft_gold": 0.65},
        noise=noise,
    )
    found = random_rewards_help(evidence)
    assert found.verdict == verdict
    assert found.policies == ("random_reward", "start")
    rows = {value.name: value.value for value in found.values}
    assert rows["sft_gold − start"] == pytest.approx(15, abs=1)
    assert rows["sft_gold − grpo"] == pytest.approx(-5, abs=1)
    assert "Not shown: arm format_reward is not in the study." in found.notes


def identity(statement, error, holds):
    return Identity(statement=statement, source="eq. 4", largest_error=error, holds=holds)


def test_claim_23_holds_where_every_identity_does(make_evidence):
    exact = [identity("k3 is not negative", 0.0, True), identity("k3 vanishes", 2e-7, True)]
    found = identities_hold(make_evidence(accuracy={"grpo": 0.5}, identities=exact))
    assert (found.verdict, found.reason) == ("reproduced", "all 2 hold")
    assert [(v.name, v.value) for v in found.values] == [
        ("k3 is not negative (eq. 4)", 0.0),
        ("k3 vanishes (eq. 4)", 2e-7),
    ]
    broken = [*exact, identity("GAE is the return", 0.3, False)]
    found = identities_hold(make_evidence(accuracy={"grpo": 0.5}, identities=broken))
    assert found.verdict == "not reproduced"
    assert found.reason == "does not hold: GAE is the return"


def test_without_identities_nothing_is_decided(make_evidence):
    with pytest.raises(BakeoffError, match=r"there is no identities\.json"):
        identities_hold(make_evidence(accuracy={"grpo": 0.5}))
