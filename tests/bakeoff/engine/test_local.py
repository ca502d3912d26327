import copy
from dataclasses import replace

import pytest
import torch

from algorithms import PRESETS
from algorithms.configs import DPOConfig, GRPOConfig, OnlineRFTConfig, PPOConfig
from algorithms.registry import build
from bakeoff.aggregation import loss_weights
from bakeoff.batch import collate
from bakeoff.config import Aggregation, OptimizerConfig, TrainingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.errors import CanaryError
from bakeoff.memory.components import Component
from bakeoff.models.loading import Policy
from bakeoff.rollouts.sampler import TransformersSampler

METHODS = PRESETS | {
    "ppo_shared": PPOConfig(critic="shared", critic_head_init="normal"),
    "ppo_normal": PPOConfig(critic_head_init="normal"),
    "grpo_no_kl": GRPOConfig(kl_coefficient=0),
}
ONE_CUT = 1 << 30
OPTIMIZER = OptimizerConfig(learning_rate=1e-2, max_grad_norm=1e30)


def engine_of(
    policy: Policy,
    config,
    *,
    tokens=ONE_CUT,
    temperature=1.0,
    optimizer=OPTIMIZER,
    measure_kl=True,
):
    return LocalEngine(
        policy,
        build(config).plan,
        optimizer=optimizer,
        training=TrainingConfig(micro_batch_tokens=tokens, measure_kl=measure_kl),
        temperature=temperature,
        autocast_dtype=None,
        init_seed=0,
    )


def step(engine, config, batch, *, how=Aggregation.SEQUENCE_MEAN, critic_only=False):
    algorithm = build(config)
    annotated = engine.measure(engine.annotate(batch))
    credit = algorithm.assign_credit(annotated)
    weights = loss_weights(batch.response_mask, credit.keep, how, max_response_tokens=12)
    return engine.update(
        annotated, credit, weights, algorithm.token_losses, critic_only=critic_only
    )


def gradients(module):
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def weights_of(module):
    return {n: p.detach().clone() for n, p in module.named_parameters()}


def relative_error(one, other):
    """Of the largest entry: float32 sums in another order err by a share of what they sum."""
    return ((one - other).abs().max() / other.abs().max().clamp(min=1e-8)).item()


def clone(policy):
    return replace(policy, model=copy.deepcopy(policy.model))


@pytest.fixture
def batch(rollouts):
    return collate(rollouts, pad_token_id=0)


@pytest.mark.parametrize("how", Aggregation)
@pytest.mark.parametrize("name", METHODS)
def test_the_gradient_does_not_depend_on_the_micro_batch_size(policy, batch, name, how):
    found = []
    for tokens in (ONE_CUT, 100, 1):
        engine = engine_of(clone(policy), METHODS[name], tokens=tokens)
        step(engine, METHODS[name], batch, how=how)
        found.append(gradients(engine.model))
    assert any(g.abs().max() > 1e-4 for g in found[0].values())
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for key, gradient in found[0].items():
            assert relative_error(other[key], gradient) < 1e-5, key


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_grpo_gradient_equals_the_papers_formula_on_full_logits(policy, rollouts, temperature):
    """Eq. 3 written out with whole logits, one rollout at a time."""
    config = GRPOConfig(group_size=4, kl_coefficient=0.3)
    engine = engine_of(clone(policy), config, temperature=temperature)
    # A reference that is not the policy, so that the KL has a gradient.
    torch.manual_seed(0)
    for parameter in engine.model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    twin = clone(replace(policy, model=engine.model)).model
    step(engine, config, collate(rollouts, pad_token_id=0))

    def logprobs(model, rollout):
        ids = torch.tensor([rollout.prompt_ids + rollout.completion.token_ids])
        start = len(rollout.prompt_ids)
        table = (model(ids).logits[0] / temperature).log_softmax(dim=1)[start - 1 : -1]
        return table.gather(1, ids[0, start:, None])[:, 0]

    total = 0.0
    for rollout in rollouts:
        ours = logprobs(twin, rollout)
        with torch.no_grad():
            reference = logprobs(policy.model, rollout)
        # Rewards 1, 0, 1, 0: mean 1/2 and population std 1/2.
        advantage = 1.0 if rollout.reward.correct else -1.0
        ratio = (ours - ours.detach()).exp()
        k3 = (reference - ours).exp() - (reference - ours) - 1
        total = total + (-(ratio * advantage) + 0.3 * k3).mean() / len(rollouts)
    total.backward()
    for name, parameter in twin.named_parameters():
        ours = dict(engine.model.named_parameters())[name].grad
        assert relative_error(ours, parameter.grad) < 1e-4, name


@pytest.mark.parametrize("name", METHODS)
def test_the_ratio_is_one_and_nothing_is_clipped_at_the_first_update(policy, batch, name):
    result = step(engine_of(policy, METHODS[name]), METHODS[name], batch)
    assert result.token_means["ratio_mean"] == pytest.approx(1, abs=1e-5)
    assert result.ratio_max == pytest.approx(1, abs=1e-4)
    assert result.token_means.get("clip_fraction", 0.0) == 0.0
    assert result.token_means["sampler_gap"] < 1e-4


def test_the_dpo_gradient_equals_the_papers_formula_on_full_logits(policy, rollouts):
    """arXiv:2305.18290v3 eq. 7 written out with whole logits, one pair at a time."""
    config = DPOConfig(group_size=4, kl_coefficient=0.3)
    engine = engine_of(clone(policy), config)
    torch.manual_seed(0)
    for parameter in engine.model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    twin = clone(replace(policy, model=engine.model)).model
    batch = collate(rollouts, pad_token_id=0)
    step(engine, config, batch, how=Aggregation.SEQUENCE_SUM)

    def logprob(model, rollout):
        ids = torch.tensor([rollout.prompt_ids + rollout.completion.token_ids])
        start = len(rollout.prompt_ids)
        table = model(ids).logits[0].log_softmax(dim=1)[start - 1 : -1]
        return table.gather(1, ids[0, start:, None]).sum()

    # Correct, wrong, correct, wrong in every group of four.
    pairs = [(rollouts[i], rollouts[i + 1]) for i in range(0, len(rollouts), 2)]
    for chosen, rejected in pairs:
        with torch.no_grad():
            reference = logprob(policy.model, chosen) - logprob(policy.model, rejected)
        margin = logprob(twin, chosen) - logprob(twin, rejected) - reference
        (-torch.nn.functional.logsigmoid(0.3 * margin) / len(pairs)).backward()
    ours = dict(engine.model.named_parameters())
    for name, parameter in twin.named_parameters():
        assert relative_error(ours[name].grad, parameter.grad) < 1e-4, name


def test_later_epochs_leave_the_ratio_of_one_and_get_clipped(policy, batch):
    config = GRPOConfig(epochs=4, clip_epsilon=0.01)
    engine = engine_of(policy, config)
    algorithm = build(config)
    annotated = engine.annotate(batch)
    credit = algorithm.assign_credit(annotated)
    weights = loss_weights(
        batch.response_mask, credit.keep, Aggregation.SEQUENCE_MEAN, max_response_tokens=12
    )
    results = [engine.update(annotated, credit, weights, algorithm.token_losses) for _ in range(4)]
    assert results[0].token_means["clip_fraction"] == 0.0
    assert results[-1].token_means["clip_fraction"] > 0.05
    assert results[-1].ratio_max > 1.01


def test_nothing_kept_moves_nothing_not_even_by_momentum(policy, batch):
    config = OnlineRFTConfig()
    engine = engine_of(policy, config)
    step(engine, config, batch)  # fills Adam's momentum
    before = weights_of(engine.model)
    result = step(engine, config, replace(batch, correct=torch.zeros_like(batch.correct)))
    assert result.kept_rollouts == result.trained_tokens == 0
    assert all(torch.equal(before[n], p) for n, p in engine.model.named_parameters())


@pytest.mark.parametrize("critic", ["separate", "shared"])
def test_critic_warm_up_leaves_the_policy_alone_and_fits_the_critic(policy, batch, critic):
    config = PPOConfig(critic=critic, kl_coefficient=0, value_clip_epsilon=None)
    engine = engine_of(policy, config)
    before = weights_of(engine.model)
    losses = [step(engine, config, batch, critic_only=True).critic_loss for _ in range(20)]
    assert all(torch.equal(before[n], p) for n, p in engine.model.named_parameters())
    assert losses[-1] < 0.8 * losses[0]
    assert engine.version == 0


def test_a_separate_critic_gives_the_policy_no_gradient_of_its_loss(policy, batch):
    zero_reward = replace(batch, rewards=torch.zeros_like(batch.rewards))
    config = PPOConfig(kl_coefficient=0)
    engine = engine_of(policy, config)
    step(engine, config, zero_reward)
    # Zero rewards and a zero-initialised head: no advantage, so no policy gradient.
    assert all(not g.any() for g in gradients(engine.model).values())


def test_values_start_at_zero_and_are_zero_off_the_response(policy, batch):
    zeros = engine_of(clone(policy), PPOConfig()).annotate(batch).old_values
    assert not zeros.any()
    normal = engine_of(policy, PPOConfig(critic_head_init="normal")).annotate(batch).old_values
    assert normal[batch.response_mask].all()
    assert not normal[~batch.response_mask].any()


def test_reference_stays_until_it_is_refreshed(policy, batch):
    config = GRPOConfig(iteration_batches=1, reset_reference=True)
    engine = engine_of(policy, config)
    first = engine.annotate(batch).ref_logprobs
    step(engine, config, batch)
    assert torch.equal(engine.annotate(batch).ref_logprobs, first)
    engine.refresh_reference()
    again = engine.measure(engine.annotate(batch))
    assert torch.allclose(again.ref_logprobs, engine.policy_logprobs(batch))
    assert not torch.allclose(again.ref_logprobs, first)
    # The achieved KL keeps its anchor.
    assert torch.equal(again.start_logprobs, first)


@pytest.mark.parametrize("measure_kl", [True, False])
def test_a_reference_that_moves_is_never_taken_for_the_start(policy, batch, measure_kl):
    config = GRPOConfig(iteration_batches=1, reset_reference=True)
    engine = engine_of(policy, config, measure_kl=measure_kl)
    start = engine.policy_logprobs(batch)
    step(engine, config, batch)
    engine.refresh_reference()
    measured = engine.measure(engine.annotate(batch)).start_logprobs
    assert measured is None if not measure_kl else torch.equal(measured, start)


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_engine_continues_bitwise(policy, batch, name, tmp_path):
    config = METHODS[name]
    optimizer = replace(OPTIMIZER, learning_rate_warmup_steps=5)
    straight = engine_of(clone(policy), config, optimizer=optimizer)
    for _ in range(2):
        step(straight, config, batch)
    straight.save(tmp_path)
    resumed = engine_of(clone(policy), config, optimizer=optimizer)
    resumed.load(tmp_path)
    for engine in (straight, resumed):
        for _ in range(2):
            step(engine, config, batch)
    assert straight.version == resumed.version == 4
    one, two = weights_of(straight.model), weights_of(resumed.model)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_loss_that_is_not_finite_stops_the_run(policy, batch):
    with pytest.raises(CanaryError, match="loss is nan"):
        step(
            engine_of(policy, PPOConfig()),
            PPOConfig(),
            replace(batch, rewards=batch.rewards / 0 * 0),
        )


def test_a_gradient_that_is_not_finite_stops_the_run_by_its_name(policy, batch):
    engine = engine_of(policy, PPOConfig())
    next(engine._critic.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(CanaryError, match="gradient norm of the critic is nan"):
        step(engine, PPOConfig(), batch)


def test_weights_that_a_step_makes_infinite_stop_the_run(policy, batch):
    huge = replace(OPTIMIZER, learning_rate=1e38)
    with pytest.raises(CanaryError, match="norm of the policy's weights is"):
        step(engine_of(policy, GRPOConfig(), optimizer=huge), GRPOConfig(), batch)


def test_frozen_checksums_change_with_a_refresh_and_a_drift_alone(policy, batch):
    config = GRPOConfig(iteration_batches=2, reset_reference=True)
    engine = engine_of(policy, config)
    before = engine.frozen_checksums()
    assert before.keys() == {"reference", "start"}
    step(engine, config, batch)
    assert engine.frozen_checksums() == before
    engine.refresh_reference()
    refreshed = engine.frozen_checksums()
    assert refreshed["start"] == before["start"]
    assert refreshed["reference"] != before["reference"]
    next(engine._start.parameters()).data.view(-1)[0] += 1e-6
    assert engine.frozen_checksums()["start"] != before["start"]


def test_one_copy_that_is_reference_and_start_has_one_checksum(policy):
    assert engine_of(policy, GRPOConfig()).frozen_checksums().keys() == {"reference"}
    assert engine_of(policy, OnlineRFTConfig(), measure_kl=False).frozen_checksums() == {}


def test_a_published_policy_holds_no_gradients(policy, batch):
    config = PPOConfig()
    engine = engine_of(clone(policy), config)
    step(engine, config, batch)
    assert gradients(engine.model)
    engine.publish_policy(TransformersSampler(policy, autocast_dtype=None))
    owned = engine.memory_owners()
    assert not owned[Component.POLICY_GRADIENTS]
    assert not owned[Component.CRITIC_GRADIENTS]


@pytest.mark.parametrize("name", ["grpo", "ppo", "ppo_shared"])
def test_bfloat16_passes_follow_the_float32_ones(policy, batch, name):
    found = []
    for dtype in (None, torch.bfloat16):
        engine = LocalEngine(
            clone(policy),
            build(METHODS[name]).plan,
            optimizer=OPTIMIZER,
            training=TrainingConfig(),
            temperature=1.0,
            autocast_dtype=dtype,
            init_seed=0,
        )
        step(engine, METHODS[name], batch)
        found.append(torch.cat([g.flatten() for g in gradients(engine.model).values()]))
    exact, rounded = found
    assert torch.cosine_similarity(exact, rounded, dim=0) > 0.98
