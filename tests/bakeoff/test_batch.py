from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.batch import collate, numbered_prompts, take, trim
from bakeoff.types import Completion, Problem, Reward, Rollout


def rollout(prompt: int, response: int, *, stop: bool = True, group: int = 0) -> Rollout:
    return Rollout(
        problem=Problem(id="p", question="", answer=""),
        prompt_ids=tuple(range(10, 10 + prompt)),
        completion=Completion(
            text="",
            token_ids=tuple(range(30, 30 + response)),
            logprobs=(-1.0,) * response,
            finish="stop" if stop else "length",
            policy_version=0,
        ),
        reward=Reward(correct=True, outcome=1.0),
        group=group,
    )


def test_prompts_are_left_padded_and_responses_right_padded():
    batch = collate([rollout(2, 1), rollout(1, 3, stop=False)], pad_token_id=0)
    assert batch.input_ids.tolist() == [[10, 11, 30, 0, 0], [0, 10, 30, 31, 32]]
    assert batch.attention_mask.tolist() == [
        [True, True, True, False, False],
        [False, True, True, True, True],
    ]
    assert batch.response_mask.tolist() == [[True, False, False], [True, True, True]]
    assert batch.truncated.tolist() == [False, True]


def test_a_pad_token_inside_a_response_still_counts():
    one = rollout(1, 2)
    one = replace(one, completion=replace(one.completion, token_ids=(5, 0)))
    batch = collate([one, rollout(1, 3)], pad_token_id=0)
    assert batch.response_mask[0].tolist() == [True, True, False]


def test_step_rewards_stand_at_step_ends():
    one = replace(
        rollout(1, 4),
        reward=Reward(correct=True, outcome=1.0, step_ends=(1, 3), step_values=(0.5, -1.0)),
    )
    batch = collate([one], pad_token_id=0)
    assert batch.step_rewards.tolist() == [[0.0, 0.5, 0.0, -1.0]]
    assert batch.step_mask.tolist() == [[False, True, False, True]]


def test_unscored_rollouts_are_refused():
    one = replace(rollout(1, 1), reward=Reward(correct=None, outcome=None))
    with pytest.raises(ValueError, match="left out"):
        collate([one], pad_token_id=0)
    with pytest.raises(ValueError, match="empty"):
        collate([], pad_token_id=0)


def test_equal_prompts_have_one_number_and_its_first_row():
    batch = collate([rollout(2, 1), rollout(3, 1), rollout(2, 4), rollout(3, 2)], pad_token_id=0)
    numbers, first_rows = numbered_prompts(batch)
    assert numbers[0] == numbers[2] != numbers[1] == numbers[3]
    assert first_rows[numbers].tolist() == [0, 1, 0, 1]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=9))
def test_trimming_removes_only_padding(shapes):
    rows = [rollout(p, r) for p, r in shapes]
    batch = collate([*rows, rollout(12, 12)], pad_token_id=0)
    trimmed = trim(take(batch, torch.arange(len(rows))))
    expected = collate(rows, pad_token_id=0)
    assert torch.equal(trimmed.input_ids, expected.input_ids)
    assert torch.equal(trimmed.attention_mask, expected.attention_mask)
    assert torch.equal(trimmed.response_mask, expected.response_mask)
    assert torch.equal(trimmed.sampler_logprobs, expected.sampler_logprobs)
