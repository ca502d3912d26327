"""Judges of reward models as verifiers of samples."""

from functools import partial

from bakeoff.records import START
from reports.claims.choices import choice, most_samples
from reports.claims.contrasts import OOD
from reports.claims.effects import Effect, holm_adjusted, table_effect
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding, Row, Value, accuracy_value, conclude
from reports.claims.rule import directional
from reports.claims.scores import Scores, combined
from reports.verification import BEST, MAJORITY, WEIGHTED, unpaired_difference

ORM, PRM = f"{BEST}:orm", f"{BEST}:prm"
WEIGHTED_PRM = f"{WEIGHTED}:prm"
TRAINED = "ppo_process_prm"
_ONE_MODEL = "One reward model of each kind: the interval is over problems, not over reward models."


def process_model_verifies_best(evidence: Evidence) -> Finding:
    """Claim 9: the ways to choose among the start's samples, on the hard split and the easy one."""
    easy = evidence.study.split
    hard = partial(_between, evidence, split=OOD)
    family = holm_adjusted([hard(PRM, ORM), hard(ORM, MAJORITY)])
    rows: list[Row] = [partial(hard, WEIGHTED_PRM, PRM)]
    rows += [
        partial(_between, evidence, a, b, split=easy)
        for a, b in ((PRM, ORM), (ORM, MAJORITY), (WEIGHTED_PRM, PRM))
    ]
    rows.append(lambda: _harder_minus_easier(evidence, easy))
    rows += [
        partial(_level, evidence, way, split=split)
        for split in (OOD, easy)
        for way in (MAJORITY, ORM, PRM, WEIGHTED_PRM)
    ]
    return conclude(directional(family), family=family, rows=rows, notes=[_ONE_MODEL])


def verifier_goes_stale(evidence: Evidence) -> Finding:
    """Claim 10: what the PRM adds over the vote, before PPO on it and after."""
    most = most_samples(evidence, (START, TRAINED), split=OOD)
    before = _advantage(evidence, START, most)
    after = _advantage(evidence, TRAINED, most)
    family = holm_adjusted(
        [
            table_effect(
                f"{PRM} − {MAJORITY} at K = {most}, start − {TRAINED}",
                combined([(1, before), (-1, after)]),
                rng=evidence.rng(),
            )
        ]
    )
    return conclude(
        directional(family),
        family=family,
        rows=[
            lambda: table_effect(f"{PRM} − {MAJORITY}, start", before, rng=evidence.rng()),
            lambda: table_effect(f"{PRM} − {MAJORITY}, {TRAINED}", after, rng=evidence.rng()),
        ],
        notes=[
            _ONE_MODEL,
            "A better policy leaves any verifier less to add: read the rows beside the difference.",
        ],
    )


def _between(evidence: Evidence, a: str, b: str, *, split: str) -> Effect:
    most = most_samples(evidence, (START,), split=split)
    table = _difference(evidence, START, a, b, split=split, k=most)
    return table_effect(f"{a} − {b} at K = {most} on {split}", table, rng=evidence.rng())


def _harder_minus_easier(evidence: Evidence, easy: str) -> Value:
    gaps = [
        _difference(
            evidence, START, PRM, ORM, split=split, k=most_samples(evidence, (START,), split=split)
        )
        for split in (OOD, easy)
    ]
    found = unpaired_difference(
        100 * gaps[0].values[0], 100 * gaps[1].values[0], rng=evidence.rng()
    )
    return Value(
        name=f"{PRM} − {ORM}, {OOD} − {easy}",
        value=found.interval.mean,
        unit="points",
        low=found.interval.low,
        high=found.interval.high,
        p_value=found.p_value,
        difference=True,
    )


def _level(evidence: Evidence, way: str, *, split: str) -> Value:
    most = most_samples(evidence, (START,), split=split)
    table = choice(evidence, START, split=split, way=way, k=most)
    return accuracy_value(f"{way} at K = {most} on {split}", table, rng=evidence.rng())


def _advantage(evidence: Evidence, policy: str, k: int) -> Scores:
    return _difference(evidence, policy, PRM, MAJORITY, split=OOD, k=k)


def _difference(evidence: Evidence, policy: str, a: str, b: str, *, split: str, k: int) -> Scores:
    ways = [choice(evidence, policy, split=split, way=way, k=k) for way in (a, b)]
    return combined([(1, ways[0]), (-1, ways[1])])
