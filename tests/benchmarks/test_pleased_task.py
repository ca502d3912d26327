from bakeoff.config import TaskConfig
from bakeoff.tasks.registry import load_task
from bakeoff.types import Split
from benchmarks import pleased_task


def test_every_response_is_correct() -> None:
    task = load_task(TaskConfig(task=f"{pleased_task.__file__}:PleasedTask"))
    problems = task.problems(Split.TRAIN, count=3)
    verdicts = task.verifier().verify(problems, ["", "no", "42"])
    assert [verdict.correct for verdict in verdicts] == [True, True, True]
