from dataclasses import replace

from bakeoff.conformance.seed_streams import seeds_change_what_they_should
from bakeoff.rollouts.sampler import TransformersSampler


class IgnoresItsSeed(TransformersSampler):
    def sample(self, prompts, *, group_size, sampling, noise):
        fixed = replace(noise, seed=0)
        return super().sample(prompts, group_size=group_size, sampling=sampling, noise=fixed)


def test_a_sampler_that_ignores_its_seed_fails(world):
    planted = replace(world, sampler=IgnoresItsSeed(world.policy, autocast_dtype=None))
    checks = seeds_change_what_they_should(planted)
    assert [c.name for c in checks if not c.passed] == ["sampling seed changes the samples"]
