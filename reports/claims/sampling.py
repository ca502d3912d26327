"""Judges of where the data come from: the start's samples or the current policy's."""

from reports.claims.contrasts import minus
from reports.claims.effects import holm_adjusted, table_effect
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding, conclude
from reports.claims.learning import slope_scores, window_scores
from reports.claims.rule import directional
from reports.claims.scores import combined
from reports.windows import EARLY, LATE

_SHARES = (
    "Curves are paired by the share of each arm's own run: RFT pays for its pool before training, "
    "and then takes two passes over it."
)


def online_gains_late(evidence: Evidence) -> Finding:
    """Claim 1: online RFT against RFT, early and late in the run."""
    early = window_scores(evidence, "online_rft", "rft", window=EARLY)
    late = window_scores(evidence, "online_rft", "rft", window=LATE)
    family = holm_adjusted(
        [
            table_effect("online_rft − rft, last third", late, rng=evidence.rng()),
            table_effect(
                "last third − first third", combined([(1, late), (-1, early)]), rng=evidence.rng()
            ),
        ]
    )
    return conclude(
        directional(family, contradicting=family[:1]),
        family=family,
        rows=[
            lambda: table_effect("online_rft − rft, first third", early, rng=evidence.rng()),
            lambda: minus(evidence, "online_rft", "rft"),
        ],
        notes=[_SHARES],
    )


def rft_plateaus(evidence: Evidence) -> Finding:
    """Claim 2: slopes of both over the last half."""
    online, offline = slope_scores(evidence, ("online_rft", "rft"))
    family = holm_adjusted(
        [
            table_effect(
                "slope over the last half, per run, online_rft − rft",
                combined([(1, online), (-1, offline)]),
                rng=evidence.rng(),
            )
        ]
    )
    return conclude(
        directional(family),
        family=family,
        rows=[
            lambda: table_effect("slope of online_rft", online, rng=evidence.rng()),
            lambda: table_effect("slope of rft", offline, rng=evidence.rng()),
        ],
        notes=[_SHARES],
    )
