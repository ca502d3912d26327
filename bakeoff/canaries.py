"""Checks during a run that stop it when its numbers would not mean what they say.

A `CanaryError` is a fault of the instrument and voids the comparison. A collapse is the method's
own end: the run stops early and is evaluated as it is. Every ceiling is argued in
docs/conformance.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import torch

from bakeoff.config import SamplingConfig
from bakeoff.errors import CanaryError
from bakeoff.ledger import Ledger
from bakeoff.types import Problem, Reward, Rollout

CALLS_BEFORE_JUDGING = 100  # a rate over fewer calls says little
# Mean |log-probability| difference between sampler and trainer, in nats, that rounding explains.
SAMPLER_GAP_CEILING = {None: 0.01, torch.bfloat16: 0.2}
# The same right after a publish, where the two can differ by rounding alone.
PUBLISH_GAP_CEILING = {None: 1e-4, torch.bfloat16: 0.2}
CHECK_EVERY = 20  # rollout batches between checks that no single batch needs
GOLD_PROBLEMS = 4  # whose gold responses are scored when rewards look dead
SILENT_BATCHES = 3  # of one and the same reward, in a row
REPEAT_CEILING = 30.0  # nats: a healthy batch passes it with a chance below e^-30
COLLAPSED_ENTROPY = 0.01  # of the start's
COLLAPSED_LENGTH = 0.25  # of the start's
COLLAPSED_BATCHES = 8  # in a row

GoldRewards = Callable[[Sequence[Problem]], Sequence[Reward]]


class Canaries:
    """The checks of one run.

    Args:
        autocast_dtype: of the forward passes; decides what rounding explains.
        verifier_error_ceiling: share of responses without a verdict.
        sampling: the run's.
        gold_rewards: scores the gold responses of problems by the run's own reward.
        reward_judges: whether the reward is meant to tell right from wrong; controls are not.
    """

    def __init__(
        self,
        *,
        autocast_dtype: torch.dtype | None,
        verifier_error_ceiling: float,
        sampling: SamplingConfig,
        gold_rewards: GoldRewards,
        reward_judges: bool,
    ) -> None:
        self._gap_ceiling = SAMPLER_GAP_CEILING[autocast_dtype]
        self._publish_ceiling = PUBLISH_GAP_CEILING[autocast_dtype]
        self._error_ceiling = verifier_error_ceiling
        self._sampling = sampling
        self._gold_rewards = gold_rewards
        self._reward_judges = reward_judges
        self._silent_batches = 0
        self._repeat_nats = 0.0
        self._start: dict[str, float] | None = None
        self._degenerate_batches = 0
        self._frozen: dict[str, int] | None = None
        self._collapsed: str | None = None

    @property
    def collapsed(self) -> str | None:
        """How the policy collapsed; None while it has not."""
        return self._collapsed

    def state(self) -> dict[str, Any]:
        """What has to survive a resume, as JSON values."""
        return {name: getattr(self, f"_{name}") for name in _STATE}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continues from `state`."""
        for name in _STATE:
            setattr(self, f"_{name}", state[name])

    def check_rewards(self, scored: Sequence[Rollout], ledger: Ledger) -> None:
        """Stops when the verifier fails too often, or no rollout of a batch could be scored."""
        calls, errors = ledger.verifier_calls, ledger.verifier_errors
        if calls >= CALLS_BEFORE_JUDGING and errors > self._error_ceiling * calls:
            raise CanaryError(
                f"the verifier failed on {errors} of {calls} responses; above "
                f"{self._error_ceiling:.0%} pass rates mean nothing"
            )
        if not scored:
            raise CanaryError("no rollout of this batch could be scored: every reward is None")

    def check_gold(self, scored: Sequence[Rollout]) -> None:
        """Stops when rewards are dead: gold responses fare no better than an all-wrong batch.

        An error that somebody swallowed looks like a wrong answer; only a right answer tells.
        """
        outcomes = {rollout.reward.outcome for rollout in scored}
        correct = [bool(rollout.reward.correct) for rollout in scored]
        silent = self._reward_judges and len(outcomes) == 1 and not all(correct)
        if any(correct) and not silent:
            self._silent_batches = 0
            return
        problems = {rollout.problem.id: rollout.problem for rollout in scored}
        gold = self._gold_rewards(list(problems.values())[:GOLD_PROBLEMS])
        if not any(correct) and not any(reward.correct for reward in gold):
            raise CanaryError(
                f"all {len(scored)} responses of this batch are wrong, and so are the gold "
                "responses to its problems: the verifier fails without saying so"
            )
        dead = silent and {reward.outcome for reward in gold} == outcomes
        self._silent_batches = self._silent_batches + 1 if dead else 0
        if self._silent_batches >= SILENT_BATCHES:
            raise CanaryError(
                f"every reward of {SILENT_BATCHES} batches is {outcomes.pop()}, and that of the "
                "gold responses is the same: the reward fails without saying so"
            )

    def check_repeats(self, rollouts: Sequence[Rollout]) -> None:
        """Stops when responses repeat each other more often than the policy's own chances say."""
        if self._sampling.truncates:
            return  # the recorded log-probabilities are not those that were drawn from
        self._repeat_nats = max(0.0, self._repeat_nats + repeat_evidence(rollouts))
        if self._repeat_nats > REPEAT_CEILING:
            distinct = len({(r.group, r.completion.token_ids) for r in rollouts})
            raise CanaryError(
                f"{distinct} of {len(rollouts)} responses are distinct within their groups, which "
                f"independent draws do with a chance below e^-{self._repeat_nats:.0f}: samples of "
                "a group share their noise"
            )

    def watch_collapse(self, rollouts: Sequence[Rollout], *, batch: int) -> None:
        """Sets `collapsed` when the policy's own samples have been degenerate for long enough."""
        completions = [rollout.completion for rollout in rollouts]
        entropy = -fmean(logprob for completion in completions for logprob in completion.logprobs)
        length = fmean(len(completion.token_ids) for completion in completions)
        if self._start is None:
            self._start = {"entropy": entropy, "response_tokens": length}
        nothing_right = not any(rollout.reward.correct for rollout in rollouts)
        short = length < COLLAPSED_LENGTH * self._start["response_tokens"]
        narrow = entropy < COLLAPSED_ENTROPY * self._start["entropy"]
        degenerate = narrow and (short or nothing_right)
        self._degenerate_batches = self._degenerate_batches + 1 if degenerate else 0
        if self._degenerate_batches >= COLLAPSED_BATCHES:
            self._collapsed = (
                f"collapsed at batch {batch}: {max(entropy, 0.0):.2g} nats of entropy a token, "
                f"{self._start['entropy']:.2g} at the start; {length:.0f} tokens a response, "
                f"{self._start['response_tokens']:.0f} at the start; "
                f"{'nothing' if nothing_right else 'something'} is correct"
            )

    def check_metrics(self, metrics: Mapping[str, float | int | None]) -> None:
        """Stops when sampler and trainer hold different policies."""
        gap = metrics["sampler_gap_mean"]
        if gap is not None and not gap <= self._gap_ceiling:
            raise CanaryError(
                f"sampler and trainer disagree by {gap:.3g} nats a token, more than rounding "
                f"({self._gap_ceiling:g}): the sampler holds other weights or another temperature"
            )

    def check_published(self, gap: float) -> None:
        """Stops when the sampler has not taken over the weights that it was just given."""
        if not gap <= self._publish_ceiling:
            raise CanaryError(
                f"after a publish the sampler scores a fixed probe {gap:.3g} nats a token away "
                f"from the trainer, more than rounding ({self._publish_ceiling:g}): it samples "
                "from stale weights"
            )

    def check_frozen(self, checksums: Mapping[str, int]) -> None:
        """Stops when frozen weights are not those of `freeze`, or of the first call."""
        if self._frozen is None:
            self.freeze(checksums)
        drifted = [n for n, found in checksums.items() if (self._frozen or {}).get(n) != found]
        if drifted:
            raise CanaryError(
                f"the frozen weights of {' and '.join(drifted)} have changed without a refresh: "
                "every KL and score since is about another model"
            )

    def freeze(self, checksums: Mapping[str, int]) -> None:
        """Takes these for the frozen weights from now on."""
        self._frozen = dict(checksums)


_STATE = (
    "silent_batches",
    "repeat_nats",
    "start",
    "degenerate_batches",
    "frozen",
    "collapsed",
)


def require_finite(value: float, quantity: str, *, step: int) -> None:
    """Stops a run whose numbers are no numbers.

    Raises:
        CanaryError: `value` is infinite or not a number.
    """
    if not math.isfinite(value):
        raise CanaryError(
            f"{quantity} is {value} at optimizer step {step}; lower the learning rate, or look "
            "for a reward that is not finite"
        )


def repeat_evidence(rollouts: Iterable[Rollout]) -> float:
    """Nats of evidence that responses of a group are copies of each other.

    A response repeats an earlier one of its group with the chance q that the policy gives to what
    the group holds so far. A repeat adds -log q - log(2 - q) and any other response
    -log(2 - q), whose exponential has mean 1 under independent draws: so more than x nats come
    with a chance below e^-x (Markov), and a deterministic policy, q = 1, gives none.
    """
    groups: dict[int, dict[tuple[int, ...], float]] = {}
    evidence = 0.0
    for rollout in rollouts:
        seen = groups.setdefault(rollout.group, {})
        completion = rollout.completion
        if seen:
            most = max(seen.values())
            log_chance = most + math.log(sum(math.exp(one - most) for one in seen.values()))
            log_chance = min(0.0, log_chance)
            if completion.token_ids in seen:
                evidence -= log_chance
            evidence -= math.log(2 - math.exp(log_chance))
        seen[completion.token_ids] = sum(completion.logprobs)
    return evidence
