import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.rewards.answers import canonical, parse_number, same_answer


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("18", "18"),
        ("18", "18.0"),
        ("18", "18."),
        ("18", "$18"),
        ("18", "\\$18.00"),
        ("18", "$18$"),
        ("18", "+18"),
        ("18", "\\text{18}"),
        ("18", "18 dollars per day"),
        ("18", "18个"),
        ("18", "18 cm^2"),
        ("18", "18\\text{ cm}^2"),
        ("18", "18^\\circ"),
        ("-3", "−3"),
        ("1080", "1,080"),
        ("1080", "1{,}080"),
        ("1080", "1\\,080"),
        ("0", "-0"),
        ("0.5", ".5"),
        ("1/2", "0.5"),
        ("1/2", "\\frac12"),
        ("1/2", "\\dfrac{1}{2}"),
        ("-1/2", "-\\frac{1}{2}"),
        ("-1/2", "\\frac{-1}{2}"),
        ("4/10", "2/5"),
        ("1/3", "0.333333"),
        ("40%", "40"),
        ("40%", "0.4"),
        ("40%", "40\\%"),
        ("0.4", "40%"),
        ("20", "20 percent"),
        ("\\frac{270}7\\text{ degrees}", "270/7"),
        ("864 \\mbox{ inches}^2", "864"),
        ("52_8", "52_{8}"),
        ("52_8", "52"),
        ("\\text{(C)}", "C"),
        ("\\text{Evelyn}", "evelyn"),
        ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\frac{\\pi}2)"),
        ("x^2 + 1", "x^2+1"),
    ],
)
def test_other_spellings_of_an_answer_are_equal(gold: str, answer: str) -> None:
    assert same_answer(gold, answer) is True


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("18", "19"),
        ("18", "-18"),
        ("18", "1.8"),
        ("18", "180"),
        ("1/3", "0.333"),
        ("1/3", "0.33333"),
        (".0000672", "0.000067"),
        ("40%", "4"),
        ("40%", "41%"),
        ("27.3%", "27%"),
        ("52_8", "52_7"),
        ("52_8", "42"),
        ("1000000", "999999.99"),
    ],
)
def test_other_numbers_are_not_equal(gold: str, answer: str) -> None:
    assert same_answer(gold, answer) is False


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("5", "5xy"),
        ("5xy", "5"),
        ("5", "5i"),
        ("5", "5\\mathrm{i}"),
        ("5", "5 million"),
        ("5", "5 \\text{ thousand}"),
        ("5", "5 and a half"),
        ("5", "5 or 6"),
        ("5", "5 pi"),
        ("5", "5!"),
        ("5", "5^2"),
        ("5", "5²"),
        ("18", "18万"),
        ("11/2", "1 1/2"),
        ("12", "1, 2"),
        ("5", "5e3"),
        ("1", "1/0"),
        ("\\sqrt{2}/2", "1/\\sqrt{2}"),
    ],
)
def test_what_is_more_than_a_number_is_left_to_algebra(gold: str, answer: str) -> None:
    assert same_answer(gold, answer) is None


@pytest.mark.parametrize("text", ["", "$", "%", ".", "-", "x", "1/0", "«", "9" * 41, "\x00"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert parse_number(text) is None


@given(st.integers(-(10**15), 10**15))
def test_an_integer_is_itself_with_or_without_separators(value: int) -> None:
    assert same_answer(str(value), f"{value:,}") is True
    assert same_answer(str(value), f"{value:,}.00") is True
    assert same_answer(str(value), str(value + 1)) is False


@given(st.decimals(-(10**9), 10**9, places=4))
def test_a_decimal_equals_its_fraction(value: object) -> None:
    scaled = str(value).replace(".", "").lstrip("-").lstrip("0") or "0"
    sign = "-" if str(value).startswith("-") else ""
    assert same_answer(str(value), f"{sign}\\frac{{{scaled}}}{{10000}}") is True


@given(st.text(max_size=60))
def test_any_text_equals_itself(text: str) -> None:
    assert same_answer(text, text) is True
    assert canonical(canonical(text)) is not None


@given(st.text(alphabet="0123456789.,$%/\\{}frac -^xy«»个", max_size=40), st.text(max_size=40))
def test_any_two_texts_can_be_compared(gold: str, answer: str) -> None:
    assert same_answer(gold, answer) in (True, False, None)
