"""Judges of the controls: rewards that know nothing, gold data, exact identities."""

from functools import partial

from bakeoff.errors import BakeoffError
from bakeoff.records import START
from reports.claims.contrasts import minus
from reports.claims.effects import holm_adjusted
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding, Value, conclude
from reports.claims.rule import rise

RANDOM = "random_reward"
OTHERS = ("format_reward", "constant_reward", "length_penalised", "sft_gold")
MARGIN = 1.0  # points


def random_rewards_help(evidence: Evidence) -> Finding:
    """Claim 22: random rewards against the start, and every control against start and GRPO."""
    family = holm_adjusted([minus(evidence, RANDOM, START, margin=MARGIN)])
    return conclude(
        rise(family[0]),
        family=family,
        rows=[
            partial(minus, evidence, RANDOM, "grpo"),
            *(partial(minus, evidence, a, b) for a in OTHERS for b in (START, "grpo")),
        ],
    )


def identities_hold(evidence: Evidence) -> Finding:
    """Claim 23: every exact statement, with its largest error over random batches."""
    if not evidence.identities:
        raise BakeoffError("there is no identities.json")
    broken = [one.statement for one in evidence.identities if not one.holds]
    count = len(evidence.identities)
    return Finding(
        verdict="not reproduced" if broken else "reproduced",
        reason=f"does not hold: {'; '.join(broken)}" if broken else f"all {count} hold",
        values=tuple(
            Value(
                name=f"{one.statement} ({one.source})",
                value=one.largest_error,
                unit="largest error",
                decides=True,
            )
            for one in evidence.identities
        ),
    )
