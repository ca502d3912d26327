from collections.abc import Iterator
from itertools import count

import pytest

from bakeoff.batch import collate
from bakeoff.config import ModelConfig
from bakeoff.interfaces import RolloutSource
from bakeoff.models.loading import Policy
from bakeoff.models.prompts import PromptFormat
from bakeoff.rollouts.demonstrations import DemonstrationSource
from bakeoff.tasks.arithmetic_task import ArithmeticTask, ArithmeticVerifier
from bakeoff.types import Problem, Reward


def numbered() -> Iterator[tuple[Problem, str]]:
    """The n-th solution of a stream that tells which one it is."""
    for index in count():
        yield Problem(id=str(index), question=f"{index} +1", answer=str(index + 1)), f"#{index + 1}"


@pytest.fixture
def source(shared_policy: Policy):
    def make(solutions=numbered, *, per_batch: int = 3, updates: int | None = None):
        made: RolloutSource = DemonstrationSource(
            solutions,
            PromptFormat(shared_policy.tokenizer, instruction="{question}\n", config=ModelConfig()),
            shared_policy.tokenizer,
            eos_token_id=shared_policy.eos_token_ids[0],
            per_batch=per_batch,
            updates=updates,
        )
        made.prepare()
        return made

    return make


def ids_of(rollouts) -> list[str]:
    return [rollout.problem.id for rollout in rollouts]


def test_batches_go_through_the_stream_one_after_the_other(source) -> None:
    made = source()
    assert [ids_of(made.draw(batch)) for batch in range(3)] == [
        ["0", "1", "2"],
        ["3", "4", "5"],
        ["6", "7", "8"],
    ]


def test_a_batch_is_a_function_of_its_index_alone(source) -> None:
    """As a resumed run draws it, and as nobody draws it: back and forth."""
    straight = source()
    batches = [straight.draw(batch) for batch in range(5)]
    assert source().draw(4) == batches[4]
    jumping = source()
    for batch in (3, 1, 2, 2, 0, 4):
        assert jumping.draw(batch) == batches[batch]


def test_a_solution_is_a_rollout_that_ends_with_eos_and_is_rewarded(
    source, shared_policy: Policy
) -> None:
    rollouts = source().draw(2)
    tokenizer = shared_policy.tokenizer
    for group, rollout in enumerate(rollouts):
        completion = rollout.completion
        assert completion.text == f"#{int(rollout.problem.id) + 1}"
        assert completion.token_ids[-1] == shared_policy.eos_token_ids[0]
        assert tokenizer.decode(completion.token_ids[:-1]) == completion.text
        assert tokenizer.decode(rollout.prompt_ids) == f"{rollout.problem.question}\n"
        assert completion.finish == "stop"
        assert rollout.reward == Reward(correct=True, outcome=1.0)
        assert rollout.group == group


def test_a_batch_is_trained_on_like_any_other(source) -> None:
    rollouts = source().draw(0)
    batch = collate(rollouts, pad_token_id=0)
    assert batch.response_mask.sum(dim=1).tolist() == [
        len(rollout.completion.token_ids) for rollout in rollouts
    ]
    assert batch.correct.all()
    assert not batch.sampler_logprobs.any()


def test_updates_bound_the_batches_and_without_them_there_is_no_end(source) -> None:
    assert source(updates=7).batches == 7
    assert source().batches is None


def test_gold_solutions_of_the_built_in_task_are_faultless_and_its_demonstrations_are_not(
    source,
) -> None:
    task, verifier = ArithmeticTask(), ArithmeticVerifier()

    def right(solutions) -> int:
        rollouts = source(lambda: solutions(seed=4), per_batch=100).draw(0)
        verdicts = verifier.verify(
            [rollout.problem for rollout in rollouts],
            [rollout.completion.text for rollout in rollouts],
        )
        return sum(verdict.correct is True for verdict in verdicts)

    assert right(task.gold_demonstrations) == 100
    assert 30 < right(task.demonstrations) < 80
