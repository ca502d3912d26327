"""From a study's folder to claims.md and claims.json."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2

from bakeoff.records import write_json
from reports.canvas import short_count
from reports.claims.arms import ArmEnd, arm_ends
from reports.claims.evidence import Evidence, load_evidence
from reports.claims.judges import Judged, judge_all
from reports.claims.rule import VERDICTS
from reports.claims.text import arm_table, claim_table, value_table
from reports.figures import AXIS_NAMES
from reports.statistics import RESAMPLES
from reports.verdict import duration, gate_line

SCHEMA = 1
TEMPLATES = Path(__file__).parents[1] / "templates"


def write_claims(folder: Path, *, seed: int = 0) -> Path:
    """The path of claims.md, after writing it and claims.json into the folder.

    The same records give the same bytes.

    Args:
        folder: a study's, with what `reports.claims.evidence` reads beside it.
        seed: of the resamples.

    Raises:
        BakeoffError: a record is malformed, or no cell has finished.
    """
    evidence = load_evidence(folder, seed=seed)
    judged, ends = judge_all(evidence), arm_ends(evidence)
    write_json(folder / "claims.json", summary(evidence, judged, ends))
    page = folder / "claims.md"
    page.write_text(_markdown(evidence, judged, ends), encoding="utf-8")
    return page


def summary(evidence: Evidence, judged: Sequence[Judged], ends: Sequence[ArmEnd]) -> dict[str, Any]:
    """claims.json, schema 1. A value is in its unit; accuracies of arms are shares of 1."""
    study = evidence.study
    return {
        "schema": SCHEMA,
        "study": study.name,
        "task": study.task,
        "model": study.model,
        "budget": {"axis": study.budget_axis, "value": study.budget},
        "seeds": list(study.seeds),
        "gate": {"passed": study.gate.passed, "failed": list(study.gate.reasons)},
        "machine": study.machine,
        "git_revision": study.git_revision,
        "command": study.command,
        "wall_seconds": _wall_seconds(evidence),
        "resamples": {"count": RESAMPLES, "seed": evidence.seed},
        "counts": _counts(judged),
        "claims": [asdict(one.claim) | asdict(one.finding) for one in judged],
        "arms": [asdict(end) for end in ends],
        "skipped": [asdict(one) for one in study.skipped],
        "reward_models": _reward_models(evidence),
    }


def _markdown(evidence: Evidence, judged: Sequence[Judged], ends: Sequence[ArmEnd]) -> str:
    study = evidence.study
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("claims.md.j2").render(
        study=study,
        gate=gate_line(study),
        budget=f"{short_count(study.budget)} "
        f"{AXIS_NAMES.get(study.budget_axis, study.budget_axis)}",
        wall_time=duration(_wall_seconds(evidence)),
        counts=_counts(judged),
        resamples=RESAMPLES,
        claims=claim_table(judged),
        judged=[(one.claim, one.finding, value_table(one.finding)) for one in judged],
        arms=arm_table(ends),
        reward_models=_reward_models(evidence),
    )


def _counts(judged: Sequence[Judged]) -> dict[str, int]:
    counts = Counter(one.finding.verdict for one in judged)
    return {verdict: counts[verdict] for verdict in VERDICTS}


def _wall_seconds(evidence: Evidence) -> float:
    """Of all finished cells together; they may have run side by side."""
    return sum(float(cell.ledger.get("wall_seconds") or 0.0) for cell in evidence.study.cells)


def _reward_models(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Reward model -> its head, what it took, and its metrics on solutions held out."""
    return {
        name: {
            "head": record.get("head"),
            "solutions": (record.get("result") or {}).get("solutions"),
            "wall_seconds": record.get("wall_seconds"),
            "held_out": {
                key: value
                for key, value in (record.get("held_out") or {}).items()
                if value is not None
            },
        }
        for name, record in evidence.reward_models.items()
    }
