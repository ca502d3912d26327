"""Which judge decides which claim, and what no judge may decide."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bakeoff.errors import BakeoffError
from bakeoff.records import START
from reports.claims.annotation import hard_peaks_early
from reports.claims.coefficient import grpo_beats_online_rft, positives_collapse
from reports.claims.controls import identities_hold, random_rewards_help
from reports.claims.coverage import algorithms_alike, votes_rise_coverage_does_not
from reports.claims.critic import critic_loses
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding
from reports.claims.groups import (
    divisions_are_biases,
    dropping_explains_grpo,
    uniform_groups_multiply,
)
from reports.claims.iteration import iteration_helps
from reports.claims.off_policy import clip_matters_off_policy
from reports.claims.paper import CLAIMS, Claim
from reports.claims.process import ppo_ladder, process_beats_outcome
from reports.claims.sampling import online_gains_late, rft_plateaus
from reports.claims.verifiers import process_model_verifies_best, verifier_goes_stale

Judge = Callable[[Evidence], Finding]

JUDGES: Mapping[int, Judge] = {
    1: online_gains_late,
    2: rft_plateaus,
    3: grpo_beats_online_rft,
    4: process_beats_outcome,
    5: iteration_helps,
    6: votes_rise_coverage_does_not,
    7: algorithms_alike,
    8: ppo_ladder,
    9: process_model_verifies_best,
    10: verifier_goes_stale,
    11: hard_peaks_early,
    13: positives_collapse,
    14: dropping_explains_grpo,
    15: divisions_are_biases,
    16: uniform_groups_multiply,
    17: clip_matters_off_policy,
    18: critic_loses,
    22: random_rewards_help,
    23: identities_hold,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A claim and what was found."""

    claim: Claim
    finding: Finding


def judge_all(evidence: Evidence) -> tuple[Judged, ...]:
    """Every claim of the papers, by number."""
    return tuple(
        Judged(claim=claim, finding=judge(claim.number, evidence))
        for claim in sorted(CLAIMS, key=lambda claim: claim.number)
    )


def judge(number: int, evidence: Evidence) -> Finding:
    """The finding on a claim; inconclusive where its evidence is missing or cannot carry it."""
    try:
        finding = JUDGES[number](evidence)
    except BakeoffError as error:
        return Finding(verdict="inconclusive", reason=str(error))
    return _held_back(finding, evidence)


def _held_back(finding: Finding, evidence: Evidence) -> Finding:
    """The finding, inconclusive where it speaks of methods and the runs cannot."""
    if not any(policy != START for policy in finding.policies):
        return finding
    study = evidence.study
    if not study.gate.passed:
        reason = f"the study is not comparable: {'; '.join(study.gate.reasons)}"
        return replace(finding, verdict="inconclusive", reason=reason)
    if len(finding.seeds) < 2:
        reason = "one seed: the interval is over problems alone and says nothing of another run"
        return replace(finding, verdict="inconclusive", reason=reason)
    absent = [str(seed) for seed in study.seeds if seed not in finding.seeds]
    if not absent:
        return finding
    note = f"Seeds {', '.join(absent)} are left out: not every arm finished with them."
    return replace(finding, notes=(*finding.notes, note))
