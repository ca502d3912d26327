import pytest

from reports.claims.critic import critic_loses


@pytest.mark.parametrize(
    ("pretrained", "verdict"),
    [(0.60, "reproduced"), (0.40, "not reproduced"), (0.50, "inconclusive")],
)
def test_claim_18_is_pretrained_against_vanilla(make_evidence, pretrained, verdict):
    evidence = make_evidence(
        accuracy={"ppo_pretrained": pretrained, "ppo_vanilla": 0.50, "ppo": 0.55},
        metrics={
            "ppo_vanilla": {"explained_variance": [[0.0, 0.1], [None, 0.2], [0.0, 0.3]]},
            "ppo": {"explained_variance": [[0.5], [0.6], [0.7]]},
        },
    )
    found = critic_loses(evidence)
    assert found.verdict == verdict
    rows = {value.name: value for value in found.values}
    assert rows["ppo − ppo_vanilla"].value == pytest.approx(5, abs=1)
    explained = rows["explained variance in the last tenth, ppo_vanilla"]
    assert explained.value == pytest.approx(0.2)
    assert explained.low == pytest.approx(0.2 - 4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert (explained.p_value, explained.difference) == (None, False)
    assert found.notes == (
        "Not shown: ppo_pretrained recorded no explained_variance in the last tenth.",
    )
