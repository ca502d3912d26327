"""What a run's own reward says of right answers."""

from collections.abc import Sequence

from bakeoff.interfaces import RewardFunction
from bakeoff.types import Completion, Problem, Reward
from bakeoff.world import World

# Rewards that are not meant to tell right from wrong.
CONTROLS = frozenset({"format", "constant", "random"})


def gold_rewards(problems: Sequence[Problem], world: World, reward: RewardFunction) -> list[Reward]:
    """The rewards of the task's gold responses, as if the policy had written them."""
    prompts = [world.prompts.render(problem) for problem in problems]
    return reward.score(prompts, [_gold_completion(problem, world) for problem in problems])


def _gold_completion(problem: Problem, world: World) -> Completion:
    text = world.task.gold_response(problem)
    tokens = world.policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    token_ids = (*tokens, world.policy.eos_token_ids[0])
    return Completion(
        text=text,
        token_ids=token_ids,
        logprobs=(0.0,) * len(token_ids),
        finish="stop",
        policy_version=0,
    )
