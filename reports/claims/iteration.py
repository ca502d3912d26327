"""Judge of Algorithm 1's outer loop against a frozen reward model."""

from reports.claims.batches import metric_slope
from reports.claims.contrasts import minus
from reports.claims.effects import Effect, holm_adjusted, seed_effect
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding, conclude
from reports.claims.learning import from_best_to_last
from reports.claims.rule import directional

FROZEN = "grpo_orm"


def iteration_helps(evidence: Evidence) -> Finding:
    """Claim 5: refit and reset together, each alone, and what the frozen model rewards."""
    family = holm_adjusted([minus(evidence, "grpo_iterative", FROZEN)])
    return conclude(
        directional(family),
        family=family,
        rows=[
            lambda: minus(evidence, "grpo_refit", FROZEN),
            lambda: minus(evidence, "grpo_reset", FROZEN),
            lambda: over_optimisation(evidence),
            lambda: from_best_to_last(evidence, FROZEN),
        ],
        notes=["The best evaluation is chosen with hindsight, which makes the fall look larger."],
    )


def over_optimisation(evidence: Evidence) -> Effect:
    """How fast the frozen model's reward leaves the pass rate behind over the last half."""
    slopes = metric_slope(evidence, FROZEN, {"reward": 1.0, "pass_rate": -1.0}, start=0.5)
    name = f"{FROZEN}: slope of reward − pass rate over the last half, per run"
    return seed_effect(name, slopes, unit="share", policies=[FROZEN])
