"""Labelled solutions for reward models, from the files that hold them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bakeoff.errors import ConfigError
from bakeoff.reward_models.folder import RewardKind
from bakeoff.tasks.rows import Row

STEP_TAG = "ки"  # arXiv:2312.08935v3's data: where a step is scored
_FIRST_STEP = "Step 1:"
_LABELS = {"+": 1.0, "-": 0.0}

Estimate = Literal["hard", "soft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSolution:
    """A solution with the label of each step, or one of the whole."""

    question: str
    response: str
    ends: tuple[int, ...]  # character offsets just past each labelled step
    labels: tuple[float, ...]  # in [0, 1]: 1 is right, or has potential
    finished: bool = True  # ended by itself; False: cut at the length limit


def read_examples(
    path: Path, *, kind: RewardKind, estimate: Estimate = "hard"
) -> Iterator[LabelledSolution]:
    """The labelled solutions of a JSON-lines file, read as they are asked for.

    Three forms of a line:

    - ``question``, ``response``, ``steps`` [{``end``, ``hard``, ``soft``}], as `bakeoff annotate`
      writes it;
    - ``question``, ``response`` or ``responses``, ``correct``, perhaps ``finish``: the outcome
      alone;
    - ``input`` and ``label``, as arXiv:2312.08935v3 published its data.

    Where steps are labelled, the outcome is the last one's label: nothing is left to complete after
    it. Responses without text, and those without a label or a verdict (null), are left out.

    Args:
        path: the file.
        kind: what the labels are for.
        estimate: which label of an annotated step; the paper's reward model is trained on hard.

    Raises:
        ConfigError: no such file, a line that has none of the forms or has it wrong, or outcomes
            alone where steps are asked for.
    """
    for row in stream_rows(path):
        if "steps" in row.fields:
            found: Iterable[LabelledSolution] = [_annotated(row, estimate)]
        elif "input" in row.fields and "label" in row.fields:
            found = [_published(row)]
        elif kind is RewardKind.PROCESS:
            raise row.error(
                "a process reward model takes labelled steps: 'steps' (see `bakeoff annotate`) or "
                "'input' and 'label'"
            )
        else:
            found = _graded(row)
        for example in found:
            if not example.ends or not example.response.strip():
                continue
            asked = example if kind is RewardKind.PROCESS else _outcome(example)
            if asked is not None:
                yield asked


def stream_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSON-lines file, one at a time; blank lines are skipped.

    Raises:
        ConfigError: no such file, or a line that is not a JSON object.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _row(line, number, path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from None


def hold_out(
    examples: Iterable[LabelledSolution], *, share: float
) -> tuple[list[LabelledSolution], list[LabelledSolution]]:
    """Examples to train on and examples held out, with no question in both.

    A hash of the question decides, so a file that grows moves none from one to the other.
    """
    kept: list[LabelledSolution] = []
    held_out: list[LabelledSolution] = []
    for example in examples:
        # Salted: questions that a task chose by a hash of theirs must still spread evenly.
        digest = hashlib.blake2b(example.question.encode(), digest_size=8, person=b"hold out")
        place = int.from_bytes(digest.digest(), "big") / 2**64
        (held_out if place < share else kept).append(example)
    return kept, held_out


def responses_of(row: Row) -> tuple[list[str], list[bool]]:
    """The responses of a row and whether each ended by itself; without ``finish`` all did.

    Raises:
        ConfigError: neither ``responses`` nor ``response`` holds text, or ``finish`` does not fit.
    """
    given = row.fields.get("responses", row.fields.get("response"))
    responses = [given] if isinstance(given, str) else given
    if not isinstance(responses, list) or not all(isinstance(one, str) for one in responses):
        raise row.error("'responses' must be a list of texts, or 'response' a text")
    finish = _one_each(row, "finish", len(responses))
    if odd := [one for one in finish if one not in ("stop", "length", None)]:
        raise row.error(f'\'finish\' must hold "stop" or "length", got {odd[0]!r}')
    return responses, [one != "length" for one in finish]


def _row(line: str, number: int, path: Path) -> Row:
    where = f"{path}, line {number}"
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ConfigError(f"{where}: a {type(fields).__name__}; one JSON object a line is expected")
    return Row(fields=fields, number=number, where=where)


def _one_each(row: Row, name: str, count: int) -> Sequence[Any]:
    """A value for each response; all None where the field is missing."""
    value = row.fields.get(name)
    if value is None:
        return [None] * count
    values = value if isinstance(value, list) else [value]
    if len(values) != count:
        raise row.error(f"{name!r} has {len(values)} values for {count} responses")
    return values


def _graded(row: Row) -> Iterator[LabelledSolution]:
    responses, finished = responses_of(row)
    question = row.text("question")
    if "correct" not in row.fields:
        raise row.error("an outcome reward model takes 'correct', or labelled 'steps'")
    for response, correct, ended in zip(
        responses, _one_each(row, "correct", len(responses)), finished, strict=True
    ):
        if correct not in (True, False, None):
            raise row.error(f"'correct' must hold true, false or null, got {correct!r}")
        if correct is not None:
            yield LabelledSolution(
                question=question,
                response=response,
                ends=(len(response),),
                labels=(float(correct),),
                finished=ended,
            )


def _annotated(row: Row, estimate: Estimate) -> LabelledSolution:
    responses, finished = responses_of(row)
    steps = row.fields["steps"]
    if len(responses) != 1 or not isinstance(steps, list):
        raise row.error("an annotated solution has one 'response' and a list of 'steps'")
    ends: list[int] = []
    labels: list[float] = []
    for step in steps:
        end = step.get("end") if isinstance(step, dict) else None
        label = step.get(estimate) if isinstance(step, dict) else None
        previous = ends[-1] if ends else 0
        if not isinstance(end, int) or not previous < end <= len(responses[0]):
            raise row.error(
                f"a step ends at {end!r}; expected a character offset above {previous} and at "
                f"most {len(responses[0])}, the length of the response"
            )
        if not isinstance(label, int | float) or not 0 <= label <= 1:
            raise row.error(f"a step has the {estimate} label {label!r}; expected 0 to 1")
        ends.append(end)
        labels.append(float(label))
    return LabelledSolution(
        question=row.text("question"),
        response=responses[0],
        ends=tuple(ends),
        labels=tuple(labels),
        finished=finished[0],
    )


def _published(row: Row) -> LabelledSolution:
    """A line of the published data: the same text twice, with tags in one and labels in the other.

    The line break after a tag belongs to the step before it, as in `split_steps`.
    """
    text, labelled = row.fields["input"], row.fields["label"]
    if not isinstance(text, str) or not isinstance(labelled, str):
        raise row.error("'input' and 'label' must be text")
    *tagged, rest = text.split(STEP_TAG)
    labels = []
    position = 0
    for segment in tagged:
        mark = position + len(segment)
        if labelled[position:mark] != segment or labelled[mark : mark + 1] not in _LABELS:
            raise row.error(
                f"'label' must be 'input' with + or - for every {STEP_TAG}; it is not at "
                f"character {mark}: {labelled[max(0, mark - 20) : mark + 5]!r}"
            )
        labels.append(_LABELS[labelled[mark]])
        position = mark + 1
    if not tagged or _FIRST_STEP not in tagged[0] or labelled[position:].strip() != rest.strip():
        raise row.error(
            f"'input' must be a question, {_FIRST_STEP!r} and steps that end with {STEP_TAG}, and "
            "'label' the same text"
        )
    start = tagged[0].index(_FIRST_STEP)
    response = ""
    ends: list[int] = []
    for segment in (tagged[0][start:], *tagged[1:], rest):
        body = segment.lstrip()
        if ends:
            response += segment[: len(segment) - len(body)]
            ends[-1] = len(response)
        response += body.rstrip(" ")
        ends.append(len(response))
    del ends[-1]  # of what follows the last tag
    return LabelledSolution(
        question=tagged[0][:start].strip(),
        response=response,
        ends=tuple(ends),
        labels=tuple(labels),
    )


def _outcome(example: LabelledSolution) -> LabelledSolution | None:
    """The solution with one label; None where its last step has none.

    A solution that was cut is wrong, whatever could still become of it.
    """
    if example.ends[-1] < len(example.response.rstrip()):
        return None
    label = example.labels[-1] if example.finished else 0.0
    return replace(example, ends=(len(example.response),), labels=(label,))
