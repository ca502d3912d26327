"""Step labels without people: Math-Shepherd (arXiv:2312.08935v3 section 3.3).

A step is worth what it leads to: a completer continues the solution from every step, and the label
says how many of the continuations reach the known answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from bakeoff.config import SamplingConfig
from bakeoff.errors import ConfigError
from bakeoff.interfaces import NoiseAddress, StepChecker, Verifier
from bakeoff.ledger import Ledger
from bakeoff.models.flops import FlopsModel
from bakeoff.models.prompts import PromptFormat
from bakeoff.records import Row
from bakeoff.reward_models.encoding import EncodedSolution, encode_solution
from bakeoff.reward_models.solutions import Solution
from bakeoff.rewards.judging import judge_completions
from bakeoff.rewards.steps import Step, split_steps
from bakeoff.rollouts.prefill import SolutionPrefixes
from bakeoff.types import Completion, Prompt


class Completer(Protocol):
    """Finishes what is begun; a policy's sampler is one."""

    def continue_prefixes(
        self,
        solutions: Sequence[SolutionPrefixes],
        *,
        group_size: int,
        sampling: SamplingConfig,
        noise: NoiseAddress,
    ) -> list[list[list[Completion]]]:
        """`group_size` completions of every prefix of every solution, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A solution with the prefixes that something is left to write after."""

    solution: Solution
    prompt: Prompt
    steps: list[Step]
    encoded: EncodedSolution

    @property
    def is_finished(self) -> bool:
        return self.solution.finish == "stop"

    @property
    def prefixes(self) -> SolutionPrefixes:
        ends = self.encoded.ends[: -1 if self.is_finished else None]
        return SolutionPrefixes(
            id=f"{self.solution.problem.id}/{self.solution.number}",
            token_ids=self.encoded.token_ids,
            lengths=tuple(end + 1 for end in ends),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotator:
    """Labels the steps of solutions with a completer and a verifier; charged to the ledger.

    `max_response_tokens` of `sampling` is the limit of a continuation, not of the whole.
    """

    completer: Completer
    prompts: PromptFormat
    tokenizer: PreTrainedTokenizerBase  # the completer's
    verifier: Verifier
    step_checker: StepChecker | None
    task: str  # for the records
    sampling: SamplingConfig
    completions: int  # N, from every step
    ledger: Ledger
    flops: FlopsModel

    def annotate(self, solutions: Sequence[Solution], *, noise: NoiseAddress) -> list[Row]:
        """A record a solution: each step with its hard and soft estimate, eq. 3 and 4.

        The last step of a solution that ended by itself needs no completion, for nothing is left
        to write: its label is the verifier's word on the solution, counted as `completions` equal
        ones. That of a solution that was cut is continued like the others. A continuation that is
        cut at the limit is wrong. Completions on which the verifier failed are left out, and so is
        a step that has no others.

        ``truth``, where the task has an exact checker of steps, has a value a step: 1 where this
        step and all before it are right, else 0; None where a cut solution breaks off in it.

        Raises:
            ConfigError: a question that the task's checker of steps cannot read.
        """
        begun = [self._begin(solution) for solution in solutions]
        with self.ledger.phase("sample"):
            continued = self.completer.continue_prefixes(
                [one.prefixes for one in begun],
                group_size=self.completions,
                sampling=self.sampling,
                noise=noise,
            )
        self._count(begun, continued)
        with self.ledger.phase("score"):
            judged = self._judge(begun, continued)
        return [self._record(one, right) for one, right in zip(begun, judged, strict=True)]

    def _begin(self, solution: Solution) -> _Begun:
        prompt = self.prompts.render(solution.problem)
        steps = split_steps(solution.response)
        encoded = encode_solution(
            prompt,
            solution.response,
            ends=[step.end for step in steps],
            tokenizer=self.tokenizer,
            eos_token_id=None,
        )
        return _Begun(solution=solution, prompt=prompt, steps=steps, encoded=encoded)

    def _count(
        self, begun: Sequence[_Begun], continued: Sequence[Sequence[Sequence[Completion]]]
    ) -> None:
        for one, groups in zip(begun, continued, strict=True):
            lengths = one.prefixes.lengths
            if not lengths:
                continue
            read = max(lengths)
            self.ledger.prompt_tokens += read
            self.ledger.flops += self.flops.forward(
                read, context=read / 2, head_tokens=len(lengths)
            )
            for length, group in zip(lengths, groups, strict=True):
                self.ledger.rollouts += len(group)
                for completion in group:
                    written = len(completion.token_ids)
                    self.ledger.sampled_tokens += written
                    self.ledger.flops += self.flops.forward(written, context=length + written / 2)

    def _judge(
        self, begun: Sequence[_Begun], continued: Sequence[Sequence[Sequence[Completion]]]
    ) -> list[list[list[bool | None]]]:
        """Whether each completion of each step is right; the last step's included."""
        groups: list[list[list[Completion]]] = [
            [
                [self._whole(one, length, completion) for completion in group]
                for length, group in zip(one.prefixes.lengths, continuations, strict=True)
            ]
            + ([[_written(one.solution)]] if one.is_finished and one.steps else [])
            for one, continuations in zip(begun, continued, strict=True)
        ]
        flat = [
            (one.prompt, completion)
            for one, steps in zip(begun, groups, strict=True)
            for step in steps
            for completion in step
        ]
        judged = judge_completions(
            self.verifier,
            [prompt for prompt, _ in flat],
            [completion for _, completion in flat],
        )
        self.ledger.verifier_calls += sum(completion.finish == "stop" for _, completion in flat)
        self.ledger.verifier_errors += judged.count(None)
        verdicts = iter(judged)
        return [[[next(verdicts) for _ in step] for step in steps] for steps in groups]

    def _whole(self, one: _Begun, length: int, completion: Completion) -> Completion:
        """The completed solution: decoded in one, or a tokenizer could lose the space between."""
        begin = one.encoded.token_ids[one.encoded.prompt_tokens : length]
        added = completion.token_ids[: -1 if completion.finish == "stop" else None]
        text = self.tokenizer.decode([*begin, *added], skip_special_tokens=True)
        return replace(completion, text=text)

    def _record(self, one: _Begun, judged: Sequence[Sequence[bool | None]]) -> Row:
        steps, kept = [], []
        for place, (step, verdicts) in enumerate(zip(one.steps, judged, strict=True)):
            known = [verdict for verdict in verdicts if verdict is not None]
            if not known:
                continue
            is_end = one.is_finished and place == len(one.steps) - 1
            completions = self.completions if is_end else len(known)
            right = sum(known) * (self.completions if is_end else 1)
            kept.append(place)
            steps.append(
                {
                    "text": step.text,
                    "end": step.end,
                    "hard": int(right > 0),
                    "soft": right / completions,
                    "completions": completions,
                    "right": right,
                }
            )
        truth = self._truth(one)
        solution = one.solution
        return {
            "id": solution.problem.id,
            "number": solution.number,
            "task": self.task,
            "question": solution.problem.question,
            "answer": solution.problem.answer,
            "response": solution.response,
            "finish": solution.finish,
            "steps": steps,
        } | ({} if truth is None else {"truth": [truth[place] for place in kept]})

    def _truth(self, one: _Begun) -> list[int | None] | None:
        if self.step_checker is None:
            return None
        problem = one.solution.problem
        try:
            values = self.step_checker(problem, [step.text for step in one.steps])
        except ValueError as error:
            raise ConfigError(
                f"the steps of {problem.id!r} cannot be checked by task {self.task}: {error}; "
                "take the --task that the question is of"
            ) from error
        if len(values) != len(one.steps):
            raise ConfigError(
                f"the step checker of task {self.task} returned {len(values)} values for "
                f"{len(one.steps)} steps of {problem.id!r}; it must return one for each"
            )
        right: list[int | None] = [
            int(so_far) for so_far in accumulate((value > 0 for value in values), min)
        ]
        if right and not one.is_finished and not one.solution.response.endswith("\n"):
            right[-1] = None
        return right


def _written(solution: Solution) -> Completion:
    """A solution that ended by itself, as a completion with nothing left to draw."""
    return Completion(
        text=solution.response, token_ids=(), logprobs=(), finish="stop", policy_version=0
    )
