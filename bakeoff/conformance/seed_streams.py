"""Does every seed change its own outcome, and nothing but a seed?"""

from collections.abc import Callable

from bakeoff.conformance.check import Check
from bakeoff.conformance.probes import GROUP, probe_prompts, probe_sampling
from bakeoff.interfaces import CriticHead, NoiseAddress
from bakeoff.models.critic import ValueHead
from bakeoff.rollouts.sources import problem_order
from bakeoff.world import World


def seeds_change_what_they_should(world: World) -> list[Check]:
    """Each seed stream changes its own outcome, and the same seed repeats it."""
    prompts = probe_prompts(world)

    def order(seed: int) -> object:
        return problem_order(1000, seed=seed, batch=0, count=100)

    def samples(seed: int) -> object:
        groups = world.sampler.sample(
            prompts,
            group_size=GROUP,
            sampling=probe_sampling(world),
            noise=NoiseAddress(seed=seed, batch="doctor"),
        )
        return [completion.token_ids for group in groups for completion in group]

    def weights(seed: int) -> object:
        return ValueHead(64, CriticHead.NORMAL, seed=seed).linear.weight.tolist()

    streams: list[tuple[str, Callable[[int], object]]] = [
        ("data seed changes the order of problems", order),
        ("sampling seed changes the samples", samples),
        ("initialisation seed changes fresh weights", weights),
    ]
    checks = []
    for name, draw in streams:
        first = draw(1)
        repeats, differs = draw(1) == first, draw(2) != first
        checks.append(
            Check(
                name=name,
                passed=repeats and differs,
                detail=f"same seed repeats: {repeats}; another seed differs: {differs}",
            )
        )
    return checks
