import pytest

from bakeoff.errors import BakeoffError
from reports.claims.off_policy import clip_matters_off_policy

NEVER, OFTEN = [0.0] * 20, [0.1] * 20


def judged(make_evidence, *, on=NEVER, off=OFTEN, clipped=0.65, unclipped=0.60):
    evidence = make_evidence(
        accuracy={
            "grpo": 0.6,
            "grpo_mu4": clipped,
            "grpo_mu4_no_clip": unclipped,
            "raft++_mu4": 0.6,
            "raft++_mu4_no_clip": 0.5,
        },
        metrics={"grpo": {"clip_fraction": [on] * 3}, "grpo_mu4": {"clip_fraction": [off] * 3}},
    )
    return clip_matters_off_policy(evidence)


def test_claim_17_needs_an_exact_zero_a_binding_clip_and_a_gain(make_evidence):
    found = judged(make_evidence)
    assert found.verdict == "reproduced"
    rows = {value.name: value.value for value in found.values}
    assert rows["largest clip fraction of a batch, grpo"] == 0.0
    assert rows["clip fraction in the last tenth, grpo_mu4, lowest seed"] == pytest.approx(0.1)
    assert rows["raft++_mu4 − raft++_mu4_no_clip"] == pytest.approx(10, abs=1)
    assert found.notes == ("Not shown: arm online_rft_mu4 is not in the study.",)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"unclipped": 0.65}, "inconclusive"),
        ({"unclipped": 0.70}, "not reproduced"),
        # One batch of one update that clips a thousandth of its tokens breaks the identity.
        ({"on": [*NEVER[1:], 0.001]}, "not reproduced"),
        ({"off": NEVER}, "not reproduced"),
    ],
)
def test_claim_17_otherwise(make_evidence, changes, verdict):
    assert judged(make_evidence, **changes).verdict == verdict


def test_a_clip_that_was_not_recorded_is_told(make_evidence):
    with pytest.raises(BakeoffError, match="grpo recorded no clip_fraction"):
        judged(make_evidence, on=[None] * 20)
