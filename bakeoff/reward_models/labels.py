"""What annotated solutions say: in the published format, how balanced, and how true."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import hypergeom

from bakeoff.errors import ConfigError
from bakeoff.records import Row
from bakeoff.reward_models.examples import STEP_TAG
from bakeoff.rewards.steps import split_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelAccuracy:
    """Shares of steps whose label is the truth, in expectation over n of the completions."""

    steps: int
    hard: float  # 1 if any of the n is right
    soft: float  # 1 if more than half of the n are right


def published_format(record: Row) -> dict[str, str]:
    """An annotated solution as arXiv:2312.08935v3 published its data: hard labels at the tags.

    A step without a label has no tag.
    """
    labels = {step["end"]: "+" if step["hard"] else "-" for step in record["steps"]}
    tagged, labelled = [], []
    for number, step in enumerate(split_steps(record["response"]), 1):
        heading = f"Step {number}:"
        text = step.text if step.text.startswith(heading) else f"{heading} {step.text}"
        label = labels.get(step.end)
        tagged.append(text if label is None else f"{text} {STEP_TAG}")
        labelled.append(text if label is None else f"{text} {label}")
    question = record["question"]
    return {
        "input": f"{question} " + "\n".join(tagged),
        "label": f"{question} " + "\n".join(labelled),
        "task": record["task"],
    }


def label_counts(records: Iterable[Row]) -> dict[str, Any]:
    """How many solutions and labelled steps there are, and what share has which label.

    Shares are None where there are no steps.
    """
    solutions = steps = hard = 0
    soft = 0.0
    for record in records:
        solutions += 1
        for step in record["steps"]:
            steps += 1
            hard += step["hard"]
            soft += step["soft"]
    return {
        "solutions": solutions,
        "steps": steps,
        "hard_positive_share": hard / steps if steps else None,
        "soft_mean": soft / steps if steps else None,
    }


def label_accuracy(records: Iterable[Row], ns: Sequence[int]) -> dict[int, LabelAccuracy] | None:
    """How often estimates from n completions a step are the truth; None where no truth is known.

    Exact expectations over which n of a step's completions were drawn (hypergeometric), so one
    annotation stands for every smaller one. All n are compared on the same steps: those with as
    many completions as the largest n.

    Args:
        records: of annotated solutions.
        ns: numbers of completions, each at least 1.

    Raises:
        ConfigError: no step has as many completions as the largest n.
    """
    known = [
        (step["completions"], step["right"], truth)
        for record in records
        if "truth" in record
        for step, truth in zip(record["steps"], record["truth"], strict=True)
        if truth is not None
    ]
    if not known:
        return None
    steps = [one for one in known if one[0] >= max(ns)]
    if not steps:
        most = max(completions for completions, _, _ in known)
        raise ConfigError(f"n = {max(ns)} of {most} completions a step; ask for at most {most}")
    return {n: _accuracy(steps, n) for n in ns}


def _accuracy(steps: Sequence[tuple[int, int, int]], n: int) -> LabelAccuracy:
    completions, right, truth = np.array(steps).T

    def true_share(least: int) -> float:
        positive = hypergeom.sf(least - 1, completions, right, n)
        return float(np.where(truth == 1, positive, 1 - positive).mean())

    return LabelAccuracy(steps=len(steps), hard=true_share(1), soft=true_share(n // 2 + 1))
