import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Verdict, Verifier
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.tasks.corpora import CORPORA
from bakeoff.tasks.text_task import TextTask
from bakeoff.types import Problem, Split

pytest.importorskip("math_verify")

SIZES = {"gsm8k": 1319, "math500": 500, "svamp": 1000, "cmath": 1098, "mgsm_zh": 250}


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    verifier = MathVerifier(seconds=30)
    yield verifier
    verifier.close()


def problem(answer: str) -> Problem:
    return Problem(id="test/0", question="?", answer=answer)


def judge(verifier: Verifier, gold: str, response: str) -> Verdict:
    (verdict,) = verifier.verify([problem(gold)], [response])
    return verdict


@pytest.mark.parametrize("name", CORPORA)
def test_gold_against_gold_is_always_correct(
    name: str, data_folder: Path, verifier: MathVerifier
) -> None:
    task = TextTask(CORPORA[name], data=str(data_folder))
    problems = task.problems(Split.TEST)
    verdicts = verifier.verify(problems, [task.gold_response(one) for one in problems])
    assert len(verdicts) == SIZES[name]
    assert all(verdict.correct is True for verdict in verdicts)
    assert all(verdict.extracted is not None for verdict in verdicts)
    plain = verifier.verify(problems, [f"The answer is {one.answer}" for one in problems])
    assert all(verdict.extracted is None for verdict in plain)
    # Lenient extraction cannot tell where every formula ends.
    assert sum(verdict.correct is True for verdict in plain) / len(plain) > 0.95


@pytest.mark.parametrize("name", CORPORA)
def test_the_answer_of_another_problem_is_wrong(
    name: str, data_folder: Path, verifier: MathVerifier
) -> None:
    task = TextTask(CORPORA[name], data=str(data_folder))
    problems = task.problems(Split.TEST, count=200)
    others = [*problems[7:], *problems[:7]]
    pairs = [(p, o) for p, o in zip(problems, others, strict=True) if p.answer != o.answer]
    verdicts = verifier.verify([p for p, _ in pairs], [task.gold_response(o) for _, o in pairs])
    assert [verdict.correct for verdict in verdicts].count(False) == len(pairs)


def test_math_verify_itself_agrees_on_formulas(data_folder: Path, verifier: MathVerifier) -> None:
    # Strings would settle gold against gold; the process must say the same.
    task = TextTask(CORPORA["math500"], data=str(data_folder))
    for one in task.problems(Split.TEST, count=150):
        assert verifier._process.compare(one.answer, one.answer).correct is True


@pytest.mark.parametrize(
    ("gold", "response", "correct", "extracted"),
    [
        ("72", "so it is \\boxed{72}", True, "72"),
        ("72", "#### 72", True, "72"),
        ("72", "The answer is 72.", True, None),
        ("72", "that makes 72 clips", True, None),
        ("72", "\\boxed{71}", False, "71"),
        ("72", "It is 72, \\boxed{71}", False, "71"),
        ("72", "I do not know", False, None),
        ("72", "", False, None),
        ("72", "\\boxed{\\text{unknown}}", False, "\\text{unknown}"),
        ("\\frac{\\sqrt{2}}{2}", "\\boxed{\\frac{1}{\\sqrt{2}}}", True, "\\frac{1}{\\sqrt{2}}"),
        ("x^2+2x+1", "The answer is $(x+1)^2$.", True, None),
        ("(3,4]", "\\boxed{[3,4]}", False, "[3,4]"),
    ],
)
def test_correctness_is_lenient_and_the_extracted_answer_strict(
    verifier: MathVerifier, gold: str, response: str, correct: bool, extracted: str | None
) -> None:
    verdict = judge(verifier, gold, response)
    assert (verdict.correct, verdict.extracted) == (correct, extracted)
    assert bool(verdict.reason) is not correct


@pytest.mark.parametrize(
    "answer",
    [
        "5^(5^(5^(5^5)))",
        "5^{5^{5^{5^{5}}}}",
        "1" * 1_000_000,
        "x" * 1_000_000,
        "x+" * 500_000,
        "\x00",
        "\x00" * 1000,
        "{" * 100,
        "}" * 100,
        "(" * 400,
        "\\frac{" * 200,
        "\\sqrt{" * 60 + "2" + "}" * 60,
        "\ud800",
        "\\",
        "$",
        "9999999!",
        "\\frac{1}{0}",
        "\\text{x",
        "\n".join("a" * 50),
    ],
)
def test_hostile_answers_are_wrong_at_once(verifier: MathVerifier, answer: str) -> None:
    judge(verifier, "x^2+1", "\\boxed{x}")  # the process is up
    start = time.monotonic()
    for response in (f"\\boxed{{{answer}}}", f"The answer is {answer}", answer):
        assert judge(verifier, "x^2+1", response).correct is False
        assert judge(verifier, "7", response).correct is False
    assert time.monotonic() - start < 20


def test_a_hang_is_no_verdict_and_later_answers_are_judged() -> None:
    verifier = MathVerifier(seconds=1)
    slow = "(((((((9^9)^9)^9)^9)^9)^9)^9)^9"
    try:
        verdicts = verifier.verify(
            [problem("x^2+1")] * 3,
            ["\\boxed{1+x^2}", f"\\boxed{{{slow}}}", "\\boxed{(x+1)^2-2x}"],
        )
        assert [verdict.correct for verdict in verdicts] == [True, None, True]
        assert verdicts[1].extracted == slow
        assert "took over" in verdicts[1].reason
    finally:
        verifier.close()


def test_plain_numbers_need_no_process() -> None:
    verifier = MathVerifier()
    assert judge(verifier, "1080", "\\boxed{\\$1,080.00}").correct is True
    assert judge(verifier, "1080", "\\boxed{1081}").correct is False
    assert verifier._process.pid is None
    verifier.close()


def test_an_answer_is_compared_once(
    verifier: MathVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judge(verifier, "a+b+c", "\\boxed{c+b+a}").correct is True
    monkeypatch.setattr(verifier._process, "compare", None)
    assert judge(verifier, "a+b+c", "The answer is $c+b+a$").correct is True


def test_it_works_off_the_main_thread(verifier: MathVerifier) -> None:
    verdicts: list[Verdict] = []
    threads = [
        threading.Thread(
            target=lambda n=n: verdicts.append(judge(verifier, f"x+{n}", f"\\boxed{{{n}+x}}"))
        )
        for n in range(2, 6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [verdict.correct for verdict in verdicts] == [True] * 4


def test_a_closed_verifier_says_so() -> None:
    verifier = MathVerifier()
    verifier.close()
    verifier.close()
    with pytest.raises(RuntimeError, match="closed"):
        verifier.verify([], [])


def test_problems_and_responses_must_be_as_many(verifier: MathVerifier) -> None:
    with pytest.raises(ValueError, match="zip"):
        verifier.verify([problem("1")], [])


def test_without_math_verify_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install"):
        MathVerifier()


def test_a_limit_of_no_time_is_refused() -> None:
    with pytest.raises(ConfigError, match="above 0"):
        MathVerifier(seconds=0)
