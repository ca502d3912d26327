"""Evaluation of a policy: a record per problem, from which every accuracy is computed later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress, Sampler, Verdict, Verifier
from bakeoff.types import Completion, Prompt, Reward, Rollout, Split

TRANSCRIPTS = 4  # problems whose whole responses are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """Draws and judges responses to held-out problems.

    Samples are drawn at temperature 1 without truncation, whatever training uses, and the noise
    depends on the seed alone: two policies at the same seed are compared on common draws.
    """

    prompts: Sequence[Prompt]
    split: Split
    sampler: Sampler
    verifier: Verifier
    sampling: SamplingConfig
    seed: int

    def records(self, *, samples: int, greedy: bool) -> tuple[list[dict[str, Any]], list[Rollout]]:
        """A row per problem, and the sampled rollouts for whoever measures more on them."""
        sampled = self._draw(samples, replace(self.sampling, temperature=1.0, top_p=1.0, top_k=0))
        verdicts = self._judge(sampled)
        greedy_verdicts: list[list[Verdict | None]] = [[None]] * len(self.prompts)
        if greedy:
            best = self._draw(1, replace(self.sampling, temperature=0.0, top_p=1.0, top_k=0))
            greedy_verdicts = [list(group) for group in self._judge(best)]
        rows = [
            {
                "split": self.split.value,
                "problem": prompt.problem.id,
                "greedy": None if best_verdict is None else best_verdict.correct,
                "correct": [verdict.correct for verdict in group_verdicts],
                "answers": [verdict.extracted for verdict in group_verdicts],
                "response_tokens": [len(completion.token_ids) for completion in group],
            }
            for prompt, group, group_verdicts, (best_verdict,) in zip(
                self.prompts, sampled, verdicts, greedy_verdicts, strict=True
            )
        ]
        return rows, self._rollouts(sampled, verdicts)

    def _draw(self, samples: int, sampling: SamplingConfig) -> list[list[Completion]]:
        return self.sampler.sample(
            self.prompts,
            group_size=samples,
            sampling=sampling,
            noise=NoiseAddress(seed=self.seed, batch=f"evaluation/{self.split.value}"),
        )

    def _judge(self, groups: Sequence[Sequence[Completion]]) -> list[list[Verdict]]:
        problems = [p.problem for p, g in zip(self.prompts, groups, strict=True) for _ in g]
        completions = [completion for group in groups for completion in group]
        flat = iter(self.verifier.verify(problems, [completion.text for completion in completions]))
        return [[_cut_is_wrong(completion, next(flat)) for completion in group] for group in groups]

    def _rollouts(
        self, groups: Sequence[Sequence[Completion]], verdicts: Sequence[Sequence[Verdict]]
    ) -> list[Rollout]:
        return [
            Rollout(
                problem=prompt.problem,
                prompt_ids=prompt.token_ids,
                completion=completion,
                reward=Reward(correct=verdict.correct, outcome=float(bool(verdict.correct))),
                group=index,
            )
            for index, (prompt, group, group_verdicts) in enumerate(
                zip(self.prompts, groups, verdicts, strict=True)
            )
            for completion, verdict in zip(group, group_verdicts, strict=True)
        ]


def transcripts(rollouts: Sequence[Rollout]) -> list[dict[str, Any]]:
    """The first whole response of the first few problems."""
    first = {rollout.group: rollout for rollout in reversed(rollouts)}
    return [
        {
            "problem": rollout.problem.id,
            "question": rollout.problem.question,
            "answer": rollout.problem.answer,
            "response": rollout.completion.text,
            "reward": rollout.reward.outcome,
            "correct": rollout.reward.correct,
        }
        for _, rollout in sorted(first.items())[:TRANSCRIPTS]
    ]


def _cut_is_wrong(completion: Completion, verdict: Verdict) -> Verdict:
    """A response cut at the limit is wrong, whatever stands in it: no end is invented for it."""
    if completion.finish == "length" and verdict.correct:
        return replace(verdict, correct=False, reason="cut at the limit")
    return verdict
