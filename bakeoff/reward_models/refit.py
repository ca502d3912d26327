"""Refitting a reward model while a policy trains (arXiv:2402.03300v3 section 4.1.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bakeoff.ledger import Ledger
from bakeoff.models.flops import BACKWARD
from bakeoff.records import append_lines, read_json, read_lines, write_json
from bakeoff.reward_models.examples import LabelledSolution
from bakeoff.reward_models.history import read_labelled, write_labelled
from bakeoff.reward_models.training import RewardModelTrainer
from bakeoff.seeds import generator
from bakeoff.types import Problem, Rollout

_CURRENT, _HISTORY, _STATE = "refit_rollouts.jsonl", "refit_history.jsonl", "refit.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a label is made of."""

    problem: Problem
    response: str
    finished: bool  # ended by itself
    correct: bool | None  # the verifier's word


# Labels the responses of the n-th refit; those that cannot be labelled are left out.
Labeller = Callable[[Sequence[Observed], int], list[LabelledSolution]]


class RewardRefit:
    """Collects an iteration's rollouts and continues the reward model's training on them.

    Args:
        trainer: of the live reward model.
        label: from rollouts to training examples.
        history: what the reward model was trained on before; replay draws from it and from every
            earlier iteration.
        replay_share: of a refit's examples, in [0, 1).
        solutions: at most so many fresh examples a refit, drawn from the iteration's rollouts.
        seed: of both draws.
        ledger: pays for it, in the phase "refit".
        flops_per_token: of a forward pass of the reward model.
    """

    def __init__(
        self,
        trainer: RewardModelTrainer,
        label: Labeller,
        *,
        history: Sequence[LabelledSolution],
        replay_share: float,
        solutions: int,
        seed: int,
        ledger: Ledger,
        flops_per_token: float,
    ) -> None:
        self._trainer = trainer
        self._label = label
        self._history = list(history)
        self._replay_share = replay_share
        self._solutions = solutions
        self._seed = seed
        self._ledger = ledger
        self._flops_per_token = flops_per_token
        self._observed: list[Observed] = []
        self._refits = 0

    def observe(self, rollouts: Sequence[Rollout]) -> None:
        """Keeps the rollouts of a batch for the next refit."""
        self._observed += [
            Observed(
                problem=rollout.problem,
                response=rollout.completion.text,
                finished=rollout.completion.finish == "stop",
                correct=rollout.reward.correct,
            )
            for rollout in rollouts
        ]

    def refit(self) -> None:
        """Trains on the iteration's rollouts and the replayed share of earlier examples."""
        random_state = generator(self._seed, "refit", self._refits)
        chosen = random_state.permutation(len(self._observed))[: self._solutions]
        observed = [self._observed[index] for index in sorted(chosen)]
        fresh = self._label(observed, self._refits)
        replayed = round(len(fresh) * self._replay_share / (1 - self._replay_share))
        places = random_state.permutation(len(self._history))[:replayed]
        examples = fresh + [self._history[index] for index in sorted(places)]
        self._history += fresh
        self._observed = []
        self._refits += 1
        if not examples:
            return
        with self._ledger.phase("refit"):
            tokens = self._trainer.fit(examples).tokens
        self._ledger.reward_model_tokens += tokens
        self._ledger.flops += tokens * self._flops_per_token * (1 + BACKWARD)

    def save(self, directory: Path) -> None:
        """Writes the reward model, its optimizer, the rollouts kept and the history."""
        self._trainer.save(directory)
        append_lines(directory / _CURRENT, [asdict(one) for one in self._observed])
        write_labelled(directory / _HISTORY, self._history)
        write_json(directory / _STATE, {"refits": self._refits})

    def load(self, directory: Path) -> None:
        """Continues bitwise from what `save` wrote."""
        self._trainer.load(directory)
        self._observed = [
            Observed(**row | {"problem": Problem(**row["problem"])})
            for row in read_lines(directory / _CURRENT)
        ]
        self._history = read_labelled(directory / _HISTORY)
        self._refits = read_json(directory / _STATE)["refits"]


def outcome_labels(observed: Sequence[Observed], _refit: int) -> list[LabelledSolution]:
    """The verifier's word on each response, for an outcome reward model."""
    return [
        LabelledSolution(
            question=one.problem.question,
            response=one.response,
            ends=(len(one.response),),
            labels=(float(one.correct),),
            finished=one.finished,
        )
        for one in observed
        if one.correct is not None and one.response.strip()
    ]
