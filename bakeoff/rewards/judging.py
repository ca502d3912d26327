"""The verifier's word on completions, the same for every reward function."""

from collections.abc import Sequence

from bakeoff.interfaces import Verdict, Verifier
from bakeoff.types import Completion, Prompt


def judge_completions(
    verifier: Verifier, prompts: Sequence[Prompt], completions: Sequence[Completion]
) -> list[bool | None]:
    """Whether each completion is correct; None where the verifier failed."""
    return [verdict.correct for verdict in verdicts(verifier, prompts, completions)]


def verdicts(
    verifier: Verifier, prompts: Sequence[Prompt], completions: Sequence[Completion]
) -> list[Verdict]:
    """A verdict on each completion.

    A completion that was cut at the length limit is wrong even if its text holds the answer: it
    did not end, and an intermediate number must not count.
    """
    finished = [
        index for index, completion in enumerate(completions) if completion.finish == "stop"
    ]
    judged = verifier.verify(
        [prompts[index].problem for index in finished],
        [completions[index].text for index in finished],
    )
    found = [Verdict(correct=False, reason="cut at the limit")] * len(completions)
    for index, verdict in zip(finished, judged, strict=True):
        found[index] = verdict
    return found
