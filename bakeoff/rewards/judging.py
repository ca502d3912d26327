"""The verifier's word on completions, the same for every reward function."""

from collections.abc import Sequence

from bakeoff.interfaces import Verifier
from bakeoff.types import Completion, Prompt


def judge_completions(
    verifier: Verifier, prompts: Sequence[Prompt], completions: Sequence[Completion]
) -> list[bool | None]:
    """Whether each completion is correct; None where the verifier failed.

    A completion that was cut at the length limit is wrong even if its text holds the answer: it
    did not end, and an intermediate number must not count.
    """
    finished = [
        index for index, completion in enumerate(completions) if completion.finish == "stop"
    ]
    verdicts = verifier.verify(
        [prompts[index].problem for index in finished],
        [completions[index].text for index in finished],
    )
    correct: list[bool | None] = [False] * len(completions)
    for index, verdict in zip(finished, verdicts, strict=True):
        correct[index] = verdict.correct
    return correct
