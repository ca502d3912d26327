"""Every check of the gate passes on the real thing and fails when its fault is planted."""

from dataclasses import replace

import pytest
import torch

from algorithms import PRESETS
from algorithms.grpo import GRPO
from algorithms.registry import build
from bakeoff import conformance
from bakeoff.interfaces import Verdict
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.settings import cell_config
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier
from bakeoff.world import build_world

SETTINGS = {"model": "config:builtin", "max_response_tokens": 16}


@pytest.fixture(scope="module")
def config():
    return cell_config("grpo", PRESETS["grpo"], SETTINGS)


@pytest.fixture(scope="module")
def world(config):
    return build_world(config)


def failed(checks):
    return [check.name for check in checks if not check.passed]


def test_every_preset_passes(world):
    arms = [
        (cell_config(name, preset, SETTINGS), build(preset)) for name, preset in PRESETS.items()
    ]
    checks = conformance.run_checks(world, arms)
    assert failed(checks) == []
    assert len(checks) == 5 + len(PRESETS)


class AcceptsEverything(ArithmeticVerifier):
    def verify(self, problems, responses):
        return [Verdict(correct=True, extracted="1") for _ in responses]


class AcceptsNothing(ArithmeticVerifier):
    def verify(self, problems, responses):
        return [Verdict(correct=False) for _ in responses]


@pytest.mark.parametrize("verifier", [AcceptsEverything(), AcceptsNothing()])
def test_a_verifier_that_does_not_read_fails(world, verifier):
    assert not conformance.gold_answers_are_correct(replace(world, verifier=verifier)).passed


class WrongTemperature(TransformersSampler):
    def sample(self, prompts, *, group_size, sampling, noise):
        hot = replace(sampling, temperature=sampling.temperature * 2)
        return super().sample(prompts, group_size=group_size, sampling=hot, noise=noise)


def test_a_sampler_at_another_temperature_fails(world):
    planted = replace(world, sampler=WrongTemperature(world.policy, autocast_dtype=None))
    rollouts = conformance._probe_rollouts(planted)
    assert not conformance.step_zero_ratio_is_one(planted, rollouts).passed


class NormalisesInTheMicroBatch(GRPO):
    """The classic fault: a mean taken inside the micro-batch."""

    def token_losses(self, batch, credit, outputs):
        losses = super().token_losses(batch, credit, outputs)
        return replace(losses, policy=losses.policy / len(batch.groups))


def test_a_loss_that_normalises_inside_the_micro_batch_fails(world, config):
    rollouts = conformance._probe_rollouts(world)
    check = conformance.gradient_ignores_micro_batches(
        world, config, NormalisesInTheMicroBatch(PRESETS["grpo"]), rollouts
    )
    assert not check.passed


class IgnoresItsSeed(TransformersSampler):
    def sample(self, prompts, *, group_size, sampling, noise):
        fixed = replace(noise, seed=0)
        return super().sample(prompts, group_size=group_size, sampling=sampling, noise=fixed)


def test_a_sampler_that_ignores_its_seed_fails(world):
    planted = replace(world, sampler=IgnoresItsSeed(world.policy, autocast_dtype=None))
    checks = conformance.seeds_change_what_they_should(planted)
    assert failed(checks) == ["sampling seed changes the samples"]


def test_the_checks_leave_the_policy_as_it_was(world, config):
    before = [p.clone() for p in world.policy.model.parameters()]
    conformance.run_checks(world, [(config, build(PRESETS["ppo"]))])
    for old, new in zip(before, world.policy.model.parameters(), strict=True):
        assert torch.equal(old, new)
