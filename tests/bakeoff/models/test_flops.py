import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from algorithms.configs import GRPOConfig, OnlineRFTConfig, PPOConfig
from algorithms.registry import build
from bakeoff.batch import collate
from bakeoff.interfaces import UpdateResult
from bakeoff.models.flops import flops_model


def test_a_forward_pass_agrees_with_torchs_own_count(policy):
    policy.model.set_attn_implementation("eager")  # the counter does not see inside CPU attention
    tokens = torch.randint(0, 20, (3, 40))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        policy.model(input_ids=tokens, use_cache=False)
    # Eager attention multiplies the whole square, so each position attends to all 40.
    ours = flops_model(policy.model).forward(3 * 40, context=40)
    assert ours == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_extra_models_and_rejected_rollouts_are_charged_as_they_cost(policy, rollouts):
    model, batch = flops_model(policy.model), collate(rollouts, pad_token_id=0)

    def training(config, kept):
        update = UpdateResult(grad_norm=0, loss=0, kept_rollouts=kept, trained_tokens=0)
        return model.training(build(config).plan, batch, [update], critic_only=False)

    rows = len(rollouts)
    assert training(OnlineRFTConfig(), rows) == pytest.approx(
        2 * training(OnlineRFTConfig(), rows // 2)
    )
    no_kl = training(GRPOConfig(kl_coefficient=0), rows)
    assert no_kl == pytest.approx(training(OnlineRFTConfig(), rows))
    assert training(GRPOConfig(), rows) == pytest.approx(no_kl * 4 / 3)
    assert training(PPOConfig(), rows) > 2 * no_kl
