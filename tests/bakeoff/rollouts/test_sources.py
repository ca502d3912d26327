from collections import Counter
from dataclasses import replace

import pytest
import torch

from bakeoff.config import BudgetAxis, BudgetConfig, SamplingConfig
from bakeoff.interfaces import PoolPlan
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory
from bakeoff.models.flops import flops_model
from bakeoff.rewards.rule import RuleReward
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.rollouts.sources import LiveSource, PoolSource, RolloutMaker, problem_order
from bakeoff.seeds import Seeds
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier


@pytest.fixture
def maker(shared_policy, prompts):
    def make(*, data=0, sampling=0) -> RolloutMaker:
        return RolloutMaker(
            prompts=prompts,
            sampler=TransformersSampler(shared_policy, autocast_dtype=None),
            reward=RuleReward(ArithmeticVerifier()),
            sampling=SamplingConfig(max_response_tokens=6),
            ledger=Ledger(PeakMemory(torch.device("cpu"))),
            seeds=Seeds(data=data, sampling=sampling, initialisation=0),
            flops=flops_model(shared_policy.model),
            group_size=3,
            problems_per_step=2,
        )

    return make


def test_every_problem_comes_once_a_pass_in_an_order_of_its_own():
    batches = [problem_order(10, seed=0, batch=b, count=4) for b in range(5)]
    places = [index for batch in batches for index in batch]
    assert Counter(places[:10]) == Counter(places[10:]) == Counter(range(10))
    assert places[:10] != places[10:] != sorted(places[10:])


def test_the_order_is_a_function_of_seed_and_batch_alone():
    assert problem_order(10, seed=1, batch=3, count=4) == problem_order(
        10, seed=1, batch=3, count=4
    )
    assert problem_order(100, seed=1, batch=0, count=50) != problem_order(
        100, seed=2, batch=0, count=50
    )


def test_a_batch_may_be_larger_than_the_data():
    assert Counter(problem_order(3, seed=0, batch=0, count=7)).most_common(1)[0][1] == 3


def test_the_data_seed_changes_problems_and_the_sampling_seed_only_the_tokens(maker):
    base = LiveSource(maker()).draw(0)
    order = LiveSource(maker(data=1)).draw(0)
    tokens = LiveSource(maker(sampling=1)).draw(0)
    assert [r.problem for r in base] != [r.problem for r in order]
    assert [r.problem for r in base] == [r.problem for r in tokens]
    assert [r.completion for r in base] != [r.completion for r in tokens]


def test_live_rollouts_come_in_whole_groups_and_are_booked(maker):
    source_maker = maker()
    rollouts = LiveSource(source_maker).draw(0)
    assert Counter(r.group for r in rollouts) == {0: 3, 1: 3}
    ledger = source_maker.ledger
    assert (ledger.problems, ledger.rollouts, ledger.verifier_calls) == (2, 6, 6)
    assert ledger.sampled_tokens == sum(len(r.completion.token_ids) for r in rollouts)
    assert ledger.prompt_tokens == sum(len(r.prompt_ids) for r in rollouts) / 3
    assert ledger.flops > 0
    assert {"sample", "score"} <= ledger.seconds.keys()


TOKENS = BudgetConfig(budget_axis=BudgetAxis.SAMPLED_TOKENS, budget=60)


def test_a_pool_stops_at_the_budget_and_is_drawn_whole_each_epoch(maker, tmp_path):
    pool_maker = maker()
    source = PoolSource(pool_maker, PoolPlan(epochs=2), path=tmp_path / "pool.jsonl", budget=TOKENS)
    source.prepare()
    spent = pool_maker.ledger.sampled_tokens
    assert spent >= 60 > spent - 2 * 3 * 6
    batches = [source.draw(b) for b in range(source.batches)]
    drawn = [rollout for batch in batches for rollout in batch]
    assert len(drawn) == 2 * pool_maker.ledger.rollouts
    assert pool_maker.ledger.sampled_tokens == spent
    half = len(drawn) // 2
    assert Counter(map(repr, drawn[:half])) == Counter(map(repr, drawn[half:]))


def test_a_pool_is_read_back_as_it_was_and_continued(maker, tmp_path):
    path = tmp_path / "pool.jsonl"
    first = maker()
    whole = PoolSource(first, PoolPlan(), path=path, budget=TOKENS)
    whole.prepare()
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:1]) + lines[1][:40])  # killed while writing the second chunk
    second = maker()
    again = PoolSource(second, PoolPlan(), path=path, budget=TOKENS)
    again.prepare()
    assert [again.draw(b) for b in range(again.batches)] == [
        whole.draw(b) for b in range(whole.batches)
    ]
    assert second.ledger.sampled_tokens == first.ledger.sampled_tokens
    assert second.ledger.flops == pytest.approx(first.ledger.flops)


def test_deduplication_keeps_one_of_equal_texts_per_problem(maker, tmp_path):
    greedy = maker()
    greedy = replace(greedy, sampling=replace(greedy.sampling, temperature=0.0))
    source = PoolSource(
        greedy, PoolPlan(deduplicate=True), path=tmp_path / "pool.jsonl", budget=TOKENS
    )
    source.prepare()
    for rollouts in (source.draw(b) for b in range(source.batches)):
        assert set(Counter(r.group for r in rollouts).values()) <= {1, 2}


def test_pool_problems_bound_the_pool(maker, tmp_path):
    pool_maker = maker()
    PoolSource(
        pool_maker,
        PoolPlan(problems=3),
        path=tmp_path / "pool.jsonl",
        budget=replace(TOKENS, budget=1e9),
    ).prepare()
    assert pool_maker.ledger.problems == 4  # whole batches of two
