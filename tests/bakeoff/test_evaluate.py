import pytest

from bakeoff.config import SamplingConfig
from bakeoff.evaluate import Evaluator, transcripts
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier
from bakeoff.types import Split


@pytest.fixture
def evaluator(shared_policy, prompts):
    def make(seed=0):
        return Evaluator(
            prompts=prompts,
            split=Split.TEST,
            sampler=TransformersSampler(shared_policy, autocast_dtype=None),
            verifier=ArithmeticVerifier(),
            sampling=SamplingConfig(max_response_tokens=8, temperature=0.5, top_p=0.1),
            seed=seed,
        )

    return make


def test_a_row_a_problem_with_every_sample(evaluator, prompts):
    rows, rollouts = evaluator().records(samples=3, greedy=True)
    assert [row["problem"] for row in rows] == [p.problem.id for p in prompts]
    for row in rows:
        assert len(row["correct"]) == len(row["answers"]) == len(row["response_tokens"]) == 3
        assert row["greedy"] in (True, False)
    assert len(rollouts) == 3 * len(prompts)


def test_evaluation_samples_at_temperature_one_whatever_training_uses(evaluator):
    _, rollouts = evaluator().records(samples=8, greedy=False)
    # At top_p 0.1 and temperature 0.5 all samples of a problem would be one.
    assert len({r.completion.token_ids for r in rollouts if r.group == 0}) > 1


def test_the_same_seed_draws_the_same_and_another_seed_others(evaluator):
    one, again, other = (evaluator(seed).records(samples=4, greedy=False)[1] for seed in (0, 0, 1))
    assert one == again
    assert [r.completion for r in one] != [r.completion for r in other]


def test_a_response_cut_at_the_limit_is_wrong_even_with_the_answer_in_it(evaluator):
    judge = evaluator()
    completions = judge._draw(4, judge.sampling)
    right = type(completions[0][0])
    answered = [
        [
            right(
                text=f"#{prompt.problem.answer}",
                token_ids=(5, 6),
                logprobs=(-1.0, -1.0),
                finish=finish,
                policy_version=0,
            )
            for finish in ("stop", "length")
        ]
        for prompt in judge.prompts
    ]
    for stopped, cut in judge._judge(answered):
        assert stopped.correct is True
        assert cut.correct is False


def test_transcripts_are_the_first_responses_of_the_first_problems(evaluator, prompts):
    _, rollouts = evaluator().records(samples=2, greedy=False)
    shown = transcripts(rollouts)
    assert [row["problem"] for row in shown] == [p.problem.id for p in prompts[:4]]
    assert shown[1]["response"] == rollouts[2].completion.text
