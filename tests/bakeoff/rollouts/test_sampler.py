from dataclasses import replace

import pytest
import torch
from transformers import GenerationConfig, MistralConfig, MistralForCausalLM

from bakeoff.batch import collate
from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress
from bakeoff.logprobs import response_hidden, response_logprobs
from bakeoff.memory.attribution import AllocationTracker
from bakeoff.memory.components import Component
from bakeoff.memory.owners import weight_tensors
from bakeoff.rollouts.prefill import SolutionPrefixes
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.types import Problem, Prompt

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


def test_completions_carry_the_published_version(shared_policy, sampler, prompts):
    sampler.publish(shared_policy.model, version=7)
    groups = sampler.sample(prompts[:1], group_size=1, sampling=SAMPLING, noise=NOISE)
    assert groups[0][0].policy_version == 7


@pytest.fixture
def solutions(prompts, sampler):
    """Sampled solutions of different lengths, each with prefixes at odd places."""
    groups = sampler.sample(prompts, group_size=1, sampling=SAMPLING, noise=NOISE)
    made = []
    for prompt, (completion,) in zip(prompts, groups, strict=True):
        token_ids = prompt.token_ids + completion.token_ids
        lengths = range(len(prompt.token_ids), len(token_ids), 3)
        made.append(
            SolutionPrefixes(id=prompt.problem.id, token_ids=token_ids, lengths=tuple(lengths))
        )
    return made


def as_prompts(solutions):
    """Every prefix as a prompt of its own: the slow way."""
    return [
        Prompt(
            problem=Problem(id=f"{solution.id}/{place}", question="", answer=""),
            text="",
            token_ids=solution.token_ids[:length],
        )
        for solution in solutions
        for place, length in enumerate(solution.lengths)
    ]


def test_completions_of_prefixes_are_those_of_prompts_made_of_them(sampler, solutions):
    slow = sampler.sample(as_prompts(solutions), group_size=3, sampling=SAMPLING, noise=NOISE)
    fast = sampler.continue_prefixes(solutions, group_size=3, sampling=SAMPLING, noise=NOISE)
    assert [len(groups) for groups in fast] == [len(solution.lengths) for solution in solutions]
    flat = [group for groups in fast for group in groups]
    assert tokens(flat) == tokens(slow)
    assert len(set(tokens(flat))) > len(flat)  # they differ, or equality would say little
    for one, other in zip(flat, slow, strict=True):
        for ours, theirs in zip(one, other, strict=True):
            assert (ours.text, ours.finish) == (theirs.text, theirs.finish)
            assert ours.logprobs == pytest.approx(theirs.logprobs, abs=2e-5)


@pytest.mark.parametrize("rows", [1, 7, 12])
def test_completions_of_prefixes_do_not_depend_on_the_cut(sampler, solutions, rows):
    whole = sampler.continue_prefixes(solutions, group_size=3, sampling=SAMPLING, noise=NOISE)
    cut = replace(SAMPLING, sampling_rows=rows)
    again = sampler.continue_prefixes(solutions[::-1], group_size=3, sampling=cut, noise=NOISE)
    assert [tokens(groups) for groups in again[::-1]] == [tokens(groups) for groups in whole]


def test_a_solution_without_prefixes_gets_no_completions(sampler, solutions):
    bare = replace(solutions[1], lengths=())
    cut = [solutions[0], bare, solutions[2]]
    found = sampler.continue_prefixes(cut, group_size=2, sampling=SAMPLING, noise=NOISE)
    whole = sampler.continue_prefixes(solutions, group_size=2, sampling=SAMPLING, noise=NOISE)
    assert found[1] == []
    assert [tokens(found[0]), tokens(found[2])] == [tokens(whole[0]), tokens(whole[2])]


def test_a_solution_is_read_once_whatever_its_prefixes(
    shared_policy, sampler, solutions, monkeypatch
):
    read = []
    forward = sampler._forward

    def counting(input_ids, cache, mask, positions):
        if input_ids.shape[1] > 1:
            read.append(input_ids.shape)
        return forward(input_ids, cache, mask, positions)

    monkeypatch.setattr(sampler, "_forward", counting)
    sampling = replace(SAMPLING, sampling_rows=8)
    sampler.continue_prefixes(solutions, group_size=8, sampling=sampling, noise=NOISE)
    assert [rows for rows, _ in read] == [1] * len(solutions)
    assert sorted(length for _, length in read) == sorted(s.lengths[-1] for s in solutions)


def test_a_sliding_window_sees_the_same_from_a_prefix_as_from_a_prompt(shared_policy, solutions):
    vocabulary = shared_policy.model.config.vocab_size
    config = MistralConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=6,
        initializer_range=0.5,
        attn_implementation="sdpa",
    )
    torch.manual_seed(0)
    model = MistralForCausalLM(config).eval()
    windowed = TransformersSampler(replace(shared_policy, model=model), autocast_dtype=None)
    assert min(min(solution.lengths) for solution in solutions) > 6
    slow = windowed.sample(as_prompts(solutions), group_size=2, sampling=SAMPLING, noise=NOISE)
    fast = windowed.continue_prefixes(solutions, group_size=2, sampling=SAMPLING, noise=NOISE)
    assert tokens([group for groups in fast for group in groups]) == tokens(slow)


def test_the_cache_and_the_logits_are_told_from_other_memory(shared_policy, sampler, prompts):
    long = replace(SAMPLING, max_response_tokens=40)
    tracker = AllocationTracker()
    tracker.own(Component.POLICY_WEIGHTS, weight_tensors(shared_policy.model))
    with tracker:
        sampler.sample(prompts[:1], group_size=16, sampling=long, noise=NOISE)
    config, peak = shared_policy.model.config, tracker.peak()
    place = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4
    assert peak[Component.KV_CACHE] >= (len(prompts[0].token_ids) + 16 * 8) * place
    # Neither the rows of keys and values nor anything else of their size is left to the rest.
    held = (Component.KV_CACHE, Component.POLICY_WEIGHTS)
    rest = sum(count for which, count in peak.items() if which not in held)
    assert rest < peak[Component.KV_CACHE]
