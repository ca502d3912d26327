"""Every canary stops at the fault that it is there for, and is quiet without it."""

import math
from dataclasses import replace

import pytest
import torch

from bakeoff.canaries import (
    COLLAPSED_BATCHES,
    REPEAT_CEILING,
    SILENT_BATCHES,
    Canaries,
    repeat_evidence,
    require_finite,
)
from bakeoff.config import SamplingConfig
from bakeoff.errors import CanaryError
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory
from bakeoff.types import Completion, Problem, Reward, Rollout


def gold(correct, outcome):
    return lambda problems: [Reward(correct=correct, outcome=outcome) for _ in problems]


def canaries(dtype=None, *, ceiling=0.02, top_p=1.0, gold_rewards=None, reward_judges=True):
    return Canaries(
        autocast_dtype=dtype,
        verifier_error_ceiling=ceiling,
        sampling=SamplingConfig(top_p=top_p),
        gold_rewards=gold_rewards or gold(True, 1.0),
        reward_judges=reward_judges,
    )


@pytest.fixture
def ledger():
    return Ledger(PeakMemory(torch.device("cpu")))


def rollout(*, token_ids=(5, 6), logprob=-1.0, correct=False, outcome=0.0, group=0):
    return Rollout(
        problem=Problem(id=f"p/{group}", question="1 +1", answer="2"),
        prompt_ids=(1,),
        completion=Completion(
            text="",
            token_ids=token_ids,
            logprobs=(logprob,) * len(token_ids),
            finish="stop",
            policy_version=0,
        ),
        reward=Reward(correct=correct, outcome=outcome),
        group=group,
    )


def test_a_failing_verifier_stops_the_run(ledger, rollouts):
    ledger.verifier_calls, ledger.verifier_errors = 1000, 20
    canaries().check_rewards(rollouts, ledger)
    ledger.verifier_errors = 21
    with pytest.raises(CanaryError, match="21 of 1000"):
        canaries().check_rewards(rollouts, ledger)
    canaries(ceiling=0.03).check_rewards(rollouts, ledger)


def test_a_batch_that_nobody_could_score_stops_the_run(ledger):
    with pytest.raises(CanaryError, match="could be scored"):
        canaries().check_rewards([], ledger)


def test_an_all_wrong_batch_stops_the_run_only_if_gold_is_wrong_too():
    wrong = [rollout() for _ in range(4)]
    for _ in range(2 * SILENT_BATCHES):
        canaries().check_gold(wrong)
    for verdict in (False, None):
        with pytest.raises(CanaryError, match="fails without saying so"):
            canaries(gold_rewards=gold(verdict, 0.0)).check_gold(wrong)


def test_one_reward_for_right_wrong_and_gold_stops_the_run_after_a_few_batches():
    mixed = [rollout(correct=index % 2 == 0) for index in range(4)]
    dead = canaries(gold_rewards=gold(True, 0.0))
    for _ in range(SILENT_BATCHES - 1):
        dead.check_gold(mixed)
    with pytest.raises(CanaryError, match=r"every reward of 3 batches is 0\.0"):
        dead.check_gold(mixed)
    live, control = canaries(), canaries(gold_rewards=gold(True, 0.0), reward_judges=False)
    for _ in range(2 * SILENT_BATCHES):
        live.check_gold(mixed)  # gold gets 1
        control.check_gold(mixed)  # constant on purpose


def test_batches_of_dead_rewards_have_to_be_in_a_row():
    mixed = [rollout(correct=index % 2 == 0) for index in range(4)]
    told = [replace(r, reward=replace(r.reward, outcome=float(r.reward.correct))) for r in mixed]
    dead = canaries(gold_rewards=gold(True, 0.0))
    for _ in range(SILENT_BATCHES):
        dead.check_gold(mixed)
        dead.check_gold(told)


def test_a_perfect_batch_asks_for_no_gold():
    asked = canaries(gold_rewards=lambda problems: pytest.fail("gold was scored"))
    for _ in range(2 * SILENT_BATCHES):
        asked.check_gold([rollout(correct=True, outcome=1.0)] * 4)


def test_repeats_weigh_what_the_policy_says_of_their_chance():
    half = math.log(0.5) / 2  # a response of two tokens then has a chance of 1/2
    one, other = rollout(logprob=half), rollout(token_ids=(7, 8), logprob=math.log(0.25) / 2)
    nats = math.log(2) - math.log(1.5)
    assert repeat_evidence([one, one]) == pytest.approx(nats)
    assert repeat_evidence([one, other]) == pytest.approx(-math.log(1.5))
    # The third may repeat either: a chance of 3/4.
    third = -math.log(0.75) - math.log(1.25)
    assert repeat_evidence([one, other, other]) == pytest.approx(-math.log(1.5) + third)
    assert repeat_evidence([one, replace(one, group=1)]) == 0


def test_a_certain_policy_may_repeat_itself_for_ever():
    watch = canaries()
    for _ in range(100):
        watch.check_repeats([rollout(logprob=0.0)] * 64)


def test_copies_that_the_policy_calls_unlikely_stop_the_run():
    copies = [rollout(token_ids=tuple(range(40)), logprob=-0.03, group=g) for g in range(4)] * 4
    watch = canaries()
    with pytest.raises(CanaryError, match="4 of 16 responses are distinct"):
        for _ in range(20):
            watch.check_repeats(copies)
    # Weak evidence adds up: one batch of it alone is allowed.
    assert 0 < repeat_evidence(copies) < REPEAT_CEILING
    cut = canaries(top_p=0.5)  # repeats more often than the whole distribution says
    for _ in range(20):
        cut.check_repeats(copies)


def test_independent_draws_give_no_evidence_of_copies():
    """Ten thousand batches from a known distribution, repeats and all."""
    generator = torch.Generator().manual_seed(0)
    chances = torch.tensor([0.6, 0.2, 0.1, 0.1])
    watch = canaries()
    for _ in range(10_000):
        drawn = torch.multinomial(chances, 16, replacement=True, generator=generator).tolist()
        watch.check_repeats(
            [
                rollout(token_ids=(t,), logprob=math.log(chances[t]), group=index // 8)
                for index, t in enumerate(drawn)
            ]
        )


def degenerate(watch, batches, *, logprob=-1e-4, tokens=1, correct=False, first=2):
    for batch in range(first, first + batches):
        responses = [rollout(token_ids=(3,) * tokens, logprob=logprob, correct=correct)] * 8
        watch.watch_collapse(responses, batch=batch)


def begun():
    watch = canaries()
    watch.watch_collapse([rollout(token_ids=(3,) * 40, logprob=-0.1)] * 8, batch=1)
    return watch


def test_short_certain_responses_are_a_collapse_after_a_few_batches():
    watch = begun()
    degenerate(watch, COLLAPSED_BATCHES - 1)
    assert watch.collapsed is None
    degenerate(watch, 1, first=9)
    assert watch.collapsed is not None
    assert watch.collapsed.startswith("collapsed at batch 9: 0.0001 nats of entropy a token, 0.1")


@pytest.mark.parametrize(
    "healthy",
    [
        {"logprob": -0.002, "tokens": 1},  # a fiftieth of the entropy is left
        {"tokens": 40, "correct": True},  # certain, and right
        {"tokens": 11, "correct": True},  # shorter, not degenerate
        {"logprob": -2.0, "tokens": 40},  # wrong, but wide open
    ],
)
def test_a_policy_that_is_only_certain_or_only_wrong_has_not_collapsed(healthy):
    watch = begun()
    degenerate(watch, 3 * COLLAPSED_BATCHES, **healthy)
    assert watch.collapsed is None


def test_a_recovery_starts_the_count_anew():
    watch = begun()
    for _ in range(3):
        degenerate(watch, COLLAPSED_BATCHES - 1)
        degenerate(watch, 1, logprob=-0.1, tokens=40)
    assert watch.collapsed is None


def test_a_resumed_watch_goes_on_where_it_stood():
    watch = begun()
    degenerate(watch, COLLAPSED_BATCHES - 1)
    watch.check_frozen({"reference": 7})
    resumed = canaries()
    resumed.restore(watch.state())
    degenerate(resumed, 1)
    assert resumed.collapsed is not None
    with pytest.raises(CanaryError, match="frozen weights of reference"):
        resumed.check_frozen({"reference": 8})


def test_a_sampler_with_other_weights_stops_the_run():
    canaries().check_metrics({"sampler_gap_mean": 1e-5})
    canaries().check_metrics({"sampler_gap_mean": None})
    for gap in (0.5, float("nan")):
        with pytest.raises(CanaryError, match="sampler and trainer disagree"):
            canaries().check_metrics({"sampler_gap_mean": gap})
    canaries(torch.bfloat16).check_metrics({"sampler_gap_mean": 0.1})


def test_a_gap_after_a_publish_stops_the_run():
    canaries().check_published(1e-5)
    canaries(torch.bfloat16).check_published(0.1)
    for gap in (1e-3, float("nan")):
        with pytest.raises(CanaryError, match="stale weights"):
            canaries().check_published(gap)


def test_frozen_weights_may_change_by_a_refresh_only():
    watch = canaries()
    watch.check_frozen({"reference": 7, "start": 9})
    watch.freeze({"reference": 8, "start": 9})
    watch.check_frozen({"reference": 8, "start": 9})
    with pytest.raises(CanaryError, match="frozen weights of start have changed"):
        watch.check_frozen({"reference": 8, "start": 10})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_stops_the_run_by_its_name(value):
    require_finite(1e30, "the loss", step=3)
    with pytest.raises(CanaryError, match=r"the loss is .* at optimizer step 3"):
        require_finite(value, "the loss", step=3)
