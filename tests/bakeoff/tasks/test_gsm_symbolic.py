import itertools
import subprocess
import sys

import pytest

from bakeoff.errors import ConfigError
from bakeoff.rewards.answers import parse_number
from bakeoff.tasks import gsm_symbolic
from bakeoff.tasks.gsm_symbolic import SPLIT_SIZES, GsmSymbolicTask
from bakeoff.types import Problem, Split


@pytest.fixture(scope="module")
def splits() -> dict[Split, list[Problem]]:
    pytest.importorskip("reasoning_gym")
    return {split: GsmSymbolicTask().problems(split) for split in Split}


def test_splits_have_their_sizes_and_share_neither_question_nor_id(
    splits: dict[Split, list[Problem]],
) -> None:
    sizes = {split: len(problems) for split, problems in splits.items()}
    assert sizes == SPLIT_SIZES | {Split.OOD: 0}
    everything = list(itertools.chain(*splits.values()))
    assert len({problem.question for problem in everything}) == len(everything)
    assert len({problem.id for problem in everything}) == len(everything)


def test_a_shorter_list_is_the_beginning_of_a_longer_one(
    splits: dict[Split, list[Problem]],
) -> None:
    task = GsmSymbolicTask()
    assert task.problems(Split.TEST, count=20) == splits[Split.TEST][:20]
    assert task.problems(Split.VALIDATION, count=1) == splits[Split.VALIDATION][:1]
    assert task.problems(Split.TEST, count=0) == []


def test_another_process_draws_the_same(splits: dict[Split, list[Problem]]) -> None:
    code = (
        "from bakeoff.tasks.gsm_symbolic import GsmSymbolicTask\n"
        "from bakeoff.types import Split\n"
        "print(GsmSymbolicTask().problems(Split.TEST, count=50))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == str(splits[Split.TEST][:50])


def test_the_first_test_problem_stays_what_it_is(splits: dict[Split, list[Problem]]) -> None:
    assert splits[Split.TEST][0] == Problem(
        id="gsm_symbolic/14",
        question=(
            "Dax went to their backyard to pick some blueberries and found half as many "
            "grasshoppers as beetles in the plot. If there were 188 beetles, calculate the total "
            "number of insects in the plot."
        ),
        answer="282",
    )


def test_every_answer_is_a_number_that_is_not_negative(
    splits: dict[Split, list[Problem]],
) -> None:
    numbers = [parse_number(problem.answer) for problem in itertools.chain(*splits.values())]
    assert all(number is not None and number.value >= 0 for number in numbers)


def test_questions_leave_it_to_the_instruction_to_say_how_to_answer(
    splits: dict[Split, list[Problem]],
) -> None:
    questions = [problem.question for problem in itertools.chain(*splits.values())]
    assert not any("final answer" in question for question in questions)
    prompt = GsmSymbolicTask().instruction.format(question=questions[0])
    assert prompt.startswith(questions[0]) and "\\boxed{}" in prompt


def test_every_demonstration_is_correct_in_the_asked_format(
    splits: dict[Split, list[Problem]],
) -> None:
    task = GsmSymbolicTask()
    size = SPLIT_SIZES[Split.TRAIN]
    pairs = list(itertools.islice(task.demonstrations(seed=0), size))
    assert {problem.id for problem, _ in pairs} == {one.id for one in splits[Split.TRAIN]}
    verifier = task.verifier()
    verdicts = verifier.verify([problem for problem, _ in pairs], [text for _, text in pairs])
    verifier.close()
    assert all(verdict.correct and verdict.extracted is not None for verdict in verdicts)
    assert not any("####" in text for _, text in pairs)


def test_grading_is_lenient_and_notes_the_format() -> None:
    task = GsmSymbolicTask()
    problem = Problem(id="gsm_symbolic/1", question="?", answer="282")
    verifier = task.verifier()
    verdicts = verifier.verify([problem] * 3, [task.gold_response(problem), "It is 282", "283"])
    verifier.close()
    assert [verdict.correct for verdict in verdicts] == [True, True, False]
    assert [verdict.extracted for verdict in verdicts] == ["282", None, None]


def test_more_problems_than_a_split_has_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most 1000"):
        GsmSymbolicTask().problems(Split.TEST, count=1001)
    assert GsmSymbolicTask().problems(Split.OOD, count=10) == []


def test_a_generator_that_gives_too_few_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("reasoning_gym")
    monkeypatch.setattr(gsm_symbolic, "_DRAWS", 10)
    with pytest.raises(ConfigError, match="expected 1000"):
        GsmSymbolicTask().problems(Split.TEST)


def test_without_reasoning_gym_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ConfigError, match=r"pip install 'bakeoff\[symbolic\]'"):
        GsmSymbolicTask().problems(Split.TEST)
