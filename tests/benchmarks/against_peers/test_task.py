from bakeoff.config import TaskConfig
from bakeoff.tasks.registry import load_task
from bakeoff.types import Split
from benchmarks.against_peers import task
from benchmarks.against_peers.task import LETTERS, LONGEST, SHORTEST, questions


def test_questions_are_distinct_and_of_several_lengths() -> None:
    found = questions()
    assert found == questions()
    assert len(set(found)) == task.QUESTIONS
    lengths = {len(text.split()) for text in found}
    assert (min(lengths), max(lengths)) == (SHORTEST, LONGEST)
    assert {letter for text in found for letter in text.split()} == set(LETTERS)


def test_the_cell_sees_the_questions_that_peers_see_in_their_order() -> None:
    loaded = load_task(TaskConfig(task=f"{task.__file__}:LetterTask"))
    problems = loaded.problems(Split.TRAIN, count=32)
    assert [loaded.instruction.format(question=p.question) for p in problems] == questions()[:32]


def test_the_gold_response_is_correct() -> None:
    loaded = load_task(TaskConfig(task=f"{task.__file__}:LetterTask"))
    problem = loaded.problems(Split.TEST, count=1)[0]
    verifier = loaded.verifier()
    try:
        [verdict] = verifier.verify([problem], [loaded.gold_response(problem)])
    finally:
        verifier.close()
    assert verdict.correct
