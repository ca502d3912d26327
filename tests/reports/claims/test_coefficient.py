import pytest

from reports.claims.coefficient import (
    CUBE,
    FACTORS,
    grpo_beats_online_rft,
    main_effect,
    positives_collapse,
)


@pytest.mark.parametrize(
    ("grpo", "online", "verdict"),
    [
        (0.60, 0.55, "reproduced"),
        (0.55, 0.60, "not reproduced"),
        (0.60, 0.60, "inconclusive"),
        # Twelve points on average, by one seed alone.
        ((0.55, 0.55, 0.91), 0.55, "inconclusive"),
    ],
)
def test_claim_3_is_the_final_difference(make_evidence, grpo, online, verdict):
    found = grpo_beats_online_rft(make_evidence(accuracy={"grpo": grpo, "online_rft": online}))
    assert found.verdict == verdict
    # The eight arms are not all there: their rows are missing, the verdict is not.
    assert len(found.values) == 1
    assert any("arm online_rft_kl is not in the study" in note for note in found.notes)


def test_the_eight_arms_tell_three_factors_apart(make_evidence):
    # Accuracy adds 4 points for the coefficient, -6 for the reward model, 2 for KL.
    levels = {arm: 0.5 + 0.04 * c - 0.06 * m + 0.02 * kl for arm, (c, m, kl) in CUBE.items()}
    evidence = make_evidence(accuracy=levels, noise=0.0)
    found = [main_effect(evidence, factor).interval.mean for factor in range(len(FACTORS))]
    assert found == pytest.approx([4.0, -6.0, 2.0])
    claim = grpo_beats_online_rft(evidence)
    rows = {value.name: value.value for value in claim.values}
    assert rows["grpo − online_rft"] == pytest.approx(6.0)
    assert rows["main effect: coefficient of GRPO"] == pytest.approx(4.0)
    assert rows["grpo_no_kl − online_rft"] == pytest.approx(4.0)


def test_the_cube_holds_every_combination_once():
    assert sorted(CUBE.values()) == [(c, m, kl) for c in (0, 1) for m in (0, 1) for kl in (0, 1)]


EARLY_LEAD = (0.58, 0.60, 0.60, 0.60, 0.60, 0.60, 0.60, 0.60, 0.60)
LATE_LEAD = (0.50, 0.52, 0.55, 0.58, 0.60, 0.62, 0.64, 0.66, 0.68)
FALL = [0.9, *[0.5] * 18, 0.1]
LITTLE = [0.9, *[0.8] * 18, 0.7]


def positives(make_evidence, *, online=EARLY_LEAD, grpo=LATE_LEAD, falls=(FALL, LITTLE)):
    # The last batches of a seed end a little apart, by the other way round in the other arm.
    entropy = {
        arm: {"entropy": [[*fall[:-2], *(end + j for end in fall[-2:])] for j in jitter]}
        for arm, fall, jitter in (
            ("online_rft", falls[0], (-0.01, 0.0, 0.01)),
            ("grpo", falls[1], (0.01, 0.0, -0.01)),
        )
    }
    curves = {"online_rft": online, "grpo": grpo}
    return positives_collapse(make_evidence(curves=curves, metrics=entropy))


def test_claim_13_needs_the_lead_the_collapse_and_the_overtaking(make_evidence):
    assert positives(make_evidence).verdict == "reproduced"
    assert positives(make_evidence, falls=(FALL, FALL)).verdict == "inconclusive"
    assert positives(make_evidence, grpo=EARLY_LEAD).verdict == "inconclusive"


def test_claim_13_is_contradicted_by_any_of_the_three(make_evidence):
    assert positives(make_evidence, online=LATE_LEAD, grpo=EARLY_LEAD).verdict == "not reproduced"
    assert positives(make_evidence, falls=(LITTLE, FALL)).verdict == "not reproduced"


def test_a_lower_level_of_entropy_alone_is_no_collapse(make_evidence):
    # Correct responses are surer: online RFT's entropy is lower from the first batch on.
    level = [value - 0.4 for value in LITTLE]
    found = positives(make_evidence, falls=(level, LITTLE))
    rows = {value.name: value for value in found.values}
    assert rows["entropy in the last tenth, grpo − online_rft"].value == pytest.approx(0.4)
    assert rows["change of entropy, grpo − online_rft"].value == pytest.approx(0.0, abs=1e-12)
    assert found.verdict == "inconclusive"
