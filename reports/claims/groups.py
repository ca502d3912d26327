"""Judges of what is done with groups: dropped, divided by their std or length, drawn again."""

from reports.claims.batches import metric_contrast, metric_growth, metric_means, metric_slope
from reports.claims.contrasts import contrast, minus
from reports.claims.effects import Effect, holm_adjusted, seed_effect
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding, conclude
from reports.claims.rule import alike, both, directional

TOKENS = "response_tokens_wrong"
MARGIN = 2.0  # points of accuracy that count as equal


def dropping_explains_grpo(evidence: Evidence) -> Finding:
    """Claim 14: six arms from REINFORCE to GRPO."""
    dropped = minus(evidence, "reinforce_no_wrong", "reinforce")
    more = contrast(
        evidence,
        {
            "reinforce_no_wrong": 1,
            "reinforce": -1,
            "reinforce_rej_std": -1,
            "reinforce_rej": 1,
        },
        name="(reinforce_no_wrong − reinforce) − (reinforce_rej_std − reinforce_rej)",
    )
    family = holm_adjusted([dropped, more])
    return conclude(
        directional(family),
        family=family,
        rows=[
            lambda: minus(evidence, "reinforce_rej_std", "reinforce_rej"),
            lambda: minus(evidence, "reinforce_no_correct", "reinforce"),
            lambda: minus(evidence, "reinforce_rej", "reinforce"),
            lambda: minus(evidence, "grpo_no_kl", "reinforce"),
        ],
    )


def divisions_are_biases(evidence: Evidence) -> Finding:
    """Claim 15: length of wrong responses and accuracy, GRPO without KL against Dr. GRPO."""
    arms = ("grpo_no_kl", "dr_grpo")
    longer = metric_contrast(
        "tokens of wrong responses in the last tenth, grpo_no_kl − dr_grpo",
        *(metric_means(evidence, arm, TOKENS) for arm in arms),
        unit="tokens",
        policies=arms,
    )
    family = holm_adjusted([longer, minus(evidence, *arms, margin=MARGIN)])
    return conclude(
        both(directional(family[:1]), alike(family[1:])),
        family=family,
        rows=[
            lambda: _growth(evidence, "grpo_no_kl"),
            lambda: _growth(evidence, "dr_grpo"),
        ],
        notes=["Dr. GRPO leaves both divisions out; these arms do not tell them apart."],
    )


def uniform_groups_multiply(evidence: Evidence) -> Finding:
    """Claim 16: the share of groups without a spread, and dynamic sampling at equal tokens."""
    slopes = metric_slope(evidence, "grpo", {"zero_variance_share": 1.0}, start=0.0)
    family = holm_adjusted(
        [
            seed_effect(
                "slope of the share of groups without a spread, grpo, per run",
                slopes,
                unit="share",
                policies=["grpo"],
            ),
            minus(evidence, "dapo", "dapo_static"),
        ]
    )
    return conclude(directional(family), family=family)


def _growth(evidence: Evidence, arm: str) -> Effect:
    name = f"tokens of wrong responses, {arm}, last tenth − first"
    return seed_effect(name, metric_growth(evidence, arm, TOKENS), unit="tokens", policies=[arm])
