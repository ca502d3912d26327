import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

from bakeoff.errors import ConfigError
from bakeoff.memory.attribution import AllocationTracker
from bakeoff.models.checkpointing import activation_checkpointing

TOKENS = torch.arange(160).view(8, 20) % 20


def gradients(model, *, checkpointed, autocast=None):
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", autocast, enabled=autocast is not None):
        if checkpointed:
            with activation_checkpointing(model):
                hidden = model.base_model(TOKENS, use_cache=False).last_hidden_state
        else:
            hidden = model.base_model(TOKENS, use_cache=False).last_hidden_state
    hidden.float().square().sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_gradients_are_bitwise_those_without_it(policy, autocast):
    plain = gradients(policy.model, checkpointed=False, autocast=autocast)
    again = gradients(policy.model, checkpointed=True, autocast=autocast)
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_dropout_of_the_config_stays_off():
    config = OPTConfig(
        hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=20,
        word_embed_proj_dim=32, dropout=0.5, attention_dropout=0.5, max_position_embeddings=64,
    )  # fmt: skip
    model = OPTForCausalLM(config).eval()
    plain = gradients(model, checkpointed=False)
    again = gradients(model, checkpointed=True)
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_every_layer_is_computed_twice_inside_and_once_after(policy):
    calls = []
    for layer in policy.model.model.layers:
        layer.mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    gradients(policy.model, checkpointed=True)
    assert len(calls) == 2 * 2
    gradients(policy.model, checkpointed=False)
    assert len(calls) == 2 * 2 + 2


def test_a_cache_is_filled_after_it_as_before(policy):
    gradients(policy.model, checkpointed=True)
    with torch.no_grad():
        cache = policy.model(TOKENS, use_cache=True).past_key_values
    assert cache.get_seq_length() == 20


def test_fewer_bytes_are_live_at_the_highest_moment():
    config = LlamaConfig(
        hidden_size=32, intermediate_size=96, num_hidden_layers=8, num_attention_heads=2,
        vocab_size=20,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    peaks = []
    for checkpointed in (False, True):
        model.zero_grad(set_to_none=True)
        with AllocationTracker() as tracker:
            gradients(model, checkpointed=checkpointed)
        peaks.append(tracker.peak_bytes)
    # One of eight layers at once, beside eight inputs and all gradients.
    assert peaks[1] < 0.5 * peaks[0]


def test_a_model_without_known_layers_is_refused():
    with (
        pytest.raises(ConfigError, match="no decoder layers of Linear"),
        activation_checkpointing(nn.Linear(2, 2)),
    ):
        pass
