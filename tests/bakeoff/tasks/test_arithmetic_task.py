import itertools
import subprocess
import sys

import pytest

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Task, Verifier
from bakeoff.tasks import arithmetic
from bakeoff.tasks.arithmetic_task import SPLIT_SIZES, ArithmeticTask, ArithmeticVerifier
from bakeoff.types import Problem, Split

PROBLEM = Problem(id="arithmetic/train/0", question="47 +8 -5 *2", answer="100")


def test_a_split_has_its_declared_size() -> None:
    task: Task = ArithmeticTask()
    for split, size in SPLIT_SIZES.items():
        if split is not Split.TRAIN:
            assert len(task.problems(split)) == size
    assert len(task.problems(Split.TRAIN, count=7)) == 7


def test_more_problems_than_a_split_has_name_both_numbers() -> None:
    with pytest.raises(ConfigError, match=r"513 .*arithmetic/test.* 512"):
        ArithmeticTask().problems(Split.TEST, count=513)


def test_ids_name_the_task_the_split_and_the_position() -> None:
    ids = [problem.id for problem in ArithmeticTask().problems(Split.OOD, count=2)]
    assert ids == ["arithmetic/ood/0", "arithmetic/ood/1"]


def test_the_prompt_is_the_question_and_a_line_break() -> None:
    assert ArithmeticTask.instruction.format(question="1 +2") == "1 +2\n"


def test_demonstrations_are_in_the_form_that_the_verifier_reads() -> None:
    verifier: Verifier = ArithmeticVerifier()
    pairs = list(itertools.islice(ArithmeticTask().demonstrations(seed=0), 400))
    verdicts = verifier.verify([problem for problem, _ in pairs], [text for _, text in pairs])
    assert all(verdict.extracted is not None for verdict in verdicts)
    # Noisy on purpose: a start that reinforcement learning can bring forward.
    assert 0.3 < sum(verdict.correct is True for verdict in verdicts) / len(verdicts) < 0.8


def test_gold_demonstrations_are_faultless_step_by_step() -> None:
    task = ArithmeticTask()
    checker = task.step_checker()
    pairs = list(itertools.islice(task.gold_demonstrations(seed=0), 400))
    for problem, text in pairs:
        assert checker(problem, text.split("\n")) == [1.0] * (text.count("\n") + 1)
    training = {problem.question for problem in task.problems(Split.TRAIN)}
    long = [problem for problem, _ in pairs if problem.question not in training]
    assert all(problem.id.startswith("arithmetic/long/") for problem in long)
    assert 0.15 < len(long) / len(pairs) < 0.35


def test_the_step_checker_says_one_or_zero_for_every_line() -> None:
    lines = ["47+8=56", "56-5=51", "51*2=102", "#102"]
    assert ArithmeticTask().step_checker()(PROBLEM, lines) == [0.0, 1.0, 1.0, 1.0]
    assert ArithmeticTask().step_checker()(PROBLEM, []) == []


@pytest.mark.parametrize(
    ("response", "correct", "extracted"),
    [
        ("47+8=55\n55-5=50\n50*2=100\n#100", True, "100"),
        ("#100", True, "100"),
        ("47+8=55\n#55", False, "55"),
        ("the answer is 100", False, None),
        ("#100.", False, None),
        ("", False, None),
        ("\\boxed{100}", False, None),
        ("#100\n#7", False, "7"),
    ],
)
def test_only_the_exact_answer_in_the_exact_form_is_correct(
    response: str, correct: bool, extracted: str | None
) -> None:
    (verdict,) = ArithmeticTask().verifier().verify([PROBLEM], [response])
    assert (verdict.correct, verdict.extracted) == (correct, extracted)
    assert bool(verdict.reason) is not correct


def test_as_many_responses_as_problems_are_asked_for() -> None:
    with pytest.raises(ValueError, match="zip"):
        ArithmeticVerifier().verify([PROBLEM], [])


def test_the_generator_needs_no_heavy_package() -> None:
    code = (
        "import bakeoff.tasks.arithmetic, sys;"
        "print(sorted({'torch', 'datasets', 'math_verify', 'sympy', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_the_task_runs_where_the_text_tasks_packages_are_missing() -> None:
    code = (
        "import sys; sys.modules['datasets'] = sys.modules['math_verify'] = None\n"
        "import torch\n"
        "from bakeoff.config import RewardConfig, TaskConfig\n"
        "from bakeoff.tasks.registry import load_task\n"
        "from bakeoff.rewards.registry import RewardContext, load_reward\n"
        "from bakeoff.types import Split\n"
        "task = load_task(TaskConfig())\n"
        "problem = task.problems(Split.TEST, count=1)[0]\n"
        "verifier = task.verifier()\n"
        "load_reward(RewardConfig(), RewardContext(task=task, verifier=verifier, tokenizer=None,\n"
        "    device=torch.device('cpu'), max_response_tokens=9, micro_batch_tokens=9, seed=0))\n"
        "print(verifier.verify([problem], [task.gold_response(problem)])[0].correct)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "True", result.stderr


def test_a_problem_of_the_task_is_solved_by_its_own_solver() -> None:
    for problem in ArithmeticTask().problems(Split.VALIDATION, count=50):
        response = f"#{arithmetic.solve(problem.question)}"
        assert response == ArithmeticTask().gold_response(problem)
        assert ArithmeticVerifier().verify([problem], [response])[0].correct
