"""Is the judge able to tell right from wrong?"""

from bakeoff.conformance.check import Check
from bakeoff.world import World


def gold_answers_are_correct(world: World, *, count: int) -> Check:
    """Gold responses are graded correct, and each problem's is wrong for a different answer."""
    split = world.config.evaluation.evaluation_split
    size = min(count, len(world.task.problems(split, count=None)))
    problems = world.task.problems(split, count=size)
    responses = [world.task.gold_response(problem) for problem in problems]
    verdicts = world.verifier.verify(problems, responses)
    missed = [p.id for p, verdict in zip(problems, verdicts, strict=True) if not verdict.correct]
    swapped = [
        (problem, response)
        for problem, other, response in zip(
            problems, problems[1:] + problems[:1], responses[1:] + responses[:1], strict=True
        )
        if problem.answer != other.answer
    ]
    wrong = world.verifier.verify([p for p, _ in swapped], [response for _, response in swapped])
    accepted = [
        p.id for (p, _), verdict in zip(swapped, wrong, strict=True) if verdict.correct is not False
    ]
    return Check(
        name="gold answers are graded correct",
        passed=not missed and not accepted,
        detail=f"{len(problems) - len(missed)} of {len(problems)} right, "
        f"{len(accepted)} of {len(swapped)} swapped answers accepted"
        + "".join(f"; {problem_id}" for problem_id in (missed + accepted)[:3]),
    )
