"""Continued training of a reward model, on the built-in architecture with random weights."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from bakeoff.config import ModelConfig
from bakeoff.ledger import Ledger
from bakeoff.memory.tracker import PeakMemory
from bakeoff.models.loading import load_policy
from bakeoff.reward_models.examples import LabelledSolution
from bakeoff.reward_models.folder import RewardHead, RewardKind
from bakeoff.reward_models.model import LoadedRewardModel, new_reward_model
from bakeoff.reward_models.refit import Observed, RewardRefit, outcome_labels
from bakeoff.reward_models.settings import RewardTrainingConfig
from bakeoff.reward_models.training import RewardModelTrainer, evaluate_reward_model
from bakeoff.types import Completion, Problem, Reward, Rollout

FLOPS = 100.0


def rollout(number: int, *, correct: bool | None = None, text: str = "", cut: bool = False):
    """The n-th rollout; every other one is correct."""
    correct = number % 2 == 0 if correct is None else correct
    return Rollout(
        problem=Problem(id=f"p{number}", question=f"{number} +1", answer=str(number + 1)),
        prompt_ids=(1, 2),
        completion=Completion(
            text=text or f"{number}+1={number + 1 + (not correct)}\n#{number + 1 + (not correct)}",
            token_ids=(3, 4),
            logprobs=(-1.0, -1.0),
            finish="length" if cut else "stop",
            policy_version=0,
        ),
        reward=Reward(correct=correct, outcome=0.0),
        group=number,
    )


def example(number: int) -> LabelledSolution:
    """An example of an earlier time."""
    text = f"old{number}"
    return LabelledSolution(
        question=f"{number} +1", response=text, ends=(len(text),), labels=(1.0,)
    )


class Remembering(RewardModelTrainer):
    """Trains for real, and keeps what it was given."""

    def __init__(self, loaded: LoadedRewardModel, config: RewardTrainingConfig, *, seed: int):
        super().__init__(loaded, config, seed=seed)
        self.fits: list[list[LabelledSolution]] = []

    def fit(self, examples, *, echo=None):
        self.fits.append(list(examples))
        return super().fit(examples, echo=echo)


def reward_model() -> LoadedRewardModel:
    torch.set_num_threads(1)
    config = ModelConfig(model="config:builtin")
    return new_reward_model(
        load_policy(config, init_seed=3),
        kind=RewardKind.OUTCOME,
        head=RewardHead.SCALAR,
        config=config,
        instruction="{question}\n",
        init_seed=0,
    )


@pytest.fixture
def refit():
    def make(
        *,
        history: Sequence[LabelledSolution] = (),
        replay_share: float = 0.1,
        solutions: int = 1000,
        label=outcome_labels,
        seed: int = 0,
        learning_rate: float = 1e-3,
    ):
        trainer = Remembering(
            reward_model(),
            RewardTrainingConfig(learning_rate=learning_rate, batch_solutions=8),
            seed=seed,
        )
        made = RewardRefit(
            trainer,
            label,
            history=history,
            replay_share=replay_share,
            solutions=solutions,
            seed=seed,
            ledger=Ledger(PeakMemory(torch.device("cpu"))),
            flops_per_token=FLOPS,
        )
        return made, trainer

    return make


def fresh(examples: Sequence[LabelledSolution]) -> list[LabelledSolution]:
    return [one for one in examples if not one.response.startswith("old")]


OLD = [example(n) for n in range(50)]


def test_outcome_labels_are_the_verifiers_word_at_the_end_of_the_text() -> None:
    problem = Problem(id="p", question="1 +1", answer="2")
    observed = [
        Observed(problem=problem, response="1+1=2\n#2", finished=True, correct=True),
        Observed(problem=problem, response="#3", finished=True, correct=False),
        Observed(problem=problem, response="1+1=", finished=False, correct=False),
    ]
    assert outcome_labels(observed, 0) == [
        LabelledSolution(question="1 +1", response="1+1=2\n#2", ends=(8,), labels=(1.0,)),
        LabelledSolution(question="1 +1", response="#3", ends=(2,), labels=(0.0,)),
        LabelledSolution(
            question="1 +1", response="1+1=", ends=(4,), labels=(0.0,), finished=False
        ),
    ]


def test_only_what_can_be_labelled_is_learned_from(refit) -> None:
    """No verdict is no label, and without text there is nothing to read."""
    made, trainer = refit(replay_share=0)
    unjudged = replace(rollout(1), reward=Reward(correct=None, outcome=None))
    blank = replace(rollout(2), completion=replace(rollout(2).completion, text=" \n"))
    made.observe([rollout(0), unjudged, blank, rollout(3)])
    made.refit()
    assert [one.question for one in trainer.fits[0]] == ["0 +1", "3 +1"]
    assert [one.labels for one in trainer.fits[0]] == [(1.0,), (0.0,)]


@pytest.mark.parametrize(
    ("share", "fresh_count", "replayed"),
    [
        (0.0, 18, 0),
        (0.1, 18, 2),  # a tenth of 20
        (0.1, 9, 1),
        (0.25, 9, 3),
        (0.5, 10, 10),
        (0.9, 10, 50),  # 90 asked for, 50 there
    ],
)
def test_the_replayed_share_is_exact(refit, share: float, fresh_count: int, replayed: int) -> None:
    made, trainer = refit(history=OLD, replay_share=share)
    made.observe([rollout(n) for n in range(fresh_count)])
    made.refit()
    (given,) = trainer.fits
    assert len(fresh(given)) == fresh_count
    assert len(given) - fresh_count == replayed
    # Drawn without putting back.
    assert len({one.response for one in given if one in OLD}) == replayed


def test_the_replay_reaches_back_to_every_iteration_but_not_to_the_current_one(refit) -> None:
    made, trainer = refit(history=OLD[:3], replay_share=0.5)
    for iteration in range(2):
        made.observe([rollout(n) for n in range(10 * iteration, 10 * iteration + 10)])
        made.refit()
    first, second = trainer.fits
    assert len(first) == 10 + 3
    assert len(second) == 10 + 10
    current = {f"{n} +1" for n in range(10, 20)}
    replayed = [one for one in second if one.question not in current]
    assert len(replayed) == 10
    earlier = OLD[:3] + fresh(first)
    assert all(one in earlier for one in replayed)
    # Of 13, ten without putting back: at least seven are of the first iteration.
    assert len(fresh(replayed)) >= 7


def test_an_iteration_is_learned_from_once(refit) -> None:
    made, trainer = refit(replay_share=0)
    made.observe([rollout(0), rollout(1)])
    made.observe([rollout(2)])
    made.refit()
    made.observe([rollout(3)])
    made.refit()
    assert [[one.question for one in fit] for fit in trainer.fits] == [
        ["0 +1", "1 +1", "2 +1"],
        ["3 +1"],
    ]


def test_at_most_so_many_solutions_are_drawn_and_another_seed_draws_others(refit) -> None:
    chosen = []
    for seed in (0, 0, 1):
        made, trainer = refit(solutions=5, replay_share=0, seed=seed)
        made.observe([rollout(n) for n in range(40)])
        made.refit()
        chosen.append([one.question for one in trainer.fits[0]])
    assert all(len(set(one)) == 5 for one in chosen)
    assert chosen[0] == chosen[1] != chosen[2]
    assert chosen[0] != [f"{n} +1" for n in range(5)]


def test_the_labeller_is_told_which_refit_it_is(refit) -> None:
    calls = []

    def label(observed: Sequence[Observed], number: int) -> list[LabelledSolution]:
        calls.append((number, len(observed)))
        return outcome_labels(observed, number)

    made, _ = refit(label=label)
    for count in (3, 2):
        made.observe([rollout(n) for n in range(count)])
        made.refit()
    assert calls == [(0, 3), (1, 2)]


def test_an_iteration_without_a_label_trains_nothing_and_costs_nothing(refit) -> None:
    made, trainer = refit(label=lambda observed, number: [], history=OLD)
    made.observe([rollout(0)])
    made.refit()
    assert trainer.fits == []
    assert made._ledger.reward_model_tokens == made._ledger.flops == 0


def test_what_is_read_is_paid_for_forward_and_backward(refit) -> None:
    """The built-in tokenizer has a token a character; the prompt ends a line, the text with EOS."""
    made, trainer = refit(replay_share=0)
    made.observe([rollout(0), rollout(1, cut=True)])
    made.refit()
    tokens = sum(
        len(one.question) + 1 + len(one.response) + one.finished for one in trainer.fits[0]
    )
    assert made._ledger.reward_model_tokens == tokens
    assert made._ledger.flops == 3 * FLOPS * tokens
    assert made._ledger.seconds["refit"] > 0


def test_a_refit_makes_the_model_agree_with_the_verifier(refit) -> None:
    rollouts = [rollout(n) for n in range(40)]
    made, trainer = refit(replay_share=0, learning_rate=3e-3)
    labelled = outcome_labels(
        [
            Observed(
                problem=one.problem,
                response=one.completion.text,
                finished=True,
                correct=one.reward.correct,
            )
            for one in rollouts
        ],
        0,
    )
    before = evaluate_reward_model(trainer._loaded, labelled, max_tokens=4096)
    for _ in range(12):
        made.observe(rollouts)
        made.refit()
    after = evaluate_reward_model(trainer._loaded, labelled, max_tokens=4096)
    assert after.loss < 0.9 * before.loss


def test_what_is_saved_continues_bitwise(refit, tmp_path) -> None:
    """Stopped in the middle of the second iteration, with rollouts that no refit has seen."""

    def iterations(made, numbers) -> None:
        for number in numbers:
            made.observe([rollout(n) for n in range(9 * number, 9 * number + 9)])
            made.refit()

    settings = {"history": OLD[:5], "replay_share": 0.25, "solutions": 7}
    straight, trained = refit(**settings)
    iterations(straight, [0])
    straight.observe([rollout(n) for n in range(100, 104)])
    straight.save(tmp_path)
    resumed, again = refit(**settings)
    resumed.load(tmp_path)
    for made in (straight, resumed):
        iterations(made, [1, 2])
    assert trained.fits[1:] == again.fits
    assert straight._ledger.reward_model_tokens > resumed._ledger.reward_model_tokens
    one, two = (t._loaded.model.state_dict() for t in (trained, again))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
