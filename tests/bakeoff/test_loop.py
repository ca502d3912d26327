"""The loop against a world small enough to see through: a method that only counts its calls."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from algorithms import PRESETS
from algorithms.configs import GRPOConfig, OnlineRFTConfig, PPOConfig, RFTConfig, RLOOConfig
from algorithms.registry import build
from bakeoff import loop
from bakeoff.batch import collate
from bakeoff.canaries import Canaries
from bakeoff.config import BudgetAxis, BudgetConfig, SamplingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.errors import CanaryError
from bakeoff.interfaces import NoiseAddress
from bakeoff.ledger import Ledger
from bakeoff.loop import Trainer
from bakeoff.memory.tracker import PeakMemory
from bakeoff.models.flops import flops_model
from bakeoff.reward_models.refit import RewardRefit
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.seeds import Seeds
from bakeoff.settings import cell_config
from bakeoff.types import Reward, Rollout
from bakeoff.weight_probe import WeightProbe

SETTINGS = {"learning_rate": 1e-2, "max_response_tokens": 12}


class OffPolicyOnPurpose(Canaries):
    """A fixed source is what the sampler gap is there to catch."""

    def check_metrics(self, metrics):
        pass


class FixedSource:
    """The same rollouts in every batch."""

    def __init__(self, rollouts, ledger, batches=None):
        self.rollouts, self.ledger, self.batches = rollouts, ledger, batches

    def prepare(self):
        pass

    def draw(self, batch):
        if self.batches is None:
            self.ledger.count_rollouts(self.rollouts, sampling_flops=1.0)
        return self.rollouts


class LivePolicy:
    """What the sampler draws now, half of each group right."""

    batches = None

    def __init__(self, sampler, prompts, ledger, *, same_noise=False):
        self.sampler, self.prompts, self.ledger = sampler, prompts, ledger
        self.same_noise = same_noise

    def prepare(self):
        pass

    def draw(self, batch):
        sampling = SamplingConfig(max_response_tokens=12)
        draws = [
            self.sampler.sample(
                self.prompts,
                group_size=1,
                sampling=sampling,
                noise=NoiseAddress(seed=0 if self.same_noise else sample, batch=batch),
            )
            for sample in range(4)
        ]
        drawn = [
            Rollout(
                problem=prompt.problem,
                prompt_ids=prompt.token_ids,
                completion=completion,
                reward=Reward(correct=sample % 2 == 0, outcome=float(sample % 2 == 0)),
                group=group,
            )
            for group, prompt in enumerate(self.prompts)
            for sample, completion in enumerate(draw[group][0] for draw in draws)
        ]
        self.ledger.count_rollouts(drawn, sampling_flops=1.0)
        return drawn


class DeafSampler(TransformersSampler):
    """Samples from the weights it began with, whatever is published."""

    def __init__(self, policy):
        frozen = replace(policy, model=copy.deepcopy(policy.model))
        super().__init__(frozen, autocast_dtype=None)

    def publish(self, model, *, version):
        self._version = version


@pytest.fixture
def trainer(policy, rollouts, prompts):
    def make(
        config,
        *,
        budget,
        batches=None,
        drawn=rollouts,
        canaries=OffPolicyOnPurpose,
        refit=None,
        live=False,
        same_noise=False,
        sampler=None,
        **settings,
    ):
        cell = cell_config("method", config, SETTINGS | settings)
        cell = replace(cell, budget=budget)
        algorithm = build(config)
        ledger = Ledger(PeakMemory(torch.device("cpu")))
        engine = LocalEngine(
            policy,
            algorithm.plan,
            optimizer=cell.optimizer,
            training=cell.training,
            temperature=1.0,
            autocast_dtype=None,
            init_seed=0,
        )
        sampler = sampler or TransformersSampler(policy, autocast_dtype=None)
        source = FixedSource(drawn, ledger, batches)
        if live:
            source = LivePolicy(sampler, prompts, ledger, same_noise=same_noise)
        return Trainer(
            config=cell,
            algorithm=algorithm,
            source=source,
            sampler=sampler,
            engine=engine,
            ledger=ledger,
            flops=flops_model(policy.model),
            canaries=canaries(
                autocast_dtype=None,
                verifier_error_ceiling=0.02,
                sampling=cell.sampling,
                gold_rewards=lambda problems: [Reward(correct=True, outcome=1.0)] * len(problems),
                reward_judges=True,
            ),
            probe=WeightProbe(
                prompts[0],
                sampler=sampler,
                engine=engine,
                sampling=cell.sampling,
                seed=0,
                pad_token_id=0,
            ),
            seeds=Seeds(data=0, sampling=0, initialisation=0),
            pad_token_id=0,
            refit=refit,
        )

    return make


def budget(axis, value):
    return BudgetConfig(budget_axis=axis, budget=value)


STEPS = BudgetAxis.OPTIMIZER_STEPS
TOKENS = BudgetAxis.SAMPLED_TOKENS


def test_epochs_times_minibatches_optimizer_steps_a_batch(trainer):
    run = trainer(PPOConfig(epochs=2, minibatches=3), budget=budget(STEPS, 12))
    assert [done for done, _ in run.train(done=0)] == [1, 2]
    assert run.ledger.optimizer_steps == 12
    tokens = sum(len(r.completion.token_ids) for r in run.source.rollouts)
    assert run.ledger.trained_tokens == 2 * 2 * tokens


def test_a_live_run_stops_at_its_token_budget(trainer, rollouts):
    tokens = sum(len(r.completion.token_ids) for r in rollouts)
    run = trainer(OnlineRFTConfig(), budget=budget(TOKENS, 2.5 * tokens))
    assert len(list(run.train(done=0))) == 3


def test_a_pool_outlives_its_token_budget_but_not_another(trainer):
    paid = trainer(RFTConfig(), budget=budget(TOKENS, 1), batches=4)
    paid.ledger.sampled_tokens = 100
    assert len(list(paid.train(done=0))) == 4
    stepped = trainer(RFTConfig(), budget=budget(STEPS, 3), batches=4)
    assert len(list(stepped.train(done=0))) == 3


def test_unscorable_rollouts_stay_out_of_the_loss(trainer, rollouts):
    unscored = [
        replace(r, reward=replace(r.reward, outcome=None)) if r.group == 0 else r for r in rollouts
    ]
    run = trainer(OnlineRFTConfig(), budget=budget(STEPS, 1), drawn=unscored)
    ((_, metrics),) = run.train(done=0)
    assert metrics["unscorable"] == 4
    assert metrics["kept_rollouts"] == 10


def test_a_rollout_that_no_verdict_came_on_stays_out_whatever_its_reward(trainer, rollouts):
    unjudged = [
        replace(r, reward=replace(r.reward, correct=None)) if r.group == 0 else r for r in rollouts
    ]
    run = trainer(GRPOConfig(kl_coefficient=0), budget=budget(STEPS, 1), drawn=unjudged)
    ((_, metrics),) = run.train(done=0)
    assert metrics["kept_rollouts"] == len(rollouts) - 4


def test_a_batch_without_a_reward_stops_the_run(trainer, rollouts):
    unscored = [replace(r, reward=replace(r.reward, outcome=None)) for r in rollouts]
    run = trainer(OnlineRFTConfig(), budget=budget(STEPS, 1), drawn=unscored)
    with pytest.raises(CanaryError):
        list(run.train(done=0))


def test_only_samples_of_the_policy_itself_measure_its_distance_from_the_start(trainer):
    offline = trainer(RFTConfig(), budget=budget(STEPS, 1), batches=4)
    online = trainer(OnlineRFTConfig(), budget=budget(STEPS, 1))
    ((_, off),), ((_, on),) = offline.train(done=0), online.train(done=0)
    assert off["kl_to_start"] is None
    assert on["kl_to_start"] == pytest.approx(0, abs=1e-6)


def test_every_eighth_problem_tells_the_distance_from_the_start(trainer, rollouts, monkeypatch):
    # Six groups here; of every second one the responses, all of them, whatever the method keeps.
    monkeypatch.setattr(loop, "KL_EVERY", 2)
    run = trainer(OnlineRFTConfig(), budget=budget(STEPS, 1), drawn=rollouts)
    seen = []

    def measure(batch):
        seen.append(batch)
        return replace(batch, start_logprobs=batch.sampler_logprobs - math.log(2))

    monkeypatch.setattr(run.engine, "measure", measure)
    ((_, metrics),) = run.train(done=0)
    assert seen[0].groups.tolist() == [0] * 4 + [2] * 4 + [4] * 4
    assert metrics["kl_to_start"] == pytest.approx(math.log(2) - 1 / 2, rel=1e-5)


def test_a_source_that_misses_an_update_is_caught(trainer):
    run = trainer(GRPOConfig(), budget=budget(STEPS, 3), canaries=Canaries)
    with pytest.raises(CanaryError, match="sampler and trainer disagree"):
        list(run.train(done=0))


@pytest.mark.parametrize("config", [GRPOConfig(), PPOConfig(minibatches=2), RFTConfig()])
def test_no_canary_minds_a_healthy_run(trainer, config):
    """Long enough for the seldom checks; the rate is one that learns."""
    run = trainer(
        config, budget=budget(STEPS, 45), canaries=Canaries, live=True, learning_rate=1e-3
    )
    batches = len(list(run.train(done=0)))
    assert batches >= 20
    assert run.canaries.collapsed is None


def test_a_sampler_that_keeps_its_old_weights_is_caught_at_the_first_publish(trainer, policy):
    run = trainer(
        GRPOConfig(),
        budget=budget(STEPS, 9),
        canaries=Canaries,
        live=True,
        sampler=DeafSampler(policy),
        learning_rate=2e-4,
    )
    with pytest.raises(CanaryError, match="stale weights"):
        list(run.train(done=0))
    assert run.engine.version == 1


def test_an_offline_method_is_told_before_its_evaluation_that_the_sampler_is_stale(trainer, policy):
    run = trainer(
        RFTConfig(),
        budget=budget(STEPS, 3),
        batches=3,
        canaries=Canaries,
        sampler=DeafSampler(policy),
    )
    with pytest.raises(CanaryError, match="stale weights"):
        list(run.train(done=0))
    assert run.engine.version == 3


def test_groups_whose_samples_share_their_noise_are_caught(trainer):
    settings = {"canaries": Canaries, "live": True, "learning_rate": 1e-4}
    run = trainer(GRPOConfig(), budget=budget(STEPS, 5), same_noise=True, **settings)
    with pytest.raises(CanaryError, match="6 of 24 responses are distinct"):
        list(run.train(done=0))


def test_a_reference_that_drifts_is_caught(trainer):
    run = trainer(GRPOConfig(), budget=budget(STEPS, 30))
    with pytest.raises(CanaryError, match="frozen weights of reference have changed"):
        for done, _ in run.train(done=0):
            if done == 3:
                next(run.engine._reference.parameters()).data[0, 0] += 1e-6
    assert done == 19  # the twentieth batch looks


def test_a_reference_that_drifts_near_the_end_is_caught_before_the_evaluation(trainer):
    run = trainer(GRPOConfig(), budget=budget(STEPS, 3))
    with pytest.raises(CanaryError, match="frozen weights of reference have changed"):
        for _ in run.train(done=0):
            next(run.engine._reference.parameters()).data[0, 0] += 1e-6


def test_a_frozen_reward_model_that_is_trained_is_caught(trainer):
    reward_model = torch.nn.Linear(2, 1)
    run = replace(trainer(GRPOConfig(), budget=budget(STEPS, 2)), reward_model=reward_model)
    with pytest.raises(CanaryError, match="frozen weights of reward model have changed"):
        for _ in run.train(done=0):
            reward_model.weight.data += 1e-3


def test_a_collapsed_policy_ends_the_run_before_its_budget(trainer, rollouts):
    """From the second batch on the policy says its EOS at once, sure of itself."""
    run = trainer(GRPOConfig(kl_coefficient=0), budget=budget(TOKENS, 10_000), learning_rate=1e-9)
    one_token = [
        replace(
            r,
            completion=replace(
                r.completion, token_ids=r.completion.token_ids[:1], logprobs=(-1e-6,)
            ),
            reward=Reward(correct=False, outcome=0.0),
        )
        for r in rollouts
    ]
    batches = []
    for done, _ in run.train(done=0):
        batches.append(done)
        run.source.rollouts = one_token
    assert batches[-1] == 9
    assert run.canaries.collapsed is not None
    assert "collapsed at batch 9" in run.canaries.collapsed
    assert list(run.train(done=9)) == []  # resumed, it is over still


def test_truncated_responses_leave_the_loss_only_when_asked(trainer, rollouts):
    cut = sum(r.completion.finish == "length" for r in rollouts)
    assert 0 < cut < len(rollouts)
    kept = []
    for mask in (False, True):
        run = trainer(GRPOConfig(), budget=budget(STEPS, 1), mask_truncated=mask)
        ((_, metrics),) = run.train(done=0)
        kept.append(metrics["kept_rollouts"])
    assert kept == [len(rollouts), len(rollouts) - cut]


def test_critic_warm_up_batches_cost_and_leave_the_policy_alone(trainer):
    run = trainer(PPOConfig(critic_warmup_batches=2), budget=budget(STEPS, 3))
    versions = [run.engine.version for _ in run.train(done=0)]
    assert versions == [0, 0, 1]
    assert run.ledger.optimizer_steps == 3
    assert run.ledger.flops > 0


def test_the_reference_is_refreshed_when_the_plan_says(trainer):
    config = GRPOConfig(iteration_batches=2, reset_reference=True)
    run = trainer(config, budget=budget(STEPS, 4))
    kl = [metrics["kl_to_reference"] for _, metrics in run.train(done=0)]
    assert kl[0] == pytest.approx(0, abs=1e-6)
    assert kl[1] > 1e-5
    assert kl[2] == pytest.approx(0, abs=1e-6)
    assert kl[3] > 1e-5


@pytest.fixture
def observed():
    """The sizes of the iterations that a refit saw, and a refit that notes them."""
    sizes = []

    def label(seen, _refit):
        sizes.append(len(seen))
        return []

    refit = RewardRefit(
        trainer=None,  # nothing is labelled, so nothing is trained on
        label=label,
        history=(),
        replay_share=0.0,
        solutions=1 << 30,
        seed=0,
        ledger=Ledger(PeakMemory(torch.device("cpu"))),
        flops_per_token=0.0,
    )
    return sizes, refit


def test_a_refit_comes_after_every_iteration_with_all_of_its_rollouts(trainer, rollouts, observed):
    sizes, refit = observed
    config = GRPOConfig(iteration_batches=2, refit_reward_model=True)
    run = trainer(config, budget=budget(STEPS, 5), refit=refit)
    at_batch = [len(sizes) for _ in run.train(done=0)]
    assert at_batch == [0, 1, 1, 2, 2]
    assert sizes == [2 * len(rollouts)] * 2


def test_a_resumed_run_ends_its_iterations_where_the_whole_one_does(trainer, rollouts, observed):
    sizes, refit = observed
    config = GRPOConfig(iteration_batches=3, refit_reward_model=True)
    run = trainer(config, budget=budget(STEPS, 2), refit=refit)
    assert [done for done, _ in run.train(done=2)] == [3, 4]
    # The two rollout batches before the stop would come back with the checkpoint.
    assert sizes == [len(rollouts)]


def test_a_refit_sees_the_responses_that_have_no_reward(trainer, rollouts, observed):
    sizes, refit = observed
    unscored = [
        replace(r, reward=replace(r.reward, outcome=None)) if r.group == 0 else r for r in rollouts
    ]
    config = GRPOConfig(iteration_batches=1, refit_reward_model=True)
    list(trainer(config, budget=budget(STEPS, 1), refit=refit, drawn=unscored).train(done=0))
    assert sizes == [len(rollouts)]


def test_iterations_without_a_reset_keep_the_reference(trainer, observed):
    _, refit = observed
    config = GRPOConfig(iteration_batches=1, refit_reward_model=True)
    run = trainer(config, budget=budget(STEPS, 3), refit=refit)
    kl = [metrics["kl_to_reference"] for _, metrics in run.train(done=0)]
    assert kl[0] == pytest.approx(0, abs=1e-6)
    assert min(kl[1:]) > 1e-5


@pytest.mark.parametrize(
    ("aggregation", "as_if"),
    [(None, "sequence_sum"), ("sequence_sum", "sequence_sum"), ("token_mean", "token_mean")],
)
def test_the_mean_is_the_methods_own_unless_a_cell_sets_another(
    trainer, rollouts, aggregation, as_if
):
    """RLOO's loss at rewards 1, 0, 1, 0: advantages of +-2/3 on -log pi of the response."""
    run = trainer(
        RLOOConfig(group_size=4, kl_coefficient=0),
        budget=budget(STEPS, 1),
        aggregation=aggregation,
    )
    batch = collate(rollouts, pad_token_id=0)
    losses = torch.where(batch.correct, 2 / 3, -2 / 3)[:, None] * -run.engine.policy_logprobs(batch)
    sums = (losses * batch.response_mask).sum(dim=1)
    expected = {
        "sequence_sum": sums.mean(),
        "token_mean": sums.sum() / batch.response_mask.sum(),
    }
    ((_, metrics),) = run.train(done=0)
    assert metrics["loss"] == pytest.approx(expected[as_if].item(), rel=1e-4)
    assert expected["sequence_sum"] != pytest.approx(expected["token_mean"], rel=0.5)


QUICK = {"online_rft", "grpo", "ppo"}
LEARNERS = [
    pytest.param(config, id=name, marks=() if name in QUICK else pytest.mark.slow)
    for name, config in PRESETS.items()
    if name != "sft"  # takes everything it is shown for right
]


@pytest.mark.parametrize("config", LEARNERS)
def test_every_method_makes_rewarded_responses_likelier(trainer, rollouts, config):
    run = trainer(config, budget=budget(STEPS, 25), learning_rate=3e-3)
    batch = collate(rollouts, pad_token_id=0)
    before = run.engine.policy_logprobs(batch)
    list(run.train(done=0))
    after = run.engine.policy_logprobs(batch)
    moved = ((after - before) * batch.response_mask).sum(dim=1)
    assert moved[batch.correct].mean() > moved[~batch.correct].mean() + 0.5
