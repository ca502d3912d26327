import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.rollouts.equations import equation_list
from bakeoff.tasks import arithmetic
from bakeoff.types import Split


@pytest.mark.parametrize(
    ("text", "equations"),
    [
        ("", ()),
        ("He has 5 cats, and x = 5.", ()),
        ("47+8=55\n55-5=50\n50*2=100\n#100", ("47+8=55", "55-5=50", "50*2=100")),
        ("So 1,000 + 2,000 = 3,000 dollars.", ("1000+2000=3000",)),
        ("Two cost $3.50 × 2 = $7.00.", ("3.50×2=7.00",)),
        ("Three cost $5 x 3 = $15", ("5x3=15",)),
        ("2 * (3 + 4) = 14, 14 ÷ 2=7", ("2*(3+4)=14", "14÷2=7")),
        ("( 3 + 4 ) * 2 = 14", ("(3+4)*2=14",)),
        ("3 - 5 = -2 and 3 - -2 = 5", ("3-5=-2", "3--2=5")),
        ("3 * 4 = 12 + 5 = 17", ("3*4=12", "12+5=17")),
        ("3 + 4 = 7, 7 * 2 = 14", ("3+4=7", "7*2=14")),
        ("50% * 40 = 20", ("50%*40=20",)),
        ("half of 40 = 20", ("40=20",)),
        ("2+3\n=5", ()),
        ("共有3+4=7只", ("3+4=7",)),
    ],
)
def test_equations_are_read_from_text(text: str, equations: tuple[str, ...]) -> None:
    assert equation_list(text) == equations


@pytest.mark.parametrize(
    "text",
    [
        "3 + 4 = 7",
        "3+4=7.",
        "In 2020, 3 + 4 = 7!",
        "1. 3 + 4 = 7",
        "- 3 + 4 = 7",
        "The cats - 3 + 4 = 7 - sleep.",
        "x=3, 3+4 = 7",
        "5\n3+4=7",
        "He slept. 3+4=7, then woke",
        "$3 + $4 = $7",
        "<<3+4=7>>",
        "3 plus 4 is <<3+4=7>>7, so 9 - 2 = 7",
    ],
)
def test_what_stands_around_an_equation_does_not_change_it(text: str) -> None:
    assert equation_list(text) == ("3+4=7",)


def test_calculator_annotations_are_read_where_there_are_any() -> None:
    text = "He has 2+3 = <<2+3=5>>5 cats. Times 4: <<5*4 = 20>>20.\n#### 20"
    assert equation_list(text) == ("2+3=5", "5*4=20")


def test_the_same_numbers_in_another_order_are_another_path() -> None:
    assert equation_list("3+4=7\n7*2=14") != equation_list("7*2=14\n3+4=7")
    assert equation_list("3+4=7") != equation_list("4+3=7")


@given(st.integers(0, 500), st.integers(0, 1000))
def test_every_step_of_the_built_in_task_is_an_equation(index: int, seed: int) -> None:
    question = arithmetic.problems(Split.TRAIN, count=1, seed=index)[0].question
    text = arithmetic.demonstrate(question, random.Random(seed), step_error_rate=0.3)
    *steps, _ = text.split("\n")
    assert equation_list(text) == tuple(steps)


@given(st.text(alphabet="0123456789+-*/×÷x=().,$% \n<>", max_size=60))
def test_any_text_has_a_list(text: str) -> None:
    for equation in equation_list(text):
        assert "=" in equation
        assert not set(equation) & set(" \n,$")
