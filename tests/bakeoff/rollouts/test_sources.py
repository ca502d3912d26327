from collections import Counter
from dataclasses import asdict, replace

import pytest
import torch

from bakeoff.config import BudgetAxis, BudgetConfig, SamplingConfig
from bakeoff.interfaces import Deduplicate, PoolPlan
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory
from bakeoff.models.flops import flops_model
from bakeoff.records import append_lines
from bakeoff.rewards.rule import RuleReward
from bakeoff.rewards.shaping import LengthShaping
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.rollouts.sources import LiveSource, PoolSource, RolloutMaker, problem_order
from bakeoff.seeds import Seeds
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier
from bakeoff.types import Completion, Reward, Rollout


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


class AllCorrect:
    scores_steps = False
    flops_per_token = 0.0

    def score(self, prompts, completions):
        return [Reward(correct=True, outcome=1.0) for _ in completions]


def test_deduplication_keeps_one_of_equal_texts_per_problem(maker, tmp_path):
    greedy = replace(maker(), reward=AllCorrect())
    greedy = replace(greedy, sampling=replace(greedy.sampling, temperature=0.0))
    source = PoolSource(
        greedy,
        PoolPlan(deduplicate=Deduplicate.TEXT),
        path=tmp_path / "pool.jsonl",
        budget=TOKENS,
    )
    source.prepare()
    drawn = [rollout for batch in range(source.batches) for rollout in source.draw(batch)]
    # Greedy: the three responses to a problem are the same.
    assert set(Counter(r.group for r in drawn).values()) == {1}
    assert 3 * len(drawn) == greedy.ledger.rollouts


def grouped(rollouts):
    groups = {}
    for rollout in rollouts:
        groups.setdefault(rollout.group, []).append(rollout)
    return groups


def test_a_batch_of_a_pool_has_a_group_for_each_problem(maker, tmp_path):
    """The pool is drawn in chunks that number their groups alike; a batch mixes the chunks."""
    source = PoolSource(
        maker(),
        PoolPlan(problems=6),
        path=tmp_path / "pool.jsonl",
        budget=replace(TOKENS, budget=1e9),
    )
    source.prepare()
    batches = [grouped(source.draw(batch)) for batch in range(source.batches)]
    assert [len(groups) for groups in batches] == [2] * 3
    for groups in batches:
        for rollouts in groups.values():
            assert len({r.problem for r in rollouts}) == 1
            assert len(rollouts) == 3
    assert len({group for groups in batches for group in groups}) == 6


ANSWERS = [  # text, correct
    ("2+3=5\n#5", True),
    ("2 + 3 = 5\n#5", True),  # another text, the same equations
    ("2+3=5\n#5", True),  # both the same
    ("1+4=5\n#5", True),
    ("2+3=6\n#6", False),
    ("2+3=6\n#6", False),  # equal to another, but wrong
]


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        (None, [0, 1, 2, 3, 4, 5]),
        (Deduplicate.TEXT, [0, 1, 3, 4, 5]),
        (Deduplicate.EQUATIONS, [0, 3, 4, 5]),
    ],
)
def test_deduplication_keeps_the_first_of_each_kind_and_every_wrong_one(maker, tmp_path, how, kept):
    """A pool written by hand: a group of six, and the same six for another problem."""
    pool_maker = replace(maker(), group_size=6, problems_per_step=2)
    rollouts = [
        Rollout(
            problem=pool_maker.prompts[group].problem,
            prompt_ids=(1, 2),
            completion=Completion(
                text=text,
                token_ids=(5, 6),
                logprobs=(-0.5 - index, -1.0),
                finish="stop",
                policy_version=0,
            ),
            reward=Reward(correct=correct, outcome=float(correct)),
            group=group,
        )
        for group in (0, 1)
        for index, (text, correct) in enumerate(ANSWERS)
    ]
    path = tmp_path / "pool.jsonl"
    append_lines(path, [{"batch": 0, "seconds": {}, "rollouts": [asdict(r) for r in rollouts]}])
    source = PoolSource(
        pool_maker,
        PoolPlan(deduplicate=how, problems=2),
        path=path,
        budget=TOKENS,
    )
    source.prepare()
    found = source.draw(0)
    for group in (0, 1):
        assert [r for r in found if r.group == group] == [
            rollouts[6 * group + index] for index in kept
        ]
    # What was left out was sampled all the same.
    assert pool_maker.ledger.rollouts == 12


def test_pool_problems_bound_the_pool(maker, tmp_path):
    pool_maker = maker()
    PoolSource(
        pool_maker,
        PoolPlan(problems=3),
        path=tmp_path / "pool.jsonl",
        budget=replace(TOKENS, budget=1e9),
    ).prepare()
    assert pool_maker.ledger.problems == 4  # whole batches of two


class EveryOther:
    """Rewards with a spread in the groups of some problems only; reads some tokens for each."""

    scores_steps = False
    flops_per_token = 10.0

    def __init__(self, spread):
        self.spread = spread
        self.seen = []

    def score(self, prompts, completions):
        self.seen += [prompt.problem.id for prompt in prompts[::3]]
        return [
            Reward(
                correct=False,
                outcome=0.25 + (index % 3 == 0 and self.spread(prompt.problem)),
                model_tokens=4,
            )
            for index, prompt in enumerate(prompts)
        ]


def dynamic(maker, spread, *, rounds=4):
    reward = EveryOther(spread)
    made = replace(maker(), reward=reward)
    return LiveSource(made, rounds=rounds), made.ledger, reward


def test_dynamic_sampling_draws_until_the_batch_is_full_of_groups_with_a_spread(maker, prompts):
    chosen = {prompts[index].problem for index in (1, 3, 5)}
    source, _, reward = dynamic(maker, lambda problem: problem in chosen)
    rollouts = source.draw(0)
    assert Counter(r.group for r in rollouts) == {0: 3, 1: 3}
    assert {r.problem for r in rollouts} <= chosen
    # In the order drawn, and no draw more than was needed.
    wanted = [problem for problem in reward.seen if problem in {p.id for p in chosen}]
    assert [rollouts[0].problem.id, rollouts[3].problem.id] == wanted[:2]
    assert len(wanted[:-2]) < 2


def test_everything_that_dynamic_sampling_draws_is_paid_for(maker, prompts):
    chosen = {prompts[index].problem for index in (1, 3)}
    source, ledger, reward = dynamic(maker, lambda problem: problem in chosen)
    kept = source.draw(0)
    drawn = len(reward.seen)
    assert drawn > len({r.group for r in kept})
    assert (ledger.problems, ledger.rollouts) == (drawn, 3 * drawn)
    assert ledger.reward_model_tokens == 4 * 3 * drawn
    assert ledger.sampled_tokens > sum(len(r.completion.token_ids) for r in kept)


def test_dynamic_sampling_is_deterministic_and_no_two_batches_share_a_draw(maker, prompts):
    chosen = {prompts[index].problem for index in (0, 2, 4)}

    def draws():
        source, _, _ = dynamic(maker, lambda problem: problem in chosen)
        return [source.draw(batch) for batch in (0, 1, 2)]

    one, again = draws(), draws()
    assert one == again
    drawn = [{(r.problem.id, r.completion.token_ids) for r in batch} for batch in one]
    assert len(set.union(*drawn)) == sum(map(len, drawn))
    # A function of the batch, whatever was drawn before.
    source, _, _ = dynamic(maker, lambda problem: problem in chosen)
    assert source.draw(2) == one[2]


def test_a_batch_that_stays_short_is_trained_on_as_it_is(maker, prompts):
    only = prompts[4].problem
    source, _, reward = dynamic(maker, lambda problem: problem == only, rounds=3)
    rollouts = source.draw(0)
    # Six problems in three draws of two: the one with a spread came once.
    assert len(reward.seen) == 6
    assert Counter(r.group for r in rollouts) == {0: 3}
    assert {r.problem for r in rollouts} == {only}


def test_without_any_spread_the_last_draw_is_the_batch(maker):
    source, _, reward = dynamic(maker, lambda problem: False, rounds=3)
    rollouts = source.draw(0)
    assert len(reward.seen) == 6
    assert [rollouts[0].problem.id, rollouts[3].problem.id] == reward.seen[-2:]


def test_a_single_round_keeps_groups_without_a_spread(maker):
    source, _, reward = dynamic(maker, lambda problem: False, rounds=1)
    assert len(source.draw(0)) == 6
    assert len(reward.seen) == 2


def test_what_a_reward_model_reads_is_charged_through_a_shaped_reward_too(maker):
    plain, shaped = maker(), maker()
    reward = EveryOther(lambda problem: True)
    shaping = LengthShaping(
        reward, length_penalty=0.1, overlong_buffer_tokens=None, max_response_tokens=6
    )
    LiveSource(plain).draw(0)
    LiveSource(replace(shaped, reward=shaping)).draw(0)
    assert shaped.ledger.reward_model_tokens == 6 * 4
    assert shaped.ledger.flops == pytest.approx(plain.ledger.flops + 6 * 4 * 10.0)
