"""The built-in task: chains of integer operations, applied strictly from left to right.

A question such as ``47 +8 -5 *2`` starts at 47 and applies ``+8``, ``-5``, ``*2`` in turn. A
response writes one step a line and ends with the answer::

    47+8=55
    55-5=50
    50*2=100
    #100

Every step can be checked on its own. The train, validation and test splits are disjoint because
a question's hash decides its split. The out-of-domain split has longer chains, which the
demonstrator shows too but the training split does not contain: what reinforcement learning does to
them is transfer, as for the sets of arXiv:2402.03300v3 table 5 that its prompts leave out.
"""

import hashlib
import random
import re
from collections.abc import Iterator, Sequence

from bakeoff.types import Problem, Split

LARGEST_VALUE = 99  # of the true chain; a noisy one may leave the range
TRAIN_OPERATIONS = (3, 5)
OOD_OPERATIONS = (6, 8)
DEFAULT_STEP_ERROR_RATE = 0.15
LONG_DEMONSTRATION_SHARE = 0.25  # of demonstrations with chains as long as the OOD split's

_STEP = re.compile(r"(-?[0-9]{1,9})([+\-*])([0-9]{1,9})=(-?[0-9]{1,9})")
_QUESTION = re.compile(r"[0-9]{1,3}(?: [+\-*][0-9]{1,3})+")
_ANSWER = re.compile(r"#(0|-?[1-9][0-9]{0,8})")
_BUCKETS = {
    Split.TRAIN: range(90),
    Split.VALIDATION: range(90, 95),
    Split.TEST: range(95, 100),
    Split.OOD: range(95, 100),
}


def problems(split: Split, *, count: int, seed: int = 0) -> list[Problem]:
    """The first `count` distinct problems of a split; a prefix of any longer list."""
    random_state = random.Random(f"arithmetic/{split.value}/{seed}")
    operations = OOD_OPERATIONS if split is Split.OOD else TRAIN_OPERATIONS
    seen: dict[str, int] = {}
    while len(seen) < count:
        question, answer = _draw_question(random_state, random_state.randint(*operations))
        if _bucket(question) in _BUCKETS[split]:
            seen.setdefault(question, answer)
    return [
        Problem(id=f"arithmetic/{split.value}/{index}", question=question, answer=str(answer))
        for index, (question, answer) in enumerate(seen.items())
    ]


def demonstrate(question: str, random_state: random.Random, *, step_error_rate: float) -> str:
    """A demonstrator's response; each step's result is wrong with probability `step_error_rate`.

    A wrong value is carried on, so the final answer of a chain with a wrong step is almost always
    wrong: the start that reinforcement learning can bring forward.
    """
    value, operations = parse_question(question)
    lines = []
    for operator, operand in operations:
        result = apply(value, operator, operand)
        if random_state.random() < step_error_rate:
            result += random_state.choice((-10, -2, -1, 1, 2, 10))
        lines.append(f"{value}{operator}{operand}={result}")
        value = result
    return "\n".join([*lines, f"#{value}"])


def demonstrations(
    pool: Sequence[Problem], *, seed: int, step_error_rate: float = DEFAULT_STEP_ERROR_RATE
) -> Iterator[tuple[Problem, str]]:
    """Endless noisy demonstrations: of `pool`, with replacement, and of fresh longer chains.

    The longer chains' questions share no hash bucket with the test and out-of-domain splits.
    """
    random_state = random.Random(f"arithmetic/demonstrations/{seed}")
    while True:
        problem = random_state.choice(pool)
        if random_state.random() < LONG_DEMONSTRATION_SHARE:
            problem = _draw_long_problem(random_state)
        yield problem, demonstrate(problem.question, random_state, step_error_rate=step_error_rate)


def parse_question(question: str) -> tuple[int, list[tuple[str, int]]]:
    """The start value and the operations of a question; ValueError when it is not one."""
    if not _QUESTION.fullmatch(question):
        raise ValueError(f"not an arithmetic question: {question!r}")
    start, *operations = question.split(" ")
    return int(start), [(text[0], int(text[1:])) for text in operations]


def solve(question: str) -> int:
    """The exact answer of a question."""
    value, operations = parse_question(question)
    for operator, operand in operations:
        value = apply(value, operator, operand)
    return value


def apply(value: int, operator: str, operand: int) -> int:
    match operator:
        case "+":
            return value + operand
        case "-":
            return value - operand
        case _:
            return value * operand


def extract_answer(text: str) -> str | None:
    """The integer after ``#`` on the last line, or None when the response does not end with one.

    Written as a problem's answer is: no leading zero, no plus, nothing around it.
    """
    match = _ANSWER.fullmatch(text.rsplit("\n", 1)[-1])
    return match[1] if match else None


def check_steps(question: str, steps: Sequence[str]) -> list[bool]:
    """Each line judged: the right operation, on the value before, done right; or the answer.

    A step is judged against the value the response itself carried, so one wrong result makes one
    wrong step, not every later one too. The answer line is a step as well: right if it states the
    value carried, after all operations and none too many.
    """
    value, operations = parse_question(question)
    judged = []
    for index, line in enumerate(steps):
        if line.startswith("#"):
            judged.append(index == len(operations) and line == f"#{value}")
            continue
        match = _STEP.fullmatch(line)
        expected = operations[index] if index < len(operations) else None
        judged.append(
            match is not None
            and (match[2], int(match[3])) == expected
            and int(match[1]) == value
            and int(match[4]) == apply(value, match[2], int(match[3]))
        )
        if match is not None:
            value = int(match[4])
    return judged


def _draw_question(random_state: random.Random, operations: int) -> tuple[str, int]:
    start = value = random_state.randint(1, LARGEST_VALUE)
    parts = [str(start)]
    for _ in range(operations):
        operator, operand = _draw_operation(random_state, value)
        value = apply(value, operator, operand)
        parts.append(f"{operator}{operand}")
    return " ".join(parts), value


def _draw_operation(random_state: random.Random, value: int) -> tuple[str, int]:
    choices = []
    if value < LARGEST_VALUE:
        choices.append("+")
    if value > 1:
        choices.append("-")
    if 1 < value <= LARGEST_VALUE // 2:
        choices.append("*")
    match random_state.choice(choices):
        case "+":
            return "+", random_state.randint(1, LARGEST_VALUE - value)
        case "-":
            return "-", random_state.randint(1, value - 1)
        case operator:
            return operator, random_state.randint(2, min(9, LARGEST_VALUE // value))


def _draw_long_problem(random_state: random.Random) -> Problem:
    while True:
        question, answer = _draw_question(random_state, random_state.randint(*OOD_OPERATIONS))
        if _bucket(question) in _BUCKETS[Split.TRAIN]:
            return Problem(id=f"arithmetic/long/{question}", question=question, answer=str(answer))


def _bucket(question: str) -> int:
    digest = hashlib.blake2b(question.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % 100
