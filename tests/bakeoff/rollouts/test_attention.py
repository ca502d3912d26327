from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress
from bakeoff.models.loading import Policy
from bakeoff.rollouts import attention as rollouts_attention
from bakeoff.rollouts.attention import (
    BY_PRODUCTS,
    attend_from_single_tokens,
    attention_of_single_tokens,
    can_branch,
)
from bakeoff.rollouts.cache import GrowingCache
from bakeoff.rollouts.prefill import left_padded
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.types import Problem, Prompt


class Layer(torch.nn.Module):
    """What the fused kernel asks of a layer."""

    def __init__(self, groups):
        super().__init__()
        self.num_key_value_groups = groups
        self.is_causal = True


def states(rows=3, key_heads=2, groups=3, places=11, tokens=1, dtype=torch.float32):
    """Query, keys and values; keys and values with room behind them, as the cache gives them."""
    noise = torch.Generator().manual_seed(0)
    query = torch.randn(rows, tokens, key_heads * groups, 8, generator=noise).transpose(1, 2)
    room = torch.randn(2, rows, key_heads, places + 5, 8, generator=noise)
    key, value = room[..., :places, :]
    return query.to(dtype), key.to(dtype), value.to(dtype)


def masks(rows, places):
    """None, and a mask with some places of every row hidden as bool and as float."""
    seen = torch.rand(rows, 1, 1, places, generator=torch.Generator().manual_seed(1)) > 0.4
    seen[..., -1] = True
    return [None, seen, torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)]


@given(
    rows=st.integers(1, 5),
    key_heads=st.integers(1, 3),
    groups=st.integers(1, 3),
    places=st.integers(1, 40),
    which=st.integers(0, 2),
    scaling=st.sampled_from([None, 0.3]),
)
def test_single_tokens_attend_as_by_the_fused_kernel(
    rows, key_heads, groups, places, which, scaling
):
    query, key, value = states(rows, key_heads, groups, places)
    mask = masks(rows, places)[which]
    layer = Layer(groups)
    found, _ = attend_from_single_tokens(layer, query, key, value, mask, scaling=scaling)
    expected, _ = sdpa_attention_forward(layer, query, key, value, mask, scaling=scaling)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("made", "options"),
    [
        ({"tokens": 4}, {}),
        ({"dtype": torch.bfloat16}, {}),
        ({"groups": 1}, {"position_bias": torch.linspace(-1, 1, 11).expand(1, 2, 1, 11)}),
    ],
)
def test_whatever_is_not_plain_is_left_to_the_fused_kernel(made, options):
    query, key, value = states(**made)
    layer = Layer(made.get("groups", 3))
    found, _ = attend_from_single_tokens(layer, query, key, value, None, **options)
    expected, _ = sdpa_attention_forward(layer, query, key, value, None, **options)
    assert torch.equal(found, expected)


@given(
    steps=st.lists(st.integers(0, 2**6 - 1), min_size=1, max_size=4),
    prompts=st.integers(1, 3),
    times=st.integers(1, 4),
    padded=st.booleans(),
    plain=st.booleans(),
)
def test_rows_that_share_prompts_attend_as_rows_of_their_own(steps, prompts, times, padded, plain):
    noise = torch.Generator().manual_seed(0)
    config = AutoConfig.for_model("llama", num_hidden_layers=1)
    shared, apart = GrowingCache(config), GrowingCache(config)
    read = torch.randn(2, prompts, 2, 7, 8, generator=noise)
    mask = torch.arange(7) >= torch.arange(prompts)[:, None] if padded else None
    for cache in (shared, apart):
        cache.update(*read, 0)
    shared.branch(times)
    apart.batch_repeat_interleave(times)
    rows = prompts * times
    mask = None if mask is None else mask.repeat_interleave(times, dim=0)
    options = {} if plain else {"position_bias": torch.zeros(1, 1, 1, 1)}
    for step in steps:
        kept = torch.tensor([row for row in range(rows) if step >> row % 6 & 1], dtype=torch.int64)
        if 0 < len(kept) < rows:
            rows = len(kept)
            mask = None if mask is None else mask[kept]
            for cache in (shared, apart):
                cache.batch_select_indices(kept)
        query = torch.randn(rows, 6, 1, 8, generator=noise)
        new = torch.randn(2, rows, 2, 1, 8, generator=noise)
        keys = {cache: cache.update(*new, 0) for cache in (shared, apart)}
        assert shared.get_seq_length() == apart.get_seq_length()
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(rows, 1)], dim=1)
        seen = None if mask is None else mask[:, None, None]
        found, _ = attend_from_single_tokens(
            Layer(3), query, *keys[shared], seen, read_once=shared.read_once(0), **options
        )
        expected, _ = sdpa_attention_forward(Layer(3), query, *keys[apart], seen)
        assert torch.allclose(found, expected, atol=1e-5)


def test_prompts_are_held_once_and_leave_with_their_last_row():
    cache = GrowingCache(AutoConfig.for_model("llama", num_hidden_layers=1))
    cache.update(*torch.randn(2, 3, 2, 7, 8), 0)
    cache.branch(4)
    cache.update(*torch.randn(2, 12, 2, 1, 8), 0)
    assert cache.read_once(0).keys.shape == (3, 2, 7, 8)
    assert cache.layers[0].keys.shape == (12, 2, 1, 8)
    cache.batch_select_indices(torch.tensor([1, 2, 8]))  # none of the second prompt
    assert cache.read_once(0).keys.shape == (2, 2, 7, 8)
    assert cache.branches.width == 2
    assert cache.branches.prompts.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("settings", "branches"),
    [
        ({}, True),
        ({"attn_implementation": "eager"}, False),  # finds no prompt that is not in its keys
        ({"dtype": torch.bfloat16}, False),
    ],
)
def test_rows_branch_where_their_attention_looks_for_prompts(settings, branches):
    config = AutoConfig.for_model("llama", hidden_size=32, num_hidden_layers=2, vocab_size=40)
    options = {"attn_implementation": "sdpa"} | settings
    model = AutoModelForCausalLM.from_config(config, **options).eval()
    cache = GrowingCache(model.config)
    assert not can_branch(model, cache)  # nothing has been read
    model(torch.ones(1, 3, dtype=torch.int64), past_key_values=cache)
    assert can_branch(model, cache) == branches


def test_a_capped_score_is_refused_as_by_the_fused_kernel():
    query, key, value = states()
    with pytest.raises(ValueError, match="softcap"):
        attend_from_single_tokens(Layer(3), query, key, value, None, softcap=30.0)


@pytest.fixture
def answers(monkeypatch):
    """Who answers when a model attends now."""
    monkeypatch.setattr(rollouts_attention, "attend_from_single_tokens", lambda _: "single")
    monkeypatch.setattr(rollouts_attention, "attention", lambda _: "usual")
    return partial(ALL_ATTENTION_FUNCTIONS["sdpa"], Layer(1))


@pytest.fixture
def cache():
    return GrowingCache(AutoConfig.for_model("llama", num_hidden_layers=1))


def test_models_attend_as_before_after_an_error(answers, cache):
    with pytest.raises(RuntimeError), attention_of_single_tokens(cache):
        assert answers() == "single"
        raise RuntimeError
    assert answers() == "usual"


def test_what_one_thread_samples_is_nothing_to_another(answers, cache):
    # The first to begin is the first to end.
    began, ended = Barrier(2, timeout=60), Barrier(2, timeout=60)

    def sample(first):
        with attention_of_single_tokens(cache):
            began.wait()
            if not first:
                ended.wait()
        if first:
            ended.wait()
        return answers()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(sample, [True, False])) == ["usual", "usual"]
    assert answers() == "usual"


FAMILIES = [
    ("llama", {"num_key_value_heads": 4}),
    ("qwen2", {}),
    ("qwen3", {"head_dim": 8}),
    ("mistral", {"sliding_window": 5}),
    ("gemma3_text", {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 6}),
]


def build(family, settings, vocabulary):
    config = AutoConfig.for_model(
        family,
        **{
            "vocab_size": vocabulary,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "initializer_range": 0.3,
            "pad_token_id": 0,
        }
        | settings,
    )
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


@pytest.mark.parametrize(("family", "settings"), FAMILIES)
def test_architectures_draw_the_same_tokens_by_either(
    family, settings, shared_policy, prompts, monkeypatch
):
    model = build(family, settings, len(shared_policy.tokenizer))
    policy = Policy(
        model=model,
        tokenizer=shared_policy.tokenizer,
        eos_token_ids=shared_policy.eos_token_ids,
        pad_token_id=shared_policy.pad_token_id,
    )
    alike = [Prompt(problem=Problem(id="a", question="", answer=""), token_ids=(5, 6, 7), text="")]
    for read in (prompts, alike):  # rows of different lengths, and rows without a mask

        def sample(read=read):
            groups = TransformersSampler(policy, autocast_dtype=None).sample(
                read,
                group_size=4,
                sampling=SamplingConfig(max_response_tokens=24),
                noise=NoiseAddress(seed=0, batch=0),
            )
            return [completion for group in groups for completion in group]

        branched = sample()
        with monkeypatch.context() as patch:
            patch.setattr("bakeoff.rollouts.sampler.can_branch", lambda *_: False)
            repeated = sample()
            patch.setitem(BY_PRODUCTS, "cpu", False)
            fused = sample()
        for found in (branched, repeated):
            assert [one.token_ids for one in found] == [one.token_ids for one in fused]
            for one, other in zip(found, fused, strict=True):
                assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


@pytest.mark.parametrize(("family", "settings"), FAMILIES)
def test_architectures_give_the_same_logits_by_either(family, settings, prompts):
    model = build(family, settings, 40)
    ids, mask = left_padded([prompt.token_ids for prompt in prompts], pad_token_id=0)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    found = []
    for products in (True, False):
        cache = GrowingCache(model.config)
        with torch.no_grad():
            model(ids, attention_mask=mask, position_ids=positions, past_key_values=cache)
            wider = torch.cat([mask, mask[:, -1:]], dim=1)
            last = {"attention_mask": wider, "position_ids": positions[:, -1:] + 1}
            if products:
                with attention_of_single_tokens(cache):
                    logits = model(ids[:, -1:], past_key_values=cache, **last).logits
            else:
                logits = model(ids[:, -1:], past_key_values=cache, **last).logits
        found.append(logits)
    assert torch.allclose(*found, atol=1e-5)
    assert not torch.equal(*found)  # or the same kernel ran twice
