"""The built-in task as a `Task`: its splits, its demonstrator and its exact verifier."""

from collections.abc import Iterator, Sequence

from bakeoff.errors import ConfigError
from bakeoff.interfaces import StepChecker, Verdict, Verifier
from bakeoff.tasks import arithmetic
from bakeoff.types import Problem, Split

SPLIT_SIZES = {Split.TRAIN: 20_000, Split.VALIDATION: 512, Split.TEST: 512, Split.OOD: 256}


class ArithmeticTask:
    """Chains of integer operations; needs no file, no network and no process."""

    name = "arithmetic"
    instruction = "{question}\n"

    def problems(self, split: Split, *, count: int | None = None) -> list[Problem]:
        size = SPLIT_SIZES[split]
        if count is not None and count > size:
            raise ConfigError(
                f"{count} problems of arithmetic/{split.value} asked for, the split has {size}; "
                f"ask for at most {size}"
            )
        return arithmetic.problems(split, count=size if count is None else count)

    def demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        return arithmetic.demonstrations(self.problems(Split.TRAIN), seed=seed)

    def gold_demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        pool = self.problems(Split.TRAIN)
        return arithmetic.demonstrations(pool, seed=seed, step_error_rate=0)

    def gold_response(self, problem: Problem) -> str:
        return f"#{problem.answer}"

    def verifier(self) -> Verifier:
        return ArithmeticVerifier()

    def step_checker(self) -> StepChecker:
        return check_steps


class ArithmeticVerifier:
    """Exact: the response ends with ``#`` and the problem's answer, or it is wrong."""

    def verify(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        return [
            _judge(problem, response) for problem, response in zip(problems, responses, strict=True)
        ]

    def close(self) -> None:
        """Holds nothing."""


def _judge(problem: Problem, response: str) -> Verdict:
    extracted = arithmetic.extract_answer(response)
    if extracted is None:
        return Verdict(correct=False, reason="does not end with #INTEGER")
    if extracted != problem.answer:
        return Verdict(correct=False, extracted=extracted, reason=f"is not {problem.answer}")
    return Verdict(correct=True, extracted=extracted)


def check_steps(problem: Problem, steps: Sequence[str]) -> list[float]:
    """1 for each step that is right by `arithmetic.check_steps`, else 0."""
    return [float(right) for right in arithmetic.check_steps(problem.question, steps)]
