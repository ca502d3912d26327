"""Judges of process supervision in training."""

from reports.claims.contrasts import minus
from reports.claims.effects import holm_adjusted
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding, conclude
from reports.claims.rule import directional

_ONE_MODEL = "One reward model of each kind serves all seeds: intervals hold for these models."


def process_beats_outcome(evidence: Evidence) -> Finding:
    """Claim 4: by the exact checker, and beside it by reward models."""
    family = holm_adjusted([minus(evidence, "grpo_process", "grpo")])
    return conclude(
        directional(family),
        family=family,
        rows=[lambda: minus(evidence, "grpo_process_prm", "grpo_orm")],
        notes=[_ONE_MODEL],
    )


def ppo_ladder(evidence: Evidence) -> Finding:
    """Claim 8: RFT, PPO on an outcome reward model, PPO on a process reward model."""
    family = holm_adjusted(
        [minus(evidence, "ppo_orm", "rft"), minus(evidence, "ppo_process_prm", "ppo_orm")]
    )
    return conclude(
        directional(family),
        family=family,
        rows=[lambda: minus(evidence, "ppo_process", "ppo_process_prm")],
        notes=[_ONE_MODEL],
    )
