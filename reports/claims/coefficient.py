"""Judges of the gradient coefficient: what a sign and a size add, what keeping positives costs."""

from functools import partial

from reports.claims.batches import metric_contrast, metric_growth, metric_means
from reports.claims.contrasts import contrast, minus
from reports.claims.effects import Effect, holm_adjusted, table_effect
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding, conclude
from reports.claims.learning import window_scores
from reports.claims.rule import directional
from reports.windows import EARLY, LATE

# Arm -> (signed coefficient, learned reward model, KL): each 0 or 1, all eight combinations.
CUBE = {
    "online_rft": (0, 0, 0),
    "online_rft_kl": (0, 0, 1),
    "online_rft_orm": (0, 1, 0),
    "online_rft_orm_kl": (0, 1, 1),
    "grpo_no_kl": (1, 0, 0),
    "grpo": (1, 0, 1),
    "grpo_orm_no_kl": (1, 1, 0),
    "grpo_orm": (1, 1, 1),
}
FACTORS = ("coefficient of GRPO", "reward model for the rule", "beta 0.04 for 0")


def grpo_beats_online_rft(evidence: Evidence) -> Finding:
    """Claim 3: the final difference, and the main effects of the three things that differ."""
    family = holm_adjusted([minus(evidence, "grpo", "online_rft")])
    return conclude(
        directional(family),
        family=family,
        rows=[
            *(partial(main_effect, evidence, factor) for factor in range(len(FACTORS))),
            lambda: minus(evidence, "grpo_no_kl", "online_rft"),
        ],
        notes=["A main effect is the mean of the four differences with the other two held equal."],
    )


def main_effect(evidence: Evidence, factor: int) -> Effect:
    """Mean over the four pairs of arms that differ in one of `FACTORS` alone."""
    weights = {arm: (1 if levels[factor] else -1) / 4 for arm, levels in CUBE.items()}
    return contrast(evidence, weights, name=f"main effect: {FACTORS[factor]}")


def positives_collapse(evidence: Evidence) -> Finding:
    """Claim 13: online RFT against GRPO, early, late and in entropy."""
    policies = ("online_rft", "grpo")
    early = window_scores(evidence, "online_rft", "grpo", window=EARLY)
    late = window_scores(evidence, "grpo", "online_rft", window=LATE)
    fall = metric_contrast(
        "change of entropy, grpo − online_rft",
        metric_growth(evidence, "grpo", "entropy"),
        metric_growth(evidence, "online_rft", "entropy"),
        unit="nats",
        policies=policies,
    )
    family = holm_adjusted(
        [
            table_effect("online_rft − grpo, first third", early, rng=evidence.rng()),
            table_effect("grpo − online_rft, last third", late, rng=evidence.rng()),
            fall,
        ]
    )
    return conclude(
        directional(family),
        family=family,
        rows=[
            lambda: metric_contrast(
                "entropy in the last tenth, grpo − online_rft",
                metric_means(evidence, "grpo", "entropy"),
                metric_means(evidence, "online_rft", "entropy"),
                unit="nats",
                policies=policies,
            )
        ],
        notes=[
            "Entropy is recorded over the tokens that are trained on, for online RFT those of "
            "correct responses, which are surer: its level is lower from the first batch on. So "
            "the change from the first tenth to the last decides, not the level."
        ],
    )
