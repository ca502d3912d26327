import copy
from dataclasses import replace

import pytest
import torch

from bakeoff.config import OptimizerConfig, SamplingConfig, TrainingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.interfaces import Plan, Source
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.weight_probe import WeightProbe


@pytest.fixture
def parts(policy, prompts):
    """A probe, its sampler and its engine, which hold models of their own."""

    def make(temperature=1.0):
        engine = LocalEngine(
            replace(policy, model=copy.deepcopy(policy.model)),
            Plan(source=Source.CURRENT_POLICY, group_size=1),
            optimizer=OptimizerConfig(),
            training=TrainingConfig(measure_kl=False),
            temperature=temperature,
            autocast_dtype=None,
            init_seed=0,
        )
        sampler = TransformersSampler(policy, autocast_dtype=None)
        probe = WeightProbe(
            prompts[0],
            sampler=sampler,
            engine=engine,
            sampling=SamplingConfig(temperature=temperature, max_response_tokens=12),
            seed=0,
            pad_token_id=policy.pad_token_id,
        )
        return probe, sampler, engine

    return make


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_equal_weights_leave_rounding_alone(parts, temperature):
    probe, _, _ = parts(temperature)
    assert probe.gap() < 1e-6


def test_a_published_change_closes_the_gap_that_it_opened(parts):
    probe, sampler, engine = parts()
    with torch.no_grad():
        for parameter in engine.model.parameters():
            parameter.mul_(1.001)
    assert probe.gap() > 1e-4
    engine.publish_policy(sampler)
    assert probe.gap() < 1e-6


def test_another_temperature_in_the_trainer_shows(parts):
    probe, _, engine = parts()
    engine.trained_policy.score.temperature = 0.9
    assert probe.gap() > 1e-2


def test_the_probe_looks_at_the_least_likely_tokens_of_what_was_drawn(parts, prompts):
    probe, sampler, _ = parts()
    ((drawn,),) = sampler.sample(
        prompts[:1],
        group_size=1,
        sampling=SamplingConfig(max_response_tokens=12),
        noise=probe._noise,
    )
    start = len(prompts[0].token_ids)
    places = [len(prompt.token_ids) - start for prompt in probe._prompts]
    chosen = [drawn.logprobs[place] for place in places]
    assert chosen == sorted(drawn.logprobs)[: len(places)]
    for place, prompt in zip(places, probe._prompts, strict=True):
        assert prompt.token_ids[start:] == drawn.token_ids[:place]
