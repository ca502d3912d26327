import itertools
import json
from pathlib import Path

import pytest

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Task
from bakeoff.tasks.corpora import CORPORA, read_mgsm, read_svamp
from bakeoff.tasks.rows import Row
from bakeoff.tasks.text_task import TextTask
from bakeoff.types import Split

TEST_SIZES = {"gsm8k": 1319, "math500": 500, "svamp": 1000, "cmath": 1098, "mgsm_zh": 250}


def row(**fields: object) -> Row:
    return Row(fields=fields, number=1, where="file.jsonl, line 1")


def write_gsm8k(folder: Path, problems: int) -> Path:
    folder.mkdir()
    for split, count in (("train", problems), ("test", 2)):
        rows = [
            {
                "question": f"{split} {i}?",
                "answer": f"He has {i}+1 = <<{i}+1={i + 1}>>{i + 1} cats.\n#### 1,{i:03d}",
            }
            for i in range(count)
        ]
        text = "".join(json.dumps(fields) + "\n" for fields in rows)
        (folder / f"{split}.jsonl").write_text(text)
    return folder


@pytest.fixture
def gsm8k(tmp_path: Path) -> Task:
    return TextTask(CORPORA["gsm8k"], data=str(write_gsm8k(tmp_path / "gsm8k", 510)))


@pytest.mark.parametrize("name", TEST_SIZES)
def test_a_published_test_set_is_read_whole(name: str, data_folder: Path) -> None:
    task = TextTask(CORPORA[name], data=str(data_folder))
    problems = task.problems(Split.TEST)
    assert task.name == name
    assert len(problems) == TEST_SIZES[name]
    assert len({problem.id for problem in problems}) == len(problems)
    assert all(problem.id.startswith(f"{name}/test/") for problem in problems)
    assert all(problem.question and problem.answer for problem in problems)


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("gsm8k", ["18", "3", "70000"]),
        ("math500", ["\\left( 3, \\frac{\\pi}{2} \\right)", "p - q", "\\frac{14}{3}"]),
        ("svamp", ["145", "19", "3"]),
        ("cmath", ["18", "45", "14"]),
        ("mgsm_zh", ["18", "3", "70000"]),
    ],
)
def test_first_answers_are_those_of_the_files(
    name: str, answers: list[str], data_folder: Path
) -> None:
    # The parent folder and the folder itself are both taken.
    task = TextTask(CORPORA[name], data=str(data_folder / name))
    assert [problem.answer for problem in task.problems(Split.TEST, count=3)] == answers


def test_gsm8k_splits_are_disjoint_and_complete(data_folder: Path) -> None:
    task = TextTask(CORPORA["gsm8k"], data=str(data_folder))
    ids = {
        split: {problem.id for problem in task.problems(split)}
        for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)
    }
    assert [len(part) for part in ids.values()] == [6973, 500, 1319]
    for one, other in itertools.combinations(ids.values(), 2):
        assert not one & other
    assert "gsm8k/train/7472" in ids[Split.VALIDATION]
    assert "gsm8k/train/42" in ids[Split.TRAIN]


def test_every_gsm8k_demonstration_is_correct_in_the_asked_format(data_folder: Path) -> None:
    task = TextTask(CORPORA["gsm8k"], data=str(data_folder))
    pairs = list(itertools.islice(task.demonstrations(seed=0), 6973))
    assert len({problem.id for problem, _ in pairs}) == 6973
    verifier = task.verifier()
    verdicts = verifier.verify([problem for problem, _ in pairs], [text for _, text in pairs])
    verifier.close()
    assert all(verdict.correct and verdict.extracted is not None for verdict in verdicts)
    assert not any("<<" in text or "####" in text for _, text in pairs)


def test_a_demonstration_ends_as_the_instruction_asks(gsm8k: Task) -> None:
    problem, text = next(gsm8k.demonstrations(seed=0))
    index = int(problem.id.rsplit("/", 1)[1])
    assert text == (
        f"He has {index}+1 = {index + 1} cats.\nThe answer is \\boxed{{{problem.answer}}}."
    )
    assert problem.answer == f"1{index:03d}"


def test_demonstrations_never_end_and_show_no_validation_problem(gsm8k: Task) -> None:
    shown = [problem.id for problem, _ in itertools.islice(gsm8k.demonstrations(seed=0), 25)]
    assert set(shown[:10]) == {f"gsm8k/train/{index}" for index in range(10)}
    assert set(shown[10:20]) == set(shown[:10])
    assert shown[10:20] != shown[:10]
    again = [problem.id for problem, _ in itertools.islice(gsm8k.demonstrations(seed=0), 25)]
    other = [problem.id for problem, _ in itertools.islice(gsm8k.demonstrations(seed=1), 25)]
    assert again == shown != other


def test_gold_solutions_are_the_demonstrations_and_steps_have_no_judge(gsm8k: Task) -> None:
    both = [
        list(itertools.islice(solutions(seed=3), 12))
        for solutions in (gsm8k.demonstrations, gsm8k.gold_demonstrations)
    ]
    assert both[0] == both[1]
    assert gsm8k.step_checker() is None


def test_a_training_file_that_validation_would_use_up_is_refused(tmp_path: Path) -> None:
    task = TextTask(CORPORA["gsm8k"], data=str(write_gsm8k(tmp_path / "gsm8k", 500)))
    with pytest.raises(ConfigError, match="has 500 problems; its last 500 are for validation"):
        task.problems(Split.TRAIN)
    assert len(task.problems(Split.TEST)) == 2


@pytest.mark.parametrize("name", ["math500", "svamp", "cmath", "mgsm_zh"])
def test_a_set_for_testing_has_no_other_split_and_no_demonstrations(
    name: str, data_folder: Path
) -> None:
    task = TextTask(CORPORA[name], data=str(data_folder))
    for split in (Split.TRAIN, Split.VALIDATION, Split.OOD):
        assert task.problems(split) == []
    with pytest.raises(ConfigError, match="no worked solutions"):
        task.demonstrations(seed=0)


@pytest.mark.parametrize("name", CORPORA)
def test_instructions_take_a_question_with_braces(name: str) -> None:
    prompt = CORPORA[name].instruction.format(question="What is \\frac{1}{2}?")
    assert prompt.startswith("What is \\frac{1}{2}?\n")
    assert "\\boxed{}" in prompt


def test_a_folder_without_the_files_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither train\.jsonl nor test\.jsonl.*openai/gsm8k"):
        TextTask(CORPORA["gsm8k"], data=str(tmp_path))


def test_a_row_that_is_not_of_the_data_set_is_named(tmp_path: Path) -> None:
    folder = write_gsm8k(tmp_path / "gsm8k", 3)
    (folder / "test.jsonl").write_text('{"question": "a", "answer": "no mark"}\n')
    task = TextTask(CORPORA["gsm8k"], data=str(folder))
    with pytest.raises(ConfigError, match=r"test\.jsonl, line 1: .*####"):
        task.problems(Split.TEST)


def test_the_hub_is_asked_for_the_pinned_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def read(source: object, split: str) -> list[Row]:
        asked.append((source, split))
        return [row(Body="A", Question="B?", Answer="145.0", ID="chal-7")]

    monkeypatch.setattr("bakeoff.tasks.text_task.read_hub", read)
    (problem,) = TextTask(CORPORA["svamp"]).problems(Split.TEST)
    assert asked == [(CORPORA["svamp"].hub, "train+test")]
    assert (problem.id, problem.question, problem.answer) == ("svamp/test/chal-7", "A. B?", "145")


def test_svamp_joins_body_and_question() -> None:
    example = read_svamp(row(Body="He has 2 cats ", Question="How many?", Answer=2.0, ID="c-1"))
    assert example.question == "He has 2 cats. How many?"
    example = read_svamp(row(Body="He has 2.", Question="How many?", Answer=2.5, ID="c-1"))
    assert (example.question, example.answer) == ("He has 2. How many?", "2.5")


def test_mgsm_reads_the_hub_s_rows_and_chats() -> None:
    hub = read_mgsm(row(question="问", answer=None, answer_number=2125))
    chat = read_mgsm(row(messages=[{"role": "user", "content": "问"}], answer="2,125"))
    assert hub == chat
    assert chat.answer == "2125"
    with pytest.raises(ConfigError, match="role user"):
        read_mgsm(row(messages=[{"role": "assistant", "content": ""}], answer="1"))
