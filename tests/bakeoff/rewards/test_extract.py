import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.rewards.extract import FoundBy, extract


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("so \\boxed{5}", "5"),
        ("\\boxed{3}, no, \\boxed{4}.", "4"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{\\left\\{ x \\right.}", "\\left\\{ x \\right."),
        ("\\boxed{\\boxed{7}}", "7"),
        ("\\boxed { 8 }", "8"),
        ("\\fbox{9} and \\fboxed{9}", "9"),
        ("$\\boxed{10}$ and then 11", "10"),
        ("the answer is 3, \\boxed{4}", "4"),
    ],
)
def test_the_last_box_is_the_answer(response: str, answer: str) -> None:
    extraction = extract(response)
    assert (extraction.answer, extraction.found_by) == (answer, FoundBy.BOXED)
    assert extraction.strict_answer == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [("a\n#### 72", "72"), ("#### 1\n#### $1,080", "$1,080"), ("#### -3.5 \nbye", "-3.5")],
)
def test_gsm8k_s_hashes_are_an_answer(response: str, answer: str) -> None:
    extraction = extract(response)
    assert (extraction.answer, extraction.found_by) == (answer, FoundBy.HASHES)
    assert extraction.strict_answer == answer


def test_a_heading_of_markdown_is_no_answer() -> None:
    extraction = extract("#### Step 1: add\n2 + 2 = 4\n#### Conclusion\nThe answer is 4.")
    assert (extraction.answer, extraction.found_by) == ("4", FoundBy.PHRASE)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is 42 apples.", "42"),
        ("The answer is 4. No: the answer is 5.", "5"),
        ("The final answer is $\\frac{1}{2}$.", "\\frac{1}{2}"),
        ("The final answer is \\(2x+1\\).", "2x+1"),
        ("The answer is $18 per day.", "$18"),
        ("The answer is $18$ dollars.", "$18"),
        ("The answer is $\\$1,234.50$.", "\\$1,234.50"),
        ("The answer is $x\\$$.", "x\\$"),
        ("The answer is 7.5\\text{ degrees}.", "7.5\\text{ degrees}"),
        ("The answer is 7.5^\\circ.", "7.5^\\circ"),
        ("The answer is $7.5^\\circ$.", "7.5^\\circ"),
        ("The answer is $5:6$.", "5:6"),
        ("The answer is 5 : 6.", "5 : 6"),
        ("The answer is 5: five.", "5"),
        ("Answer: **7**", "7"),
        ("Answer:\n7", "7"),
        ("The answer to the question of cost is 3.5.", "3.5"),
        ("The answer is 2x+3.", "2x+3"),
        ("The answer is (3,4).", "(3,4)"),
        ("The answers are 1, 2.", "1, 2"),
        ("The answer is 5 or 6.", "5 or 6"),
        ("The answer is 10 million.", "10 million"),
        ("The answer is Evelyn.", "Evelyn"),
        ("The answer is \\boxed{7", "7"),
        ("答案是18个。", "18"),
        ("所以答案为：\n12", "12"),
        ("答案：3/5", "3/5"),
    ],
)
def test_without_the_format_what_the_answer_is_said_to_be_counts(
    response: str, answer: str
) -> None:
    extraction = extract(response)
    assert (extraction.answer, extraction.found_by) == (answer, FoundBy.PHRASE)
    assert extraction.strict_answer is None


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("First 3, then 4.", "4"),
        ("10-5", "5"),
        ("(2)-5", "5"),
        ("it is -5", "-5"),
        ("x = 3/4", "3/4"),
        ("he pays $1,234.50 now", "$1,234.50"),
        ("about 50%", "50%"),
        ("最后一共有18个苹果", "18"),
        # A broken last box is not replaced by an earlier, perhaps intermediate one.
        ("\\boxed{3} then \\boxed{4", "4"),
    ],
)
def test_else_the_last_number_counts(response: str, answer: str) -> None:
    extraction = extract(response)
    assert (extraction.answer, extraction.found_by) == (answer, FoundBy.LAST_NUMBER)
    assert extraction.strict_answer is None


@pytest.mark.parametrize("response", ["", "no idea", "\\boxed{}", "\\boxed{ }", "#### ", "\x00"])
def test_a_response_can_hold_no_answer(response: str) -> None:
    extraction = extract(response)
    assert (extraction.answer, extraction.found_by) == (None, FoundBy.NOTHING)


@given(st.text(alphabet="0123456789abc+-/^\\ {}", max_size=40).filter(lambda s: s.strip()))
def test_whatever_is_balanced_is_boxed_whole(content: str) -> None:
    content = content.replace("\\", "").replace("{", "").replace("}", "").strip()
    boxed = extract(f"so $\\boxed{{{{{content}}} x}}$ holds")
    assert boxed.answer == f"{{{content}}} x"


@given(st.text(max_size=200))
def test_any_text_can_be_read(response: str) -> None:
    extraction = extract(response)
    assert (extraction.answer is None) == (extraction.found_by is FoundBy.NOTHING)


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "x",
        "\\boxed{",
        "\\boxed{1}",
        "#### ",
        "#### 1\n",
        "1,",
        "$",
        "answer ",
        "answer is ",
        "(",
    ],
)
def test_a_megabyte_is_read_in_a_moment(unit: str) -> None:
    start = time.perf_counter()
    extract(unit * (1_000_000 // len(unit)))
    # Linear work takes well under a second; the bound leaves room for a loaded machine.
    assert time.perf_counter() - start < 10
