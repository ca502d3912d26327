from dataclasses import replace

from bakeoff.conformance import agreement
from bakeoff.conformance.agreement import policy_agrees_with_itself
from bakeoff.conformance.probes import engine_on_copy, probe_rollouts
from bakeoff.rollouts.sampler import TransformersSampler


class WrongTemperature(TransformersSampler):
    def sample(self, prompts, *, group_size, sampling, noise):
        hot = replace(sampling, temperature=sampling.temperature * 2)
        return super().sample(prompts, group_size=group_size, sampling=hot, noise=noise)


def passed(world, rollouts):
    return [check.passed for check in policy_agrees_with_itself(world, rollouts)]


def test_a_sampler_at_another_temperature_fails_the_gap_alone(world, probes):
    assert passed(world, probes) == [True, True]
    planted = replace(world, sampler=WrongTemperature(world.policy, autocast_dtype=None))
    assert passed(planted, probe_rollouts(planted)) == [True, False]


def test_log_probabilities_that_depend_on_the_cut_fail_the_ratio(world, probes, monkeypatch):
    def uneven(world, config, plan, *, micro_batch_tokens):
        engine = engine_on_copy(world, config, plan, micro_batch_tokens=micro_batch_tokens)
        if micro_batch_tokens < 1 << 30:
            engine.trained_policy.score.temperature = 1.1
        return engine

    monkeypatch.setattr(agreement, "engine_on_copy", uneven)
    assert passed(world, probes) == [False, True]
