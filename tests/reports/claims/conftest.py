"""Evidence whose truth is chosen by hand: levels of accuracy with a little noise on top."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.claims.evidence import METRIC_KEYS, Evidence, Identity, Sampled, Step
from reports.evaluations import K_IN_CURVES, Evaluation
from reports.load import Cell, Gate, Skipped, Study

SAMPLES = 100  # a problem, so that accuracies come in steps of a point
PROBLEMS = 60
SEEDS = (0, 1, 2)

# An arm's final accuracy: one level, a level a seed, or [S, P].
Level = float | Sequence[float] | np.ndarray
MakeEvidence = Callable[..., Evidence]


@pytest.fixture
def make_evidence() -> MakeEvidence:
    """Builds evidence from levels of accuracy, curves and metrics of arms."""
    return build_evidence


def build_evidence(
    *,
    accuracy: Mapping[str, Level] | None = None,
    curves: Mapping[str, Sequence[float]] | None = None,
    metrics: Mapping[str, Mapping[str, Sequence[Sequence[float | None]]]] | None = None,
    seeds: Sequence[int] = SEEDS,
    noise: float = 0.02,
    passed: bool = True,
    failed: Mapping[str, str] | None = None,
    samples: Mapping[tuple[str, str], Sequence[Sampled]] | None = None,
    annotations: Sequence[Sequence[Step]] = (),
    identities: Sequence[Identity] = (),
    reward_models: Mapping[str, Mapping[str, Any]] | None = None,
) -> Evidence:
    """Evidence of arms.

    Args:
        accuracy: arm, or "start" -> its final accuracy on test and, 10 points lower, out of domain.
        curves: arm -> its accuracy at every evaluation, the last one final; instead of `accuracy`.
        metrics: arm -> metric -> a series a seed.
        failed: arm -> why it did not finish.
    """
    accuracy, curves, metrics = dict(accuracy or {}), dict(curves or {}), dict(metrics or {})
    rng = np.random.default_rng(5)
    start = accuracy.pop("start", None)
    arms = tuple(dict.fromkeys([*accuracy, *curves, *metrics]))
    cells = []
    for arm in arms:
        for place, seed in enumerate(seeds):
            levels = curves.get(arm) or [accuracy.get(arm, 0.5)]
            points = [
                evaluation(_row_levels(level, place), rng, batch=index, noise=noise)
                for index, level in enumerate(levels, 1)
            ]
            points.append(replace(points.pop(), final=True))
            ood = evaluation(_row_levels(levels[-1], place) - 0.1, rng, batch=99, noise=noise)
            series = metrics.get(arm, {})
            length = max((len(values[place]) for values in series.values()), default=0)
            cells.append(
                Cell(
                    method=arm,
                    seed=seed,
                    directory=f"{arm}-s{seed}-0123456789",
                    config={},
                    ledger={"wall_seconds": 60.0},
                    metrics={
                        key: np.array(series[key][place], dtype=np.float64)
                        if key in series
                        else np.full(length, np.nan)
                        for key in METRIC_KEYS
                    },
                    evaluations={
                        "test": tuple(points),
                        "ood": (replace(ood, final=True),),
                    },
                    transcripts=(),
                )
            )
    starts = {}
    if start is not None:
        for place, seed in enumerate(seeds):
            level = _row_levels(start, place)
            starts[seed] = {
                "test": evaluation(level, rng, batch=0, noise=noise),
                "ood": evaluation(level - 0.1, rng, batch=0, noise=noise),
            }
    study = Study(
        path=Path("study"),
        name="claims",
        task="arithmetic",
        model="builtin",
        budget_axis="sampled_tokens",
        budget=1000.0,
        seeds=tuple(seeds),
        gate=Gate(passed=passed, reasons=() if passed else ("accumulation: gradients differ",)),
        command="bakeoff claims",
        git_revision="c477b68d0f",
        versions={},
        machine="2 cores, Linux",
        split="test",
        cells=tuple(cells),
        skipped=tuple(
            Skipped(method=arm, seed=0, directory=f"{arm}-s0", state="failed", message=why)
            for arm, why in (failed or {}).items()
        ),
        start=starts,
        start_transcripts=(),
        methods=arms,
    )
    return Evidence(
        study=study,
        annotations=tuple(tuple(steps) for steps in annotations),
        samples={name: tuple(problems) for name, problems in (samples or {}).items()},
        reward_models=dict(reward_models or {}),
        identities=tuple(identities),
        seed=0,
    )


def evaluation(
    level: float | np.ndarray, rng: np.random.Generator, *, batch: int, noise: float
) -> Evaluation:
    """An evaluation whose problems have this accuracy, up to noise, in whole points."""
    wanted = np.broadcast_to(level, PROBLEMS) + noise * rng.normal(size=PROBLEMS)
    hits = np.clip(np.rint(SAMPLES * wanted), 0, SAMPLES).astype(int)
    return Evaluation(
        batch=batch,
        final=False,
        spent={"sampled_tokens": float(batch)},
        problems=tuple(f"p{index:02d}" for index in range(PROBLEMS)),
        samples=np.full(PROBLEMS, SAMPLES),
        judged=np.full(PROBLEMS, SAMPLES),
        right=hits,
        greedy=np.ones(PROBLEMS),
        format_rate=np.full(PROBLEMS, np.nan),
        response_tokens=np.full(PROBLEMS, np.nan),
        kl_to_start=np.full(PROBLEMS, np.nan),
        majority=np.full((len(K_IN_CURVES), PROBLEMS), np.nan),
    )


def _row_levels(level: Level, place: int) -> float | np.ndarray:
    table = np.asarray(level, dtype=np.float64)
    return float(table) if table.ndim == 0 else table[place]


@pytest.fixture
def make_samples() -> Callable[..., list[Sampled]]:
    """Builds judged responses from shares of right ones."""
    return sampled


def sampled(
    rates: Sequence[float],
    *,
    n: int = 16,
    answers: Callable[[int], str] | None = None,
    **scores: Any,
) -> list[Sampled]:
    """A problem a rate, of whose n responses that share is right and the others agree.

    Args:
        rates: shares of right responses.
        n: responses.
        answers: what the i-th wrong response says; None: all the same.
        scores: verifier -> (score of a right response, score of a wrong one).
    """
    problems = []
    for index, rate in enumerate(rates):
        hits = round(n * rate)
        correct = (True,) * hits + (False,) * (n - hits)
        said = tuple(
            "42" if right else answers(i) if answers else "7" for i, right in enumerate(correct)
        )
        problems.append(
            Sampled(
                id=f"p{index:02d}",
                correct=correct,
                answers=said,
                scores={
                    name: tuple(good if right else bad for right in correct)
                    for name, (good, bad) in scores.items()
                },
            )
        )
    return problems
