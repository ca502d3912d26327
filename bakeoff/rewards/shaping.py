"""Penalties on length, on top of any reward."""

from collections.abc import Sequence
from dataclasses import replace

from bakeoff.interfaces import RewardFunction
from bakeoff.types import Completion, Prompt, Reward


class LengthShaping:
    """A reward function whose outcomes are lowered by length; steps keep their values.

    Args:
        reward: what is shaped.
        length_penalty: taken off times the share of the limit that a response uses.
        overlong_buffer_tokens: soft overlong punishment (DAPO, arXiv:2503.14476 eq. 13): over the
            last so many tokens before the limit, up to 1 is taken off; None: nothing.
        max_response_tokens: the limit.
    """

    def __init__(
        self,
        reward: RewardFunction,
        *,
        length_penalty: float,
        overlong_buffer_tokens: int | None,
        max_response_tokens: int,
    ) -> None:
        self.reward = reward
        self._length_penalty = length_penalty
        self._buffer = overlong_buffer_tokens
        self._limit = max_response_tokens

    @property
    def scores_steps(self) -> bool:
        return self.reward.scores_steps

    @property
    def flops_per_token(self) -> float:
        return self.reward.flops_per_token

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        rewards = self.reward.score(prompts, completions)
        return [
            self._shaped(reward, len(completion.token_ids))
            for reward, completion in zip(rewards, completions, strict=True)
        ]

    def _shaped(self, reward: Reward, tokens: int) -> Reward:
        if reward.outcome is None:
            return reward
        parts = {
            "length": -self._length_penalty * tokens / self._limit,
            "overlong": -self._overlong(tokens),
        }
        return replace(
            reward,
            outcome=reward.outcome + sum(parts.values()),
            parts={**reward.parts, "unshaped": reward.outcome, **parts},
        )

    def _overlong(self, tokens: int) -> float:
        if self._buffer is None:
            return 0.0
        over = tokens - (self._limit - self._buffer)
        return min(max(over / self._buffer, 0.0), 1.0)
