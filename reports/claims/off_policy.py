"""Judge of the clip, on-policy and off-policy."""

from reports.claims.batches import every_batch, metric_means
from reports.claims.contrasts import minus
from reports.claims.effects import holm_adjusted
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding, Value, conclude
from reports.claims.rule import both, directional

CLIPPED = "clip_fraction"


def clip_matters_off_policy(evidence: Evidence) -> Finding:
    """Claim 17: exactly 0 at one update a batch, above 0 at four, where it helps."""
    on_policy = every_batch(evidence, "grpo", CLIPPED)
    off_policy = metric_means(evidence, "grpo_mu4", CLIPPED)
    binds = not on_policy.any() and min(off_policy.values()) > 0
    family = holm_adjusted([minus(evidence, "grpo_mu4", "grpo_mu4_no_clip")])
    return conclude(
        both("reproduced" if binds else "not reproduced", directional(family)),
        family=family,
        rows=[
            lambda: Value(
                name="largest clip fraction of a batch, grpo",
                value=float(on_policy.max()),
                unit="share",
            ),
            lambda: Value(
                name="clip fraction in the last tenth, grpo_mu4, lowest seed",
                value=min(off_policy.values()),
                unit="share",
            ),
            lambda: minus(evidence, "raft++_mu4", "raft++_mu4_no_clip"),
            lambda: minus(evidence, "raft++_mu4_no_clip", "online_rft_mu4"),
        ],
    )
