import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.rewards.screen import refusal


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("5^(5^(5^(5^5)))", "tower"),
        ("5^{5^{5^{5^5}}}", "tower"),
        ("5^5^5^5", "tower"),
        ("5**5**5**5", "tower"),
        ("x^{x^{x^x}}", "tower"),
        ("2^{\\left(2^{\\left(2^2\\right)}\\right)}", "tower"),
        ("9^{9^9}", "exponent"),
        ("9^9^9", "exponent"),
        ("10^{10^{10}}", "exponent"),
        ("2^{100000}", "exponent"),
        ("2^{-100000}", "exponent"),
        ("x^2 + y^{99999999}", "exponent"),
        ("\\sum_{n=1}^{1000000000} n", "exponent"),
        ("9999999!", "factorial"),
        ("(9!)!", "factorial"),
        ("9!!", "factorial"),
        ("\\binom{10000000}{5000000}", "binomial"),
        ("1" * 61, "digits"),
        ("1,111" * 20, "digits"),
        ("x" * 501, "characters"),
        ("(" * 40, "nested"),
        ("\\frac{" * 40, "nested"),
        ("x^2+" * 40, "powers"),
    ],
)
def test_what_costs_without_bound_is_refused(answer: str, reason: str) -> None:
    refused = refusal(answer)
    assert refused is not None
    assert reason in refused


@pytest.mark.parametrize(
    "answer",
    ["", "5", "2^{10}", "e^{x^2}", "x^{2^n}", "2^{2^{10}}", "2^2^3", "(x^3)^{10}", "10!", "1000!",
     "x^{2^n} + y^{2^n} + z^{2^m}", "2^{1000}", "10^{-9}", "\\sqrt{3}", "3^{2^x} + 4^{5^2}",
     "\\binom{100}{50}", "1" * 60, "}" * 50, "^", "^^", "a^", "!"],
)  # fmt: skip
def test_sane_answers_pass(answer: str) -> None:
    assert refusal(answer) is None


def test_no_published_answer_is_refused(data_folder: Path) -> None:
    lines = (data_folder / "math500" / "test.jsonl").read_text().splitlines()
    answers = [json.loads(line)["answer"] for line in lines]
    assert [answer for answer in answers if refusal(answer)] == []


@given(st.text(alphabet="0123456789^*!(){}[]\\+-x ", max_size=200))
def test_any_text_can_be_screened(answer: str) -> None:
    assert refusal(answer) is None or refusal(answer)
