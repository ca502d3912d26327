from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from bakeoff.batch import collate
from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress
from bakeoff.logprobs import response_hidden, response_logprobs
from bakeoff.rollouts.sampler import TransformersSampler, _choose, _truncate

SAMPLING = SamplingConfig(max_response_tokens=12)
NOISE = NoiseAddress(seed=1, batch=0)


@pytest.fixture
def sampler(shared_policy):
    return TransformersSampler(shared_policy, autocast_dtype=None)


def tokens(groups):
    return [completion.token_ids for group in groups for completion in group]


def test_the_same_noise_gives_the_same_rollouts_however_the_batch_is_cut(sampler, prompts):
    whole = sampler.sample(prompts, group_size=4, sampling=SAMPLING, noise=NOISE)
    cut = sampler.sample(
        prompts, group_size=4, sampling=replace(SAMPLING, sampling_rows=4), noise=NOISE
    )
    alone = [
        sampler.sample([prompt], group_size=4, sampling=SAMPLING, noise=NOISE)[0]
        for prompt in prompts
    ]
    assert tokens(whole) == tokens(cut) == tokens(alone)


def test_a_larger_group_begins_with_the_smaller_one(sampler, prompts):
    small = sampler.sample(prompts, group_size=2, sampling=SAMPLING, noise=NOISE)
    large = sampler.sample(prompts, group_size=5, sampling=SAMPLING, noise=NOISE)
    assert tokens(small) == tokens([group[:2] for group in large])


@pytest.mark.parametrize("other", [replace(NOISE, seed=2), replace(NOISE, batch=1)])
def test_another_seed_or_batch_gives_other_rollouts(sampler, prompts, other):
    one = sampler.sample(prompts, group_size=4, sampling=SAMPLING, noise=NOISE)
    two = sampler.sample(prompts, group_size=4, sampling=SAMPLING, noise=other)
    assert tokens(one) != tokens(two)


def test_rollouts_of_a_group_differ(sampler, prompts):
    for group in sampler.sample(prompts, group_size=8, sampling=SAMPLING, noise=NOISE):
        assert len({completion.token_ids for completion in group}) > 1


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_recorded_logprobs_are_the_trainers(shared_policy, sampler, rollouts, prompts, temperature):
    sampling = replace(SAMPLING, temperature=temperature)
    groups = sampler.sample(prompts, group_size=4, sampling=sampling, noise=NOISE)
    completions = [completion for group in groups for completion in group]
    resampled = [
        replace(rollout, completion=completion)
        for rollout, completion in zip(rollouts, completions, strict=True)
    ]
    batch = collate(resampled, pad_token_id=0)
    with torch.no_grad():
        hidden = response_hidden(shared_policy.model, batch)
        trainer, _ = response_logprobs(shared_policy.model, batch, hidden, temperature=temperature)
    assert torch.allclose(batch.sampler_logprobs, trainer, atol=2e-5)


def test_eos_is_counted_and_nothing_stands_after_it(shared_policy, sampler, prompts):
    eos = shared_policy.eos_token_ids[0]
    groups = sampler.sample(prompts, group_size=16, sampling=SAMPLING, noise=NOISE)
    completions = [completion for group in groups for completion in group]
    assert {completion.finish for completion in completions} == {"stop", "length"}
    for completion in completions:
        assert completion.token_ids.count(eos) == (completion.finish == "stop")
        assert (completion.token_ids[-1] == eos) == (completion.finish == "stop")
        assert len(completion.logprobs) == len(completion.token_ids)
        assert "<eos>" not in completion.text
        if completion.finish == "length":
            assert len(completion.token_ids) == SAMPLING.max_response_tokens


def test_greedy_equals_generate(shared_policy, sampler, prompts):
    greedy = sampler.sample(
        prompts, group_size=1, sampling=replace(SAMPLING, temperature=0.0), noise=NOISE
    )
    for prompt, (completion,) in zip(prompts, greedy, strict=True):
        expected = shared_policy.model.generate(
            torch.tensor([prompt.token_ids]),
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=SAMPLING.max_response_tokens,
                eos_token_id=list(shared_policy.eos_token_ids),
                pad_token_id=shared_policy.pad_token_id,
            ),
        )[0, len(prompt.token_ids) :]
        assert list(completion.token_ids) == expected.tolist()


def test_tokens_are_drawn_with_their_probabilities():
    logits = torch.tensor([[2.0, 0.0, -1.0, float("-inf")]])
    draws = torch.from_numpy(np.random.default_rng(0).random(20_000))
    chosen, _ = _choose(logits.repeat(20_000, 1), draws, SAMPLING)
    shares = torch.bincount(chosen, minlength=4) / 20_000
    assert torch.allclose(shares, logits.softmax(dim=1)[0], atol=0.01)
    assert shares[3] == 0


def test_the_edges_of_the_noise_pick_tokens_that_can_be_drawn():
    logits = torch.tensor([[float("-inf"), 0.0, 0.0, float("-inf")]] * 2)
    draws = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    chosen, _ = _choose(logits, draws, SAMPLING)
    assert chosen.tolist() == [1, 2]


def test_top_k_and_top_p_keep_the_right_tokens():
    probabilities = torch.tensor([[0.1, 0.5, 0.15, 0.25]])
    assert _truncate(probabilities, replace(SAMPLING, top_k=2)).nonzero()[:, 1].tolist() == [1, 3]
    # 0.5 alone is less than 0.6, so the next one still enters.
    assert _truncate(probabilities, replace(SAMPLING, top_p=0.6)).nonzero()[:, 1].tolist() == [1, 3]
    assert torch.equal(_truncate(probabilities, SAMPLING), probabilities)


def test_completions_carry_the_published_version(shared_policy, sampler, prompts):
    sampler.publish(shared_policy.model, version=7)
    groups = sampler.sample(prompts[:1], group_size=1, sampling=SAMPLING, noise=NOISE)
    assert groups[0][0].policy_version == 7
