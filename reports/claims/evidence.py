"""Everything that claims are judged by, read once.

Beside the records of the study, a folder may hold::

    annotation/annotations.jsonl          steps of solutions, completed from, and the truth
    samples/<policy>-<split>.jsonl        judged responses of "start" and of "<arm>-s<seed>"
    reward_models/{orm,prm}/training.json held-out metrics
    identities.json                       exact statements and their largest errors
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from bakeoff.errors import BakeoffError
from bakeoff.records import START, Row, read_json, read_lines
from reports.evaluations import Evaluation
from reports.load import Cell, Study, load_study

T = TypeVar("T")

REWARD_MODELS = ("orm", "prm")
# What claims read of metrics.jsonl.
METRIC_KEYS = (
    "entropy",
    "reward",
    "pass_rate",
    "zero_variance_share",
    "clip_fraction",
    "explained_variance",
    "response_tokens_wrong",
)
_RUN = re.compile(r"(?P<arm>.+)-s(?P<seed>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A problem with its n judged responses; what `reports.verification` takes."""

    id: str
    correct: tuple[bool | None, ...]
    answers: tuple[str | None, ...]
    scores: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a solution, by completions from its end and in truth."""

    completions: int  # 0: the end of a solution, judged without any
    right: int  # of them
    is_right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An exact statement and how far off it was at worst."""

    statement: str
    source: str
    largest_error: float
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The records of a study, and what was measured beside it."""

    study: Study
    annotations: tuple[tuple[Step, ...], ...]  # by solution
    samples: Mapping[tuple[str, str], tuple[Sampled, ...]]  # (policy, split)
    reward_models: Mapping[str, Row]
    identities: tuple[Identity, ...]
    seed: int  # of the resamples

    def rng(self) -> np.random.Generator:
        """The source of resamples: the same draws for every number, whatever is left out."""
        return np.random.default_rng(self.seed)

    def cells(self, arm: str) -> tuple[Cell, ...]:
        """The finished cells of an arm, by seed.

        Raises:
            BakeoffError: none, and why.
        """
        cells = self.study.of(arm)
        if cells:
            return cells
        lost = [one for one in self.study.skipped if one.method == arm]
        if not lost:
            raise BakeoffError(f"arm {arm} is not in the study")
        reasons = dict.fromkeys(one.message or one.state for one in lost)
        raise BakeoffError(f"arm {arm} did not finish: {'; '.join(reasons)}")

    def finals(self, policy: str, split: str) -> dict[int, Evaluation]:
        """Seed -> the last evaluation of an arm, or that of the start.

        Raises:
            BakeoffError: there is none on this split.
        """
        if policy == START:
            found = {s: splits[split] for s, splits in self.study.start.items() if split in splits}
        else:
            ends = {cell.seed: cell.final(split) for cell in self.cells(policy)}
            found = {seed: end for seed, end in ends.items() if end is not None}
        if not found:
            raise BakeoffError(f"{policy} has no final evaluation on {split}")
        return found

    def sampled(self, policy: str, split: str) -> dict[int | None, tuple[Sampled, ...]]:
        """Seed -> the responses of an arm's run; None -> those of the start.

        Raises:
            BakeoffError: there are none.
        """
        found: dict[int | None, tuple[Sampled, ...]] = {}
        for (name, of), problems in self.samples.items():
            run = _RUN.fullmatch(name)
            if of == split and name == policy == START:
                found[None] = problems
            elif of == split and run and run["arm"] == policy:
                found[int(run["seed"])] = problems
        if not found:
            raise BakeoffError(f"there are no samples of {policy} on {split}")
        return found


def load_evidence(folder: Path, *, seed: int) -> Evidence:
    """The evidence of a folder; what is not there is empty.

    Raises:
        BakeoffError: a record is malformed, or no cell has finished.
    """
    annotations = folder / "annotation" / "annotations.jsonl"
    identities = folder / "identities.json"
    reward_models = {n: folder / "reward_models" / n / "training.json" for n in REWARD_MODELS}
    samples = {}
    for file in sorted((folder / "samples").glob("*-*.jsonl")):
        policy, _, split = file.stem.rpartition("-")
        samples[policy, split] = tuple(_made(_sampled, row, file) for row in read_lines(file))
    return Evidence(
        study=load_study(folder, metrics=METRIC_KEYS),
        annotations=tuple(_made(_steps, row, annotations) for row in read_lines(annotations)),
        samples={name: problems for name, problems in samples.items() if problems},
        reward_models={n: read_json(file) for n, file in reward_models.items() if file.exists()},
        identities=_made(_identities, read_json(identities), identities)
        if identities.exists()
        else (),
        seed=seed,
    )


def _made(make: Callable[[Row], T], row: Row, file: Path) -> T:
    """What a row says.

    Raises:
        BakeoffError: it says something else.
    """
    try:
        return make(row)
    except (KeyError, TypeError, ValueError) as error:
        raise BakeoffError(
            f"{file}: a record cannot be read ({type(error).__name__}: {error}); it was written "
            "by another version or by hand"
        ) from None


def _steps(row: Row) -> tuple[Step, ...]:
    """The steps whose truth is known; those of a task without a checker of steps are none."""
    if "truth" not in row:
        return ()
    return tuple(
        Step(
            completions=0 if _is_end(step, row) else int(step["completions"] or 0),
            right=int(step["right"] or 0),
            is_right=bool(truth),
        )
        for step, truth in zip(row["steps"], row["truth"], strict=True)
        if truth is not None
    )


def _is_end(step: Row, row: Row) -> bool:
    """Whether nothing was left to complete: the record counts one verdict as all completions."""
    return row.get("finish") == "stop" and step.get("end") == len(row["response"])


def _sampled(row: Row) -> Sampled:
    return Sampled(
        id=str(row["id"]),
        correct=tuple(row["correct"]),
        answers=tuple(row["extracted"]),
        scores={name: tuple(values) for name, values in (row.get("scores") or {}).items()},
    )


def _identities(record: Row) -> tuple[Identity, ...]:
    return tuple(
        Identity(
            statement=str(row["statement"]),
            source=str(row["source"]),
            largest_error=float(row["largest_error"]),
            holds=bool(row["holds"]),
        )
        for row in record["identities"]
    )
