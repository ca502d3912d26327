"""GSM-Symbolic (arXiv:2410.05229): GSM8K's problems as templates with other names and numbers.

reasoning-gym draws them, from 85 of the paper's 100 templates and at one difficulty, so there is
no out-of-domain split. The splits share templates but no question: a question's hash decides where
it belongs. A problem's id is its place in one long draw, the same on every machine.
"""

import hashlib
import itertools
from collections.abc import Iterator

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Verifier
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.tasks.examples import ENGLISH_INSTRUCTION, boxed_response, repeat_shuffled
from bakeoff.types import Problem, Split

SPLIT_SIZES = {Split.TRAIN: 20_000, Split.VALIDATION: 512, Split.TEST: 1000}

_SEED = 0
_DRAWS = 40_000  # enough for every split, with the questions that come twice
_BUCKETS = {
    Split.TRAIN: range(90),
    Split.VALIDATION: range(90, 95),
    Split.TEST: range(95, 100),
}
# At the end of every question; the instruction says it in its own way.
_REQUEST = " Give the result as your final answer. Do not include units."


class GsmSymbolicTask:
    """Word problems that are drawn, not read; each comes with a worked solution."""

    name = "gsm_symbolic"
    instruction = ENGLISH_INSTRUCTION

    def problems(self, split: Split, *, count: int | None = None) -> list[Problem]:
        size = SPLIT_SIZES.get(split, 0)
        if count is not None and count > size > 0:
            raise ConfigError(
                f"{count} problems of {self.name}/{split.value} asked for, the split has {size}; "
                f"ask for at most {size}"
            )
        return [problem for problem, _ in _draw(split, size if count is None else count)]

    def demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        pairs = _draw(Split.TRAIN, SPLIT_SIZES[Split.TRAIN])
        return repeat_shuffled(pairs, address=f"{self.name}/demonstrations/{seed}")

    def gold_demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        return self.demonstrations(seed=seed)

    def gold_response(self, problem: Problem) -> str:
        return boxed_response(problem.answer)

    def verifier(self) -> Verifier:
        return MathVerifier()

    def step_checker(self) -> None:
        return None


def _draw(split: Split, count: int) -> list[tuple[Problem, str]]:
    """The first `count` problems of a split with their solutions; a prefix of any longer list."""
    if split not in _BUCKETS:
        return []
    of_split = (pair for pair in _draw_all() if _bucket(pair[0].question) in _BUCKETS[split])
    pairs = list(itertools.islice(of_split, count))
    if len(pairs) < count:
        raise ConfigError(
            f"reasoning-gym gave {len(pairs)} problems of gsm_symbolic/{split.value}, expected "
            f"{count}; pip install 'bakeoff[symbolic]' for the version that does"
        )
    return pairs


def _draw_all() -> Iterator[tuple[Problem, str]]:
    """Distinct problems with solutions in the asked format."""
    try:
        # Here, since only this task needs the package.
        from reasoning_gym import create_dataset
    except ImportError as error:
        raise ConfigError(
            "gsm_symbolic is drawn by reasoning-gym; pip install 'bakeoff[symbolic]'"
        ) from error
    seen = set()
    for index, item in enumerate(create_dataset("gsm_symbolic", seed=_SEED, size=_DRAWS)):
        question, answer = item["question"].removesuffix(_REQUEST), item["answer"]
        # A template about ages has some that are below zero.
        if question in seen or answer.startswith("-"):
            continue
        seen.add(question)
        rationale = item["metadata"]["answer_cot"].rpartition("####")[0].strip()
        problem = Problem(id=f"gsm_symbolic/{index}", question=question, answer=answer)
        yield problem, f"{rationale}\n{boxed_response(answer)}"


def _bucket(question: str) -> int:
    digest = hashlib.blake2b(question.encode(), digest_size=8, person=b"gsm_symbolic").digest()
    return int.from_bytes(digest, "big") % 100
