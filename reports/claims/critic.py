"""Judge of what the critic costs PPO."""

from functools import partial

from reports.claims.batches import metric_means
from reports.claims.contrasts import minus
from reports.claims.effects import holm_adjusted, seed_effect
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding, Value, as_level, conclude
from reports.claims.rule import directional

VANILLA, PRETRAINED = "ppo_vanilla", "ppo_pretrained"


def critic_loses(evidence: Evidence) -> Finding:
    """Claim 18: pretraining and decoupled GAE against neither."""
    family = holm_adjusted([minus(evidence, PRETRAINED, VANILLA)])
    return conclude(
        directional(family),
        family=family,
        rows=[
            lambda: minus(evidence, "ppo", VANILLA),
            *(partial(_explained, evidence, arm) for arm in (VANILLA, PRETRAINED, "ppo")),
        ],
    )


def _explained(evidence: Evidence, arm: str) -> Value:
    means = metric_means(evidence, arm, "explained_variance")
    name = f"explained variance in the last tenth, {arm}"
    return as_level(seed_effect(name, means, unit="share", policies=[arm]))
