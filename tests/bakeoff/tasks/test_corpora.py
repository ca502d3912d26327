"""Each published test set against itself: what the verifier says of the gold answers.

Correct is lenient, extracted is strict; both are counted, apart.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Verdict
from bakeoff.rewards.extract import extract
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.tasks.corpora import CORPORA, read_math
from bakeoff.tasks.rows import Row
from bakeoff.tasks.text_task import TextTask
from bakeoff.types import Problem, Split

SIZES = {"gsm8k": 1319, "math500": 500, "svamp": 1000, "cmath": 1098, "mgsm_zh": 250}

Counts = tuple[int, int, int]  # correct, extracted in the asked format, without a verdict


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    pytest.importorskip("math_verify")
    verifier = MathVerifier(seconds=30)
    yield verifier
    verifier.close()


@pytest.fixture(params=SIZES)
def task(request: pytest.FixtureRequest, data_folder: Path) -> TextTask:
    return TextTask(CORPORA[request.param], data=str(data_folder))


def counts(verdicts: Sequence[Verdict]) -> Counts:
    return (
        sum(verdict.correct is True for verdict in verdicts),
        sum(verdict.extracted is not None for verdict in verdicts),
        sum(verdict.correct is None for verdict in verdicts),
    )


def row(**fields: object) -> Row:
    return Row(fields=fields, number=1, where="file.jsonl, line 1")


def test_every_gold_answer_in_the_asked_format_is_correct(
    task: TextTask, verifier: MathVerifier
) -> None:
    problems = task.problems(Split.TEST)
    verdicts = verifier.verify(problems, [task.gold_response(one) for one in problems])
    assert counts(verdicts) == (SIZES[task.name], SIZES[task.name], 0)


def test_every_gold_answer_that_is_only_said_is_correct_and_a_miss_of_the_format(
    task: TextTask, verifier: MathVerifier
) -> None:
    problems = task.problems(Split.TEST)
    # One of MATH-500 is the matter of where a sentence ends: "11,\! 111,\! 111,\! 100".
    expected = SIZES[task.name] - (task.name == "math500")
    for form in ("The answer is {}.", "所以答案是{}。"):
        verdicts = verifier.verify(problems, [form.format(one.answer) for one in problems])
        assert counts(verdicts) == (expected, 0, 0)
    verdicts = verifier.verify(problems, [f"The answer is ${one.answer}$." for one in problems])
    assert counts(verdicts) == (SIZES[task.name], 0, 0)


# Of each data set's own rows: the text that states the answer, and whether that is a format.
OWN_FORMS: Mapping[str, tuple[Callable[[dict[str, Any]], str], bool]] = {
    "gsm8k": (lambda fields: fields["answer"], True),  # the solution, #### and the number
    "math500": (lambda fields: fields["solution"], True),  # with a box in it
    "svamp": (lambda fields: str(fields["Answer"]), False),
    "cmath": (lambda fields: fields["golden"], False),
    "mgsm_zh": (lambda fields: fields["answer"], False),
}


def test_every_gold_answer_in_the_form_of_its_file_is_correct(
    task: TextTask, verifier: MathVerifier, data_folder: Path
) -> None:
    own, is_format = OWN_FORMS[task.name]
    lines = (data_folder / task.name / "test.jsonl").read_text("utf-8").splitlines()
    verdicts = verifier.verify(task.problems(Split.TEST), [own(json.loads(line)) for line in lines])
    assert counts(verdicts) == (SIZES[task.name], SIZES[task.name] * is_format, 0)


def test_the_answer_of_another_problem_is_always_wrong(
    task: TextTask, verifier: MathVerifier
) -> None:
    problems = task.problems(Split.TEST)
    others = [*problems[7:], *problems[:7]]
    pairs = [(p, o) for p, o in zip(problems, others, strict=True) if p.answer != o.answer]
    assert len(pairs) > 0.95 * len(problems)
    verdicts = verifier.verify([p for p, _ in pairs], [task.gold_response(o) for _, o in pairs])
    assert [verdict.correct for verdict in verdicts].count(False) == len(pairs)


@pytest.mark.long
def test_the_answers_of_math_s_training_problems_are_correct_too(
    data_folder: Path, verifier: MathVerifier
) -> None:
    rows = json.loads((data_folder / "math_train_answers.json").read_text("utf-8"))
    golds = [fields["final_answer"] for fields in rows]
    assert (len(golds), golds.count("")) == (7500, 2)  # two boxes are empty
    problems = [
        Problem(id=f"math/train/{index}", question=fields["problem"], answer=gold)
        for index, (fields, gold) in enumerate(zip(rows, golds, strict=True))
        if gold
    ]
    boxed = verifier.verify(problems, [f"\\boxed{{{one.answer}}}" for one in problems])
    assert counts(boxed) == (7498, 7498, 0)
    said = verifier.verify(problems, [f"The answer is ${one.answer}$." for one in problems])
    correct, formatted, errors = counts(said)
    assert correct >= 7496 and (formatted, errors) == (0, 0)
    others = [*problems[7:], *problems[:7]]
    pairs = [(p, o) for p, o in zip(problems, others, strict=True) if p.answer != o.answer]
    swapped = verifier.verify([p for p, _ in pairs], [f"\\boxed{{{o.answer}}}" for _, o in pairs])
    # "2" and "2 \text{ euros}" are one answer; "05\!:\!00" is beyond math-verify, even as gold.
    assert [verdict.correct for verdict in swapped].count(True) == 1
    assert [verdict.correct for verdict in swapped].count(None) == 1


def write_math(folder: Path, *, train: int) -> Path:
    folder.mkdir()
    for split, size in (("train", train), ("test", 2)):
        rows = [
            {
                "problem": f"{split} {index}: what is half of ${index}$?",
                "level": "Level 1",
                "solution": f"It is $\\boxed{{x}}$, so $\\boxed{{\\frac{{{index}}}{{2}}}}.$",
            }
            for index in range(size)
        ]
        text = "".join(json.dumps(fields) + "\n" for fields in rows)
        (folder / f"{split}.jsonl").write_text(text)
    return folder


def test_math_s_answer_is_the_last_box_of_its_solution(
    tmp_path: Path, verifier: MathVerifier
) -> None:
    task = TextTask(CORPORA["math"], data=str(write_math(tmp_path / "math", train=503)))
    problems = task.problems(Split.TRAIN)
    assert [(one.id, one.answer) for one in problems] == [
        ("math/train/0", "\\frac{0}{2}"),
        ("math/train/1", "\\frac{1}{2}"),
        ("math/train/2", "\\frac{2}{2}"),
    ]
    held_out = task.problems(Split.VALIDATION)
    assert (len(held_out), held_out[-1].id) == (500, "math/train/502")
    assert [one.id for one in task.problems(Split.TEST)] == ["math/test/0", "math/test/1"]
    shown = dict(itertools.islice(task.demonstrations(seed=0), 3))
    assert set(shown) == set(problems)
    assert shown[problems[1]] == "It is $\\boxed{x}$, so $\\boxed{\\frac{1}{2}}.$"
    verdicts = verifier.verify(list(shown), list(shown.values()))
    assert counts(verdicts) == (3, 3, 0)


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("so $\\boxed 5$", "5"),
        ("so $x = \\boxed \\frac{1}{2}$.", "\\frac{1}{2}"),
        ("so $\\boxed {5}$", "5"),
        ("so $\\fbox{5}$", "5"),
    ],
)
def test_a_box_in_other_spellings_is_read(solution: str, answer: str) -> None:
    example = read_math(row(problem="What?", solution=solution))
    assert example.answer == answer
    assert example.solution is not None and extract(example.solution).strict_answer == answer


def test_the_two_problems_of_math_without_a_solution_have_an_answer_and_no_demonstration(
    data_folder: Path,
) -> None:
    rows = json.loads((data_folder / "math_train_answers.json").read_text("utf-8"))
    empty = [fields["problem"] for fields in rows if not fields["final_answer"]]
    examples = [read_math(row(problem=problem, solution="")) for problem in empty]
    assert [(one.answer, one.solution) for one in examples] == [("0", None), ("0", None)]
    with pytest.raises(ConfigError, match="'solution' must be text"):
        read_math(row(problem="Another", solution=""))


def test_a_solution_without_a_box_is_named() -> None:
    with pytest.raises(ConfigError, match=r"line 1: 'solution' must have its answer"):
        read_math(row(problem="What?", solution="It is 5."))
