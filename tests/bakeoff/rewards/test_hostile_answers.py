"""Hostile answers through the whole verifier: extraction, screen, pool and math-verify together.

A policy that is rewarded by the verifier will find what crashes it.
"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bakeoff.config import TaskConfig
from bakeoff.interfaces import Verdict
from bakeoff.rewards.math_process import Pair
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.types import Problem

pytest.importorskip("math_verify")

pytestmark = pytest.mark.slow

SEEDED, BATCH = 18_000, 1000
EXAMPLES, TEXTS = 40, 50  # of hypothesis: 2000 texts
SECONDS = 1.0
WORKERS = 2

# Few, for a child remembers how it read the last ones.
GOLDS = (
    "12",
    "\\frac{3}{4}",
    "\\frac{\\sqrt{2}}{2}",
    "2\\pi",
    "x^2+2x+1",
    "(3,4]",
    "1,-2",
    "6-5i",
    "x=5",
    "\\text{Evelyn}",
)
FORMS = ("\\boxed{%s}", "The answer is %s", "%s")

TOKENS = (
    *"0123456789abcxyznkei+-*/^_=<>!,.;:|'\"%$&#~@()[]{}\\ \n\t",
    *("**", "!!", "^^", "\\\\", "\\frac", "\\dfrac", "\\sqrt", "\\sqrt[3]", "\\binom", "\\int"),
    *("\\int_0^1", "\\sum_{n=1}^{\\infty}", "\\prod_{k=1}^{99}", "\\lim_{x\\to 0}", "\\log_2"),
    *("\\ln", "\\sin", "\\arcsin", "\\cos^{-1}", "\\pi", "\\infty", "\\cup", "\\in", "\\emptyset"),
    *("\\le", "\\neq", "\\pm", "\\cdot", "\\div", "\\pmod", "\\gcd", "\\lfloor", "\\rceil"),
    *("\\left(", "\\right)", "\\left\\{", "\\right]", "\\{", "\\}", "\\left|", "\\boxed{"),
    *("\\begin{pmatrix}", "\\end{pmatrix}", "\\begin{cases}", "&", "\\text{", "\\overline{"),
    *("\\prime", "\\circ", "\\ldots", "\\mathbb{R}", "\\det", "\\nabla", "\\frac{d}{dx}", "dx"),
    *("e^{i\\pi}", "10^9", "9!", "1e999", "999999999", "1/0", "0^0", "²", "½", "√", "∞", "≤", "−"),
    *("\x00", "\x7f", "\r", "\u202e", "\u200f", "\u200b", "\ufeff", "\ud800", "\udfff", "\u0301"),
    *("٣", "三", "万", "，", "😀"),
)
NUMBERS = (
    *("2", "3", "7", "9", "99", "9999", "12345", "123456789", "10^9", "10^{100}", "2^{64}"),
    *("0", "-1", "1.5", "0.333", "1/3", "x", "n", "i", "e", "\\pi", "\\infty", "10!", "999!"),
)
WRAPS = (
    *("\\frac{%s}{%s}", "\\sqrt{%s}", "(%s)^{%s}", "%s^{%s}", "\\left(%s\\right)", "[%s,%s)"),
    *("\\{%s,%s\\}", "(%s)!", "\\binom{%s}{%s}", "\\int_{%s}^{%s} x dx", "\\int %s dx"),
    *("\\sum_{n=1}^{%s} %s", "\\prod_{n=1}^{%s} n", "\\log_{%s}{%s}", "\\lim_{x\\to %s} %s"),
    *("|%s|", "%s=%s", "%s\\le x\\le %s", "%s\\cup %s", "\\text{%s}", "%s,%s", "%s+%s", "-%s"),
    *("\\begin{pmatrix}%s\\\\%s\\end{pmatrix}", "%s\\cdot %s", "\\sin(%s)", "\\frac{d}{dx}(%s)"),
    *("%s\\pmod{%s}", "x_{%s}", "\\boxed{%s}", "%s \\text{ or } %s", "\\sqrt[%s]{%s}", "%s:%s"),
    *("\\gcd(%s,%s)", "%s^{-%s}", "e^{%s}", "%s!", "\\lfloor %s\\rfloor"),
)
EXPONENTS = (
    *("^%s", "**%s", "^{%s}", "^(%s)", "**(%s)", "^ {%s}", "^\\left(%s\\right)", "^{+%s}"),
    *("^{{%s}}", "^{1*%s}", "^\\frac{%s}{1}", "^{%s!}", "^{x%s}", "^\\sqrt{%s}", "^|%s|"),
)
UNITS = (
    *("{", "}", "(", ")", "[", "\\frac{", "\\sqrt{", "-", "!", "9", "1,", "x", "^", "^2", "^{2"),
    *("\\\\", "$", "\\boxed{", "\\left(", "|", "x^2+", "1=", "x=1,", "\x00", "\u202e", "'"),
    *("\\sin", "\\text{", "1/", "\\frac12", "a_", "{}", "1<", "9*", "9^9*", "x\\pm", "\\int "),
    *("\\cup(1,2)", "(1,2),", "\\begin{pmatrix}", "\\log_2", "\\log_{", "\\binom{9}{", "\\{"),
)
MEGABYTES = (
    *("9", "x", "x+", "1,", "\\frac{1}{", "#### ", "#### x\n", "$", "$x", "(1", "answer is "),
    *("the answer is $", "\\boxed{", "\\boxed{1}", "\\", "{", "\x00", "\ud83d", "答案是", " "),
    *("\n", "-", "٣", "1e", "$1.1,"),
)


def wrapped(dice: random.Random, one: str, other: str) -> str:
    wrap = dice.choice(WRAPS)
    return wrap % ((one, other)[: wrap.count("%s")])


def expression(dice: random.Random, depth: int) -> str:
    if not depth or dice.random() < 0.15:
        return dice.choice(NUMBERS)
    return wrapped(dice, expression(dice, depth - 1), expression(dice, depth - 1))


def tower(dice: random.Random) -> str:
    exponent = dice.choice(EXPONENTS)
    text = dice.choice(NUMBERS)
    for _ in range(dice.randrange(1, 6)):
        text = dice.choice(NUMBERS) + exponent % text
    return text


def repeated(dice: random.Random) -> str:
    times = dice.choice((2, 5, 10, 20, 30, 60, 120, 240, 1000))
    return dice.choice(UNITS) * times + dice.choice(("", "1", "x", "}" * times, ")" * times))


def mutated(dice: random.Random, text: str, answers: list[str]) -> str:
    for _ in range(dice.choice((1, 1, 2, 3, 5, 10))):
        start = dice.randrange(len(text) + 1)
        end = min(len(text), start + dice.randrange(1, 12))
        other = dice.choice(answers)
        match dice.randrange(6):
            case 0 | 1:
                text = text[:start] + dice.choice(TOKENS) + text[start:]
            case 2:
                text = text[:start] + text[end:]
            case 3:
                text = text[:end] + text[start:end] * dice.choice((1, 2, 5, 40)) + text[end:]
            case 4:
                text = text[:start] + other[dice.randrange(len(other) + 1) :] + text[start:]
            case _:
                text = wrapped(dice, text, other)
    return text


def hostile(dice: random.Random, answers: list[str]) -> str:
    kind = dice.random()
    if kind < 0.45:
        return mutated(dice, dice.choice(answers), answers)
    if kind < 0.60:
        return expression(dice, dice.choice((1, 2, 2, 3, 3, 4, 5)))
    if kind < 0.70:
        return "".join(dice.choices(TOKENS, k=dice.choice((2, 5, 10, 20, 40, 80))))
    if kind < 0.85:
        return tower(dice)
    if kind < 0.995:
        return repeated(dice)
    unit = dice.choice(MEGABYTES)
    return unit * (1_000_000 // len(unit))


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    verifier = MathVerifier(seconds=SECONDS, workers=WORKERS)
    yield verifier
    verifier.close()


@pytest.fixture(scope="module")
def answers(data_folder: Path) -> list[str]:
    rows = json.loads((data_folder / "math_train_answers.json").read_text("utf-8"))
    return [fields["final_answer"] for fields in rows]


def problem(answer: str) -> Problem:
    return Problem(id="test/0", question="?", answer=answer)


def assert_judged(verdicts: list[Verdict], *, count: int) -> None:
    """One verdict each, and so few time-outs that no run would be stopped for them."""
    assert len(verdicts) == count
    errors = [verdict.reason for verdict in verdicts if verdict.correct is None]
    assert len(errors) <= TaskConfig().verifier_error_ceiling * count / 2, errors


def assert_unharmed(verifier: MathVerifier) -> None:
    """Every child is there, or comes back, and still knows its algebra."""
    # Of the pool itself: the verifier would remember what it was asked before.
    pairs = [
        Pair(gold=f"y+{number}", answer=f"{number}{'+' if number % 2 else '-'}y")
        for number in range(10, 50)
    ]
    comparisons = verifier._pool.compare(pairs)
    assert [one.correct for one in comparisons] == [False, True] * 20
    pids = verifier._pool.pids
    assert len(pids) == WORKERS
    for pid in pids:
        os.kill(pid, 0)  # raises where there is no such process


@pytest.mark.long
def test_hostile_answers_neither_crash_nor_hang_nor_cost_a_worker(
    verifier: MathVerifier, answers: list[str]
) -> None:
    dice = random.Random(0)
    verdicts: list[Verdict] = []
    for _ in range(SEEDED // BATCH):
        responses = [dice.choice(FORMS) % hostile(dice, answers) for _ in range(BATCH)]
        problems = [problem(dice.choice(GOLDS)) for _ in responses]
        verdicts += verifier.verify(problems, responses)
    assert_judged(verdicts, count=SEEDED)
    # It reaches every outcome but too many errors.
    assert {verdict.correct for verdict in verdicts} >= {True, False}
    assert sum(verdict.reason.startswith("refused") for verdict in verdicts) > SEEDED / 20
    assert sum(verdict.reason.startswith("is not") for verdict in verdicts) > SEEDED / 3
    assert_unharmed(verifier)


@settings(
    max_examples=EXAMPLES,
    # Shrinking would ask the verifier for minutes; the seed says enough.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=(
        HealthCheck.data_too_large,
        HealthCheck.too_slow,
        HealthCheck.large_base_example,
    ),
)
@given(
    st.lists(
        st.text(st.characters(), max_size=30)
        | st.lists(st.sampled_from(TOKENS), max_size=12).map("".join)
        | st.recursive(
            st.sampled_from(NUMBERS),
            lambda inner: st.tuples(st.sampled_from(WRAPS), inner, inner).map(
                lambda parts: parts[0] % parts[1 : 1 + parts[0].count("%s")]
            ),
            max_leaves=6,
        ),
        min_size=TEXTS,
        max_size=TEXTS,
    ),
    st.sampled_from(GOLDS),
    st.sampled_from(FORMS),
)
def test_any_texts_get_a_verdict_each(
    verifier: MathVerifier, texts: list[str], gold: str, form: str
) -> None:
    verdicts = verifier.verify([problem(gold)] * TEXTS, [form % text for text in texts])
    assert len(verdicts) == TEXTS
    assert sum(verdict.correct is None for verdict in verdicts) <= 5
    assert_unharmed(verifier)


def test_hostile_gold_answers_cost_no_worker_either(
    verifier: MathVerifier, answers: list[str]
) -> None:
    dice = random.Random(1)
    golds = [hostile(dice, answers) for _ in range(100)]
    verdicts = verifier.verify([problem(gold) for gold in golds], ["\\boxed{x+1}"] * len(golds))
    assert len(verdicts) == len(golds)
    assert_unharmed(verifier)
