from dataclasses import replace

import pytest
import torch

from algorithms.configs import OnlineRFTConfig, PPOConfig, RFTConfig
from algorithms.registry import build
from bakeoff.batch import Credit, collate
from bakeoff.config import OptimizerConfig, TrainingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.interfaces import Plan, Source, UpdateResult
from bakeoff.metrics import achieved_kl, batch_metrics, explained_variance

UPDATE = UpdateResult(
    grad_norm=2.0,
    loss=0.5,
    kept_rollouts=3,
    trained_tokens=9,
    ratio_max=1.5,
    sampler_gap_max=0.1,
    token_means={"entropy": 0.7, "ratio_mean": 1.1, "sampler_gap": 0.01},
)


def metrics_of(config, rollouts, update=UPDATE):
    batch = collate(rollouts, pad_token_id=0)
    credit = Credit(advantages=batch.response_mask.float(), keep=batch.correct)
    return batch_metrics(build(config).plan, rollouts, batch, credit, [update])


def with_rewards(rollouts, rewards):
    return [
        replace(r, reward=replace(r.reward, correct=bool(v), outcome=float(v)))
        for r, v in zip(rollouts, rewards, strict=True)
    ]


def test_rewards_lengths_and_shares_by_hand(rollouts):
    chosen = with_rewards(rollouts[:8], [1, 1, 1, 1, 1, 0, 0, 0])
    metrics = metrics_of(OnlineRFTConfig(), chosen)
    lengths = [len(r.completion.token_ids) for r in chosen]
    assert metrics["reward"] == metrics["pass_rate"] == 5 / 8
    assert metrics["response_tokens_correct"] == pytest.approx(sum(lengths[:5]) / 5)
    assert metrics["response_tokens_wrong"] == pytest.approx(sum(lengths[5:]) / 3)
    assert metrics["zero_variance_share"] == 0.5
    assert metrics["truncated_share"] == sum(r.completion.finish == "length" for r in chosen) / 8


def test_repeated_responses_lower_the_unique_share(rollouts):
    one = replace(rollouts[1], completion=rollouts[0].completion)
    assert metrics_of(OnlineRFTConfig(), [rollouts[0], one])["unique_share"] == 0.5


def test_all_wrong_has_no_length_of_correct_ones(rollouts):
    metrics = metrics_of(OnlineRFTConfig(), with_rewards(rollouts[:4], [0] * 4))
    assert metrics["response_tokens_correct"] is None


def test_numbers_that_mean_nothing_for_a_method_are_none(rollouts):
    offline, online = metrics_of(RFTConfig(), rollouts), metrics_of(OnlineRFTConfig(), rollouts)
    for name in ("sampler_gap_mean", "sampler_gap_max"):
        assert offline[name] is None
        assert online[name] is not None
    assert online["ratio_mean"] is None
    assert metrics_of(PPOConfig(), rollouts)["ratio_mean"] == 1.1


def test_unscorable_rollouts_are_counted(rollouts):
    unscored = replace(rollouts[0], reward=replace(rollouts[0].reward, outcome=None))
    batch = collate(rollouts[1:], pad_token_id=0)
    credit = Credit(advantages=batch.response_mask.float(), keep=batch.correct)
    plan = build(OnlineRFTConfig()).plan
    metrics = batch_metrics(plan, [unscored, *rollouts[1:]], batch, credit, [UPDATE])
    assert metrics["unscorable"] == 1


def test_explained_variance_is_one_for_a_perfect_critic_and_zero_for_a_constant(rollouts):
    batch = collate(rollouts, pad_token_id=0)
    returns = torch.randn(batch.response_mask.shape, generator=torch.Generator().manual_seed(0))
    credit = Credit(advantages=returns, keep=batch.correct, returns=returns)
    assert explained_variance(replace(batch, old_values=returns), credit) == pytest.approx(1)
    constant = replace(batch, old_values=torch.full_like(returns, 3.0))
    assert explained_variance(constant, credit) == pytest.approx(0, abs=1e-5)
    assert explained_variance(batch, credit) is None


def test_the_achieved_kl_is_zero_at_the_start_and_grows_with_a_change(policy, rollouts):
    engine = LocalEngine(
        policy,
        Plan(source=Source.CURRENT_POLICY, group_size=4),
        optimizer=OptimizerConfig(),
        training=TrainingConfig(),
        temperature=1.0,
        autocast_dtype=None,
        init_seed=0,
    )
    batch = collate(rollouts, pad_token_id=0)

    def measured():
        return achieved_kl(engine.measure(batch), engine.policy_logprobs(batch))

    assert measured() == pytest.approx(0, abs=1e-9)
    for parameter in engine.model.parameters():
        parameter.data *= 1.05
    kl = measured()
    log_ratio = engine.measure(batch).start_logprobs - engine.policy_logprobs(batch)
    expected = [
        (log_ratio[row, t].exp() - 1 - log_ratio[row, t]).item()
        for row, t in batch.response_mask.nonzero().tolist()
    ]
    assert kl == pytest.approx(sum(expected) / len(expected), rel=1e-4)
    assert kl > 1e-4
