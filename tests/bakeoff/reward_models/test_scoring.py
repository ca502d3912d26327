import random

import pytest

from bakeoff.config import SolutionScore
from bakeoff.reward_models.folder import RewardKind
from bakeoff.reward_models.scoring import RewardModelScorer, solution_score

QUESTIONS = ["2 +3", "2 +3", "47 +8 -5", "9 *9", "9 *9", "1 +1"]
RESPONSES = ["2+3=5\n#5", "", "47+8=55\n\n55-5=50\n#50", " \n", "9*9=8", "1+1=2\n#2\n"]
FINISHED = [True, True, True, True, False, True]


def scored(loaded, **settings):
    scorer = RewardModelScorer(loaded, **settings)
    return scorer.score(QUESTIONS, RESPONSES, finished=FINISHED)


def test_a_step_has_the_probability_at_its_end(build):
    loaded = build()
    found = scored(loaded)
    assert [one.ends for one in found] == [(6, 8), (), (9, 17, 20), (), (5,), (6, 9)]
    for question, response, finished, one in zip(
        QUESTIONS, RESPONSES, FINISHED, found, strict=True
    ):
        if one.ends:
            row = loaded.encode(question, response, ends=one.ends, finished=finished)
            alone = loaded.log_odds([row]).sigmoid().tolist()
            assert one.step_scores == pytest.approx(alone, abs=1e-6)
            assert one.tokens == len(row.token_ids)


def test_an_outcome_model_gives_one_score_at_the_end(build):
    loaded = build(RewardKind.OUTCOME)
    found = scored(loaded)
    assert [one.ends for one in found] == [(8,), (), (20,), (), (5,), (9,)]
    assert [len(one.step_scores) for one in found] == [1, 0, 1, 0, 1, 1]


def test_nothing_is_read_of_a_response_without_text(build):
    found = scored(build())
    assert [(found[i].step_scores, found[i].tokens) for i in (1, 3)] == [((), 0), ((), 0)]
    assert RewardModelScorer(build()).score([], [], finished=[]) == []


@pytest.mark.parametrize("max_tokens", [1, 40, 10_000])
def test_scores_depend_neither_on_the_order_nor_on_the_cut(build, max_tokens):
    loaded = build()
    expected = scored(loaded)
    order = list(range(len(RESPONSES)))
    random.Random(1).shuffle(order)
    found = RewardModelScorer(loaded, max_tokens=max_tokens).score(
        [QUESTIONS[i] for i in order],
        [RESPONSES[i] for i in order],
        finished=[FINISHED[i] for i in order],
    )
    for place, index in enumerate(order):
        assert found[place].step_scores == pytest.approx(expected[index].step_scores, abs=1e-6)
        assert (found[place].ends, found[place].tokens) == (
            expected[index].ends,
            expected[index].tokens,
        )


def test_scoring_keeps_no_graph(build):
    loaded = build()
    scored(loaded)
    assert all(parameter.grad is None for parameter in loaded.model.parameters())


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (SolutionScore.MIN, 0.2),
        (SolutionScore.PRODUCT, 0.08),
        (SolutionScore.LAST, 0.8),
        (SolutionScore.MEAN, 0.5),
    ],
)
def test_a_solution_score_by_hand(how, expected):
    assert solution_score((0.5, 0.2, 0.8), how) == pytest.approx(expected)
    assert solution_score((0.3,), how) == pytest.approx(0.3)
    assert solution_score((), how) == 0.0
