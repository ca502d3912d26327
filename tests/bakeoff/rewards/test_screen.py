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
        ("\\sum_{n=1}^{1000000000} n", "unevaluated"),
        ("\\prod_{n=1}^{1/8} n", "unevaluated"),
        ("\\int_0^1 x dx", "unevaluated"),
        ("\\iiint f", "unevaluated"),
        ("\\lim_{x\\to 0} x", "unevaluated"),
        ("∑n", "unevaluated"),
        ("9999999!", "factorial"),
        ("(9!)!", "factorial"),
        ("9!!", "factorial"),
        ("9999^{999!}", "power of a factorial"),
        ("9^9!", "power of a factorial"),
        ("\\binom{10000000}{5000000}", "binomial"),
        ("\\binom{\\sqrt{9}}{9999^{9}}", "binomial"),
        ("\\sin" * 6 + " x", "commands in a row"),
        ("\\log_2" * 6 + " x", "commands in a row"),
        ("_".join("a" * 12), "subscripts"),
        ("|" * 11 + "x", "bars"),
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
     "\\binom{100}{50}", "\\binom{n}{k}", "5!^2", "x^{2\\!}", "10^{10},\\!000", "a_1+a_2+a_3",
     "\\sin^2 x\\cos x", "\\left\\lfloor\\frac{1}{2}\\right\\rfloor", "\\limits", "|x|+|y|",
     "1" * 60, "}" * 50, "^", "^^", "a^", "!"],
)  # fmt: skip
def test_sane_answers_pass(answer: str) -> None:
    assert refusal(answer) is None


def test_no_published_answer_is_refused(data_folder: Path) -> None:
    lines = (data_folder / "math500" / "test.jsonl").read_text("utf-8").splitlines()
    train = json.loads((data_folder / "math_train_answers.json").read_text("utf-8"))
    answers = [json.loads(line)["answer"] for line in lines]
    answers += [fields["final_answer"] for fields in train]
    assert len(answers) == 8000
    assert [answer for answer in answers if refusal(answer)] == []


@given(st.text(alphabet="0123456789^*!(){}[]\\+-x ", max_size=200))
def test_any_text_can_be_screened(answer: str) -> None:
    assert refusal(answer) is None or refusal(answer)
