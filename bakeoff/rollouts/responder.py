"""Responses to the problems of a task with the verifier's word, as the lines of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress, Sampler, Verdict, Verifier
from bakeoff.ledger import Ledger
from bakeoff.models.flops import FlopsModel
from bakeoff.records import Row
from bakeoff.rewards.judging import verdicts
from bakeoff.types import Completion, Prompt, Reward, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Responder:
    """Samples and judges; charged to the ledger."""

    sampler: Sampler
    verifier: Verifier
    sampling: SamplingConfig
    samples: int  # a problem
    noise: NoiseAddress
    ledger: Ledger
    flops: FlopsModel

    def rows(self, prompts: Sequence[Prompt]) -> list[Row]:
        """A row a problem: its responses, whether each is correct, ended, and what it answers."""
        with self.ledger.phase("sample"):
            groups = self.sampler.sample(
                prompts, group_size=self.samples, sampling=self.sampling, noise=self.noise
            )
        with self.ledger.phase("score"):
            flat = iter(
                verdicts(
                    self.verifier,
                    [prompt for prompt in prompts for _ in range(self.samples)],
                    [completion for group in groups for completion in group],
                )
            )
        judged = [[next(flat) for _ in group] for group in groups]
        rollouts = [
            rollout
            for index, prompt in enumerate(prompts)
            for rollout in _rollouts(prompt, groups[index], judged[index], group=index)
        ]
        self.ledger.count_rollouts(rollouts, sampling_flops=self.flops.sampling(rollouts))
        return [
            {
                "id": prompt.problem.id,
                "question": prompt.problem.question,
                "answer": prompt.problem.answer,
                "responses": [completion.text for completion in group],
                "correct": [verdict.correct for verdict in said],
                "extracted": [verdict.extracted for verdict in said],
                "finish": [completion.finish for completion in group],
            }
            for prompt, group, said in zip(prompts, groups, judged, strict=True)
        ]


def _rollouts(
    prompt: Prompt, completions: Sequence[Completion], said: Sequence[Verdict], *, group: int
) -> list[Rollout]:
    return [
        Rollout(
            problem=prompt.problem,
            prompt_ids=prompt.token_ids,
            completion=completion,
            reward=Reward(correct=verdict.correct, outcome=float(bool(verdict.correct))),
            group=group,
        )
        for completion, verdict in zip(completions, said, strict=True)
    ]
