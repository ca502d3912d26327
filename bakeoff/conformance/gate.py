"""All checks of a comparison, whole or shortened."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.config import CellConfig
from bakeoff.conformance.agreement import policy_agrees_with_itself
from bakeoff.conformance.check import Check
from bakeoff.conformance.gold import gold_answers_are_correct
from bakeoff.conformance.gradients import gradient_checks
from bakeoff.conformance.kl_gradient import kl_gradient_is_the_claimed_one
from bakeoff.conformance.probes import probe_rollouts
from bakeoff.conformance.resuming import resuming_changes_nothing
from bakeoff.conformance.seed_streams import seeds_change_what_they_should
from bakeoff.interfaces import Algorithm
from bakeoff.world import World

GOLD_PROBLEMS = 512
GOLD_PROBLEMS_SHORTENED = 64
# Beyond it a saved engine is gigabytes, and a few of them are no longer beside the point.
SMALL_PARAMETERS = 20_000_000
SHORTENED = (
    f"shortened: {GOLD_PROBLEMS_SHORTENED} gold answers, cut and padding at once, and resume for "
    "the arm with the most models, of a small model only; `bakeoff doctor` checks more"
)

Arm = tuple[CellConfig, Algorithm]


def run_checks(world: World, arms: Sequence[Arm], *, shortened: bool) -> list[Check]:
    """Every check, for every arm of a comparison that shares `world`.

    Args:
        world: what the arms take place in.
        arms: a config and a method each.
        shortened: fewer gold answers, one gradient less an arm, and resume for one arm of a small
            model: what depends on the method's mathematics is checked for every arm all the same.
    """
    rollouts = probe_rollouts(world)
    count = GOLD_PROBLEMS_SHORTENED if shortened else GOLD_PROBLEMS
    checks = [gold_answers_are_correct(world, count=count)]
    checks += policy_agrees_with_itself(world, rollouts)
    checks += seeds_change_what_they_should(world)
    for config, algorithm in arms:
        checks += gradient_checks(world, config, algorithm, rollouts, together=shortened)
        checks.append(kl_gradient_is_the_claimed_one(algorithm, method=config.method))
    for config, algorithm in _resumed(world, arms) if shortened else arms:
        checks.append(resuming_changes_nothing(world, config, algorithm, rollouts))
    return checks


def _resumed(world: World, arms: Sequence[Arm]) -> Sequence[Arm]:
    small = world.policy.model.num_parameters() <= SMALL_PARAMETERS
    return [max(arms, key=_models)] if small else []


def _models(arm: Arm) -> int:
    plan = arm[1].plan
    return (plan.critic is not None) + plan.reference
