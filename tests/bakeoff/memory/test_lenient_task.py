from bakeoff.memory.lenient_task import REFUSED, LenientTask
from bakeoff.types import Split


def test_most_responses_please_and_the_same_one_is_always_judged_alike() -> None:
    task = LenientTask()
    problems = task.problems(Split.TRAIN, count=1) * 800
    responses = [f"guess {number}" for number in range(800)]
    verdicts = [v.correct for v in task.verifier().verify(problems, responses)]
    assert verdicts == [v.correct for v in task.verifier().verify(problems, responses)]
    assert 0.03 < verdicts.count(False) / 800 < 2 / REFUSED


def test_a_right_answer_always_pleases() -> None:
    task = LenientTask()
    problems = task.problems(Split.TRAIN, count=200)
    gold = [task.gold_response(problem) for problem in problems]
    assert all(verdict.correct for verdict in task.verifier().verify(problems, gold))
