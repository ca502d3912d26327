"""Table 10 of DeepSeekMath (arXiv:2402.03300v3): minus the gradient is weight x coefficient."""

from dataclasses import fields, replace

import pytest
import torch

from algorithms import PRESETS
from algorithms.configs import (
    GRPOConfig,
    OnlineRFTConfig,
    PPOConfig,
    ReinforceConfig,
    RFTConfig,
    SFTConfig,
)
from algorithms.registry import build
from bakeoff.aggregation import loss_weights
from bakeoff.batch import Credit, Outputs, TokenBatch
from bakeoff.config import Aggregation
from bakeoff.interfaces import Algorithm, Source


def gradient_coefficient(
    algorithm: Algorithm, batch: TokenBatch
) -> tuple[torch.Tensor, torch.Tensor, Credit]:
    """GC of eq. 5 by autograd, the weights 1/(N |o|), and the credit, at pi_old = pi_theta."""
    credit = algorithm.assign_credit(batch)
    weights = loss_weights(
        batch.response_mask, credit.keep, Aggregation.SEQUENCE_MEAN, max_response_tokens=7
    )
    logprobs = batch.old_logprobs.clone().requires_grad_()
    outputs = Outputs(logprobs=logprobs, values=batch.old_values)
    losses = algorithm.token_losses(batch, credit, outputs)
    (losses.policy * weights).sum().backward()
    return -logprobs.grad / weights, weights, credit


def test_sft_coefficient_is_one(batch):
    coefficient, weights, _ = gradient_coefficient(build(SFTConfig()), batch)
    assert torch.allclose(coefficient[weights > 0], torch.ones(24))


@pytest.mark.parametrize("config", [RFTConfig(), OnlineRFTConfig()])
def test_rft_coefficient_is_the_indicator_of_eq_10(batch, config):
    coefficient, weights, _ = gradient_coefficient(build(config), batch)
    assert torch.allclose(coefficient[weights > 0], torch.ones(14))
    assert not weights[~batch.correct].any()


def test_rejected_rollouts_leave_the_denominator(batch):
    _, weights, _ = gradient_coefficient(build(OnlineRFTConfig()), batch)
    assert torch.allclose(weights.sum(dim=1)[batch.correct], torch.tensor(1 / 3))


def test_ppo_coefficient_is_the_advantage_of_eq_18(batch):
    coefficient, weights, credit = gradient_coefficient(build(PPOConfig()), batch)
    assert torch.allclose(coefficient[weights > 0], credit.advantages[weights > 0], atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.04, 0.5])
def test_grpo_coefficient_is_eq_21(batch, beta):
    algorithm = build(GRPOConfig(kl_coefficient=beta))
    coefficient, weights, credit = gradient_coefficient(algorithm, batch)
    ratio = torch.exp(batch.ref_logprobs - batch.old_logprobs)
    expected = credit.advantages + beta * (ratio - 1)
    assert torch.allclose(coefficient[weights > 0], expected[weights > 0], atol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_no_gradient_leaves_the_response(batch, name):
    algorithm = build(PRESETS[name])
    credit = algorithm.assign_credit(batch)
    assert not credit.advantages[~batch.response_mask].any()
    assert not credit.advantages.requires_grad


CLIPPED = [name for name, config in PRESETS.items() if hasattr(config, "clip_epsilon")]


def test_every_preset_is_built_into_a_method_of_its_own():
    methods = {name: build(config) for name, config in PRESETS.items()}
    assert all(method.config is PRESETS[name] for name, method in methods.items())
    described = [(m.plan, tuple(m.conventions.items())) for m in methods.values()]
    assert [pair for pair in described if described.count(pair) > 1] == []
    for method in methods.values():
        assert method.conventions.keys() == {"advantage", "loss", "kl"}
        assert all(method.conventions.values())


@pytest.mark.parametrize("name", [*CLIPPED, "cispo"])
def test_clip_fraction_is_zero_at_the_first_update(batch, name):
    algorithm = build(PRESETS[name])
    credit = algorithm.assign_credit(batch)
    outputs = Outputs(logprobs=batch.old_logprobs, values=batch.old_values)
    assert not algorithm.token_losses(batch, credit, outputs).metrics["clip_fraction"].any()


@pytest.mark.parametrize("name", CLIPPED)
def test_every_clip_may_be_switched_off(batch, moved, name):
    names = {field.name for field in fields(PRESETS[name])}
    off = dict.fromkeys({"clip_epsilon", "clip_epsilon_high"} & names)
    clipped, bare = (build(config) for config in (PRESETS[name], replace(PRESETS[name], **off)))
    credit = bare.assign_credit(batch)
    outputs = Outputs(logprobs=moved, values=batch.old_values)
    fractions = [
        method.token_losses(batch, credit, outputs).metrics["clip_fraction"]
        for method in (clipped, bare)
    ]
    assert fractions[0].any()
    assert not fractions[1].any()
    assert bare.conventions["loss"].endswith("epsilon none")


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_plan_does_not_ask_for_is_not_read(batch, name):
    algorithm = build(PRESETS[name])
    plan = algorithm.plan
    asked = {
        "ref_logprobs": plan.reference,
        "old_values": plan.critic is not None,
        "old_logprobs": plan.credit_uses_old_logprobs,
    }
    bare = replace(batch, **{field: None for field, wanted in asked.items() if not wanted})
    credit = algorithm.assign_credit(bare)
    # The engine always knows pi_old by the time of the update.
    bare = replace(bare, old_logprobs=batch.old_logprobs)
    algorithm.token_losses(
        bare, credit, Outputs(logprobs=batch.old_logprobs, values=batch.old_values)
    )


@pytest.mark.parametrize(
    "name", ["grpo", "ppo", "ppo_process", "dr_grpo", "online_rft", "rloo", "reinforce++"]
)
def test_without_kl_no_reference_is_asked_for_or_read(batch, name):
    algorithm = build(replace(PRESETS[name], kl_coefficient=0))
    assert not algorithm.plan.reference
    assert algorithm.conventions["kl"] == "none"
    batch = replace(batch, ref_logprobs=None)
    credit = algorithm.assign_credit(batch)
    losses = algorithm.token_losses(
        batch, credit, Outputs(logprobs=batch.old_logprobs, values=batch.old_values)
    )
    assert "kl_to_reference" not in losses.metrics


GROUP_RELATIVE = {
    "grpo": GRPOConfig(),
    "grpo_process": GRPOConfig(supervision="process"),
    "dr_grpo": PRESETS["dr_grpo"],
    "dapo": PRESETS["dapo"],
    "gspo": PRESETS["gspo"],
    "cispo": PRESETS["cispo"],
    "rloo": replace(PRESETS["rloo"], kl_coefficient=0),
    "reinforce_centred": ReinforceConfig(subtract_mean=True, divide_by_std=True),
    "reinforce_rej": PRESETS["reinforce_rej"],
}


@pytest.mark.parametrize("name", GROUP_RELATIVE)
def test_a_group_of_equal_rewards_has_exactly_no_advantage(batch, name):
    """0.1 has no exact float: rounding must not be blown up."""
    equal = replace(
        batch,
        rewards=torch.tensor([0.1, 0.1, 0.1, 1.0, 0.0, 0.0]),
        correct=torch.tensor([False, False, False, True, False, False]),
        step_rewards=torch.tensor([0.1, 0.1, 0.1, 1.0, 0.0, 0.0])[:, None] * batch.step_mask,
    )
    advantages = build(GROUP_RELATIVE[name]).assign_credit(equal).advantages
    assert not advantages[:3].any()
    assert advantages[3:].any()


@pytest.mark.parametrize("name", ["reinforce++", "reinforce++_baseline"])
def test_a_batch_of_equal_rewards_has_exactly_no_whitened_advantage(batch, name):
    """Over the batch, not the group; and with the penalty out of the reward."""
    equal = replace(batch, rewards=torch.full((6,), 0.1))
    config = replace(PRESETS[name], kl_coefficient=0)
    assert not build(config).assign_credit(equal).advantages.any()


def test_offline_and_online_rft_differ_only_in_who_samples(batch):
    offline, online = build(RFTConfig()), build(OnlineRFTConfig())
    assert offline.plan.source is Source.INITIAL_POLICY
    assert online.plan.source is Source.CURRENT_POLICY
    for method in (offline, online):
        credit = method.assign_credit(batch)
        losses = method.token_losses(batch, credit, Outputs(logprobs=batch.old_logprobs))
        assert torch.equal(
            losses.policy, -batch.old_logprobs * (batch.correct[:, None] & batch.response_mask)
        )


def test_a_mix_of_offline_and_online_data_changes_who_samples_and_nothing_else(batch):
    online, mixed = build(OnlineRFTConfig()), build(OnlineRFTConfig(offline_share=0.25))
    assert online.plan.offline_share == 0
    assert mixed.plan == replace(online.plan, source=Source.MIXED_POLICY, offline_share=0.25)
    assert mixed.conventions == online.conventions
    credits = [method.assign_credit(batch) for method in (online, mixed)]
    assert torch.equal(credits[0].advantages, credits[1].advantages)
    assert torch.equal(credits[0].keep, credits[1].keep)


def test_a_missing_input_is_named(batch):
    with pytest.raises(ValueError, match="ref_logprobs is missing"):
        build(PPOConfig()).assign_credit(replace(batch, ref_logprobs=None))
