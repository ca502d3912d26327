import itertools
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.tasks import arithmetic
from bakeoff.tasks.arithmetic_task import SPLIT_SIZES
from bakeoff.types import Split


def left_to_right(question: str) -> int:
    """The slow twin of `solve`: Python's own arithmetic, one bracket per step."""
    start, *steps = question.split(" ")
    expression = start
    for step in steps:
        expression = f"({expression}){step}"
    return int(eval(expression))


@pytest.fixture(scope="module")
def splits() -> dict[Split, list[str]]:
    return {
        split: [problem.question for problem in arithmetic.problems(split, count=size)]
        for split, size in SPLIT_SIZES.items()
    }


def test_full_splits_share_no_question(splits: dict[Split, list[str]]) -> None:
    for split, questions in splits.items():
        assert len(set(questions)) == SPLIT_SIZES[split]
    for one, other in itertools.combinations(splits.values(), 2):
        assert not set(one) & set(other)


def test_answers_are_what_python_computes_from_left_to_right() -> None:
    for split in Split:
        for problem in arithmetic.problems(split, count=200):
            assert int(problem.answer) == left_to_right(problem.question)
            assert arithmetic.solve(problem.question) == left_to_right(problem.question)


def test_true_chains_stay_in_range_and_have_the_length_of_their_split(
    splits: dict[Split, list[str]],
) -> None:
    for split, questions in splits.items():
        low, high = arithmetic.OOD_OPERATIONS if split is Split.OOD else arithmetic.TRAIN_OPERATIONS
        lengths = set()
        for question in questions[:500]:
            value, operations = arithmetic.parse_question(question)
            lengths.add(len(operations))
            for operator, operand in operations:
                value = arithmetic.apply(value, operator, operand)
                assert 1 <= value <= arithmetic.LARGEST_VALUE
        assert lengths == set(range(low, high + 1))


def test_fewer_problems_are_a_prefix_of_more() -> None:
    for split in Split:
        many = arithmetic.problems(split, count=60)
        assert arithmetic.problems(split, count=25) == many[:25]


def test_another_seed_draws_other_problems_of_the_same_split() -> None:
    one = {problem.question for problem in arithmetic.problems(Split.TRAIN, count=300)}
    other = {problem.question for problem in arithmetic.problems(Split.TRAIN, count=300, seed=1)}
    assert len(one & other) < 30
    test = {problem.question for problem in arithmetic.problems(Split.TEST, count=300)}
    assert not other & test


def test_the_worked_example_of_the_module_is_right() -> None:
    question = "47 +8 -5 *2"
    response = "47+8=55\n55-5=50\n50*2=100\n#100"
    text = arithmetic.demonstrate(question, random.Random(0), step_error_rate=0)
    assert text == response
    assert arithmetic.solve(question) == 100
    assert all(arithmetic.check_steps(question, response.split("\n")))


def test_the_demonstrator_errs_at_the_rate_it_is_given() -> None:
    pool = arithmetic.problems(Split.TRAIN, count=500)
    steps = wrong = 0
    for problem, text in itertools.islice(
        arithmetic.demonstrations(pool, seed=3, step_error_rate=0.12), 3000
    ):
        *judged, _ = arithmetic.check_steps(problem.question, text.split("\n"))
        steps += len(judged)
        wrong += judged.count(False)
    # Three standard errors of a rate of 0.12 over about 13 000 steps.
    assert wrong / steps == pytest.approx(0.12, abs=3 * (0.12 * 0.88 / steps) ** 0.5)


def test_demonstrations_are_a_function_of_the_seed() -> None:
    pool = arithmetic.problems(Split.TRAIN, count=50)
    first, again, other = (
        list(itertools.islice(arithmetic.demonstrations(pool, seed=seed), 20)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_no_demonstration_shows_a_question_that_is_tested(
    splits: dict[Split, list[str]],
) -> None:
    pool = arithmetic.problems(Split.TRAIN, count=2000)
    shown = {
        problem.question
        for problem, _ in itertools.islice(arithmetic.demonstrations(pool, seed=0), 5000)
    }
    for split in (Split.VALIDATION, Split.TEST, Split.OOD):
        assert not shown & set(splits[split])


def test_a_wrong_result_makes_one_wrong_step() -> None:
    lines = ["47+8=56", "56-5=51", "51*2=102", "#102"]
    assert arithmetic.check_steps("47 +8 -5 *2", lines) == [False, True, True, True]


def test_a_step_with_another_operation_is_wrong_even_if_its_sum_is_right() -> None:
    lines = ["47+7=54", "54-5=49", "#49"]
    assert arithmetic.check_steps("47 +8 -5", lines) == [False, True, True]


def test_a_step_that_does_not_start_from_the_value_before_is_wrong() -> None:
    lines = ["47+8=55", "50-5=45", "#45"]
    assert arithmetic.check_steps("47 +8 -5", lines) == [True, False, True]


def test_a_line_that_is_no_step_and_a_step_too_many_are_wrong() -> None:
    lines = ["well", "47+8=55", "55+1=56", "#56"]
    # "well" takes the place of the only operation; what follows has none left.
    assert arithmetic.check_steps("47 +8", lines) == [False, False, False, False]


def test_an_answer_that_is_not_the_value_carried_is_a_wrong_step() -> None:
    assert arithmetic.check_steps("47 +8", ["47+8=55", "#54"]) == [True, False]


def test_an_answer_before_the_last_operation_and_a_second_one_are_wrong() -> None:
    assert arithmetic.check_steps("47 +8 -5", ["47+8=55", "#55"]) == [True, False]
    assert arithmetic.check_steps("47 +8", ["47+8=55", "#55", "#55"]) == [True, True, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#5", "5"),
        ("1+4=5\n#5", "5"),
        ("#0", "0"),
        ("#-12", "-12"),
        ("#5\n#6", "6"),
        ("", None),
        ("#", None),
        ("5", None),
        ("#5\n", None),
        ("#5 ", None),
        (" #5", None),
        ("##5", None),
        ("#+5", None),
        ("#05", None),
        ("#-0", None),
        ("#5.0", None),
        ("#5#6", None),
        ("#٥", None),
        ("#1234567890", None),
        ("#5\r", None),
        ("#5\nand so on", None),
    ],
)
def test_only_a_last_line_of_hash_and_integer_is_an_answer(text: str, expected: str | None) -> None:
    assert arithmetic.extract_answer(text) == expected


@pytest.mark.parametrize("question", ["", "47", "+8 -5", "47  +8", "47 /8", "47 +8 ", "a +8"])
def test_what_is_no_question_is_refused(question: str) -> None:
    with pytest.raises(ValueError, match="not an arithmetic question"):
        arithmetic.parse_question(question)


QUESTIONS = st.builds(
    lambda start, steps: " ".join([str(start), *(f"{op}{n}" for op, n in steps)]),
    st.integers(0, 99),
    st.lists(st.tuples(st.sampled_from("+-*"), st.integers(0, 99)), min_size=1, max_size=8),
)


@given(QUESTIONS)
def test_solving_is_python_from_left_to_right(question: str) -> None:
    assert arithmetic.solve(question) == left_to_right(question)


@given(QUESTIONS, st.integers(0, 1000))
def test_a_faultless_demonstration_checks_and_ends_in_the_answer(question: str, seed: int) -> None:
    text = arithmetic.demonstrate(question, random.Random(seed), step_error_rate=0)
    steps = arithmetic.check_steps(question, text.split("\n"))
    assert len(steps) == question.count(" ") + 1
    if all(re.fullmatch(r"-?\d{1,9}", part) for part in re.split(r"[+*=\n#]|(?<=\d)-", text)):
        # Values of more digits than a step may have are out of the task's range.
        expected = str(arithmetic.solve(question))
        assert arithmetic.extract_answer(text) == expected
        assert all(steps)


@given(QUESTIONS, st.text(alphabet="0123456789+-*=#\n ", max_size=60))
def test_any_text_can_be_judged(question: str, text: str) -> None:
    lines = text.split("\n")
    assert len(arithmetic.check_steps(question, lines)) == len(lines)
    answer = arithmetic.extract_answer(text)
    assert answer is None or text.endswith(f"#{answer}")
