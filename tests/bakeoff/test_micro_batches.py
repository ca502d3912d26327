import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.batch import TokenBatch, collate
from bakeoff.micro_batches import by_length, by_prompt, micro_batches
from bakeoff.types import Completion, Problem, Reward, Rollout

# Prompt and length of its response, for prompts of so many tokens.
_ROWS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=20)


def _batch(rows: list[tuple[int, int]]) -> TokenBatch:
    """Rows of a prompt of p tokens, all p, and a response of r."""
    return collate(
        [
            Rollout(
                problem=Problem(id=str(p), question="", answer=""),
                prompt_ids=(p,) * p,
                completion=Completion(
                    text="",
                    token_ids=(1,) * r,
                    logprobs=(0.0,) * r,
                    finish="stop",
                    policy_version=0,
                ),
                reward=Reward(correct=True, outcome=1.0),
                group=p,
            )
            for p, r in rows
        ],
        pad_token_id=0,
    )


def _cuts(rows: list[tuple[int, int]], limit: int, *, shared: bool) -> list[list[int]]:
    every = torch.arange(len(rows))
    cuts = micro_batches(_batch(rows), max_tokens=limit, rows=every, shared_prompts=shared)
    return [cut.tolist() for cut in cuts]


@given(_ROWS, st.integers(1, 60), st.booleans())
def test_every_row_is_in_one_cut_within_the_limit(rows, limit, shared):
    cuts = _cuts(rows, limit, shared=shared)
    assert sorted(row for cut in cuts for row in cut) == list(range(len(rows)))
    for cut in cuts:
        if shared:
            prompts = {rows[row][0] for row in cut}
            tokens = sum(prompts) + sum(rows[row][1] for row in cut)
        else:
            tokens = len(cut) * max(sum(rows[row]) for row in cut)
        assert tokens <= limit or len(cut) == 1


@given(_ROWS, st.integers(20, 60))
def test_a_prompt_is_cut_in_two_only_where_a_cut_ends(rows, limit):
    seen = [prompt for cut in _cuts(rows, limit, shared=True) for prompt in _prompts(rows, cut)]
    # Neighbours in one cut are equal or new: a prompt never comes back later.
    runs = [p for at, p in enumerate(seen) if at == 0 or p != seen[at - 1]]
    assert len(runs) == len(set(runs))


def _prompts(rows, cut):
    return [rows[row][0] for row in cut]


def test_cuts_are_as_few_as_the_limit_allows_and_of_similar_sizes():
    # Four rows of two fill the limit; a greedy cut would leave three and four.
    assert [len(cut) for cut in _cuts([(1, 1)] * 7, 8, shared=False)] == [4, 3]
    assert [len(cut) for cut in _cuts([(1, 1)] * 9, 14, shared=False)] == [5, 4]
    # A prompt of 4 and rows of 2: 4 + 4 x 2 = 12 each, where 16 would take six and two.
    assert [len(cut) for cut in _cuts([(4, 2)] * 8, 16, shared=True)] == [4, 4]


@pytest.mark.parametrize("shared", [True, False])
def test_no_rows_make_no_cuts(shared):
    none = torch.arange(0)
    cuts = micro_batches(_batch([(1, 1)]), max_tokens=8, rows=none, shared_prompts=shared)
    assert list(cuts) == []


def test_a_prompt_counts_once_in_a_cut_and_again_in_the_next():
    # Tokens row by row: 3 + 2, 2, then 1 + 2 of another prompt.
    assert by_prompt([0, 0, 1], [3, 3, 1], [2, 2, 2], size=7) == [(0, 2), (2, 3)]
    assert by_prompt([0, 0, 1], [3, 3, 1], [2, 2, 2], size=10) == [(0, 3)]
    assert by_prompt([0, 0, 1], [3, 3, 1], [2, 2, 2], size=5) == [(0, 1), (1, 2), (2, 3)]


def test_lengths_count_at_the_longest():
    assert by_length([1, 2, 3, 3], size=6) == [(0, 2), (2, 4)]
    assert by_length([9], size=6) == [(0, 1)]
