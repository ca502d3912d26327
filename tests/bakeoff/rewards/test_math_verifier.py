import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Verdict, Verifier
from bakeoff.rewards import math_verifier
from bakeoff.rewards.math_process import Pair
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.tasks.corpora import CORPORA
from bakeoff.tasks.text_task import TextTask
from bakeoff.types import Problem, Split

pytest.importorskip("math_verify")


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


def test_math_verify_itself_agrees_on_formulas(data_folder: Path, verifier: MathVerifier) -> None:
    # Strings would settle gold against gold; the process must say the same.
    task = TextTask(CORPORA["math500"], data=str(data_folder))
    golds = [one.answer for one in task.problems(Split.TEST)]
    comparisons = verifier._pool.compare([Pair(gold=gold, answer=gold) for gold in golds])
    assert [comparison.correct for comparison in comparisons].count(True) == 500


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
    assert verifier._pool.pids == []
    verifier.close()


def test_an_answer_is_compared_once(
    verifier: MathVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judge(verifier, "a+b+c", "\\boxed{c+b+a}").correct is True
    monkeypatch.setattr(verifier._pool, "_hand_out", None)
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


def test_an_answer_like_a_gold_that_the_screen_would_refuse_is_compared() -> None:
    verifier = MathVerifier(seconds=30)
    gold = "\\sum_{k=1}^{3} k"
    assert judge(verifier, "6", f"\\boxed{{{gold}}}").reason.startswith("refused")
    assert judge(verifier, gold, "\\boxed{\\sum_{n=1}^{3} n}").correct is True
    assert judge(verifier, gold, "\\boxed{\\sum_{n=1}^{4} n}").correct is False
    assert judge(verifier, gold, f"\\boxed{{{'x' * 600}}}").reason.startswith("refused")
    verifier.close()


def test_pairs_of_one_call_are_compared_side_by_side_and_equal_ones_once() -> None:
    verifier = MathVerifier(seconds=30)
    verifier.resize(2)
    problems = [problem(f"x+{number % 3}") for number in range(30)]
    responses = [f"\\boxed{{{number % 3}+x}}" for number in range(30)]
    assert [one.correct for one in verifier.verify(problems, responses)] == [True] * 30
    assert len(verifier._pool.pids) == 2
    assert len(verifier._known) == 3
    verifier.close()
    assert verifier._pool.pids == []


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_verifier, "REMEMBERED_PAIRS", 5)
    verifier = MathVerifier(seconds=30)
    for number in range(12):
        assert judge(verifier, f"x+{number}", f"\\boxed{{{number}+x}}").correct is True
        assert len(verifier._known) <= 5
    verifier.close()


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


def test_fewer_than_one_worker_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 or more, got 0"):
        MathVerifier(workers=0)
