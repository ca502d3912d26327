import torch
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.batch import TokenBatch, collate
from bakeoff.shared_prompts import lay_out
from bakeoff.types import Completion, Problem, Reward, Rollout

# Prompt (its tokens tell which) and tokens of the response.
SHAPES = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=12)


def _batch(shapes: list[tuple[int, int]]) -> TokenBatch:
    """Responses of tokens 100, 101, ... after prompts of p tokens p."""
    return collate(
        [
            Rollout(
                problem=Problem(id=str(p), question="", answer=""),
                prompt_ids=(p,) * p,
                completion=Completion(
                    text="",
                    token_ids=tuple(range(100 + 10 * row, 100 + 10 * row + r)),
                    logprobs=(0.0,) * r,
                    finish="stop",
                    policy_version=0,
                ),
                reward=Reward(correct=True, outcome=1.0),
                group=row,
            )
            for row, (p, r) in enumerate(shapes)
        ],
        pad_token_id=0,
    )


def test_a_prompt_is_read_once_and_a_response_without_its_last_token():
    laid = lay_out(_batch([(2, 3), (1, 2), (2, 1)]))
    # Prompts by their tokens, then the responses by row; the third row has only a last token.
    assert laid.input_ids.tolist() == [[1, 2, 2, 100, 101, 110]]
    assert laid.position_ids.tolist() == [[0, 0, 1, 2, 3, 1]]
    assert laid.predicting.tolist() == [2, 3, 4, 0, 5, 2]
    assert laid.prompt_lengths.tolist() == [1, 2]
    assert laid.prompt_places.tolist() == [[0, 0], [1, 2]]


def test_a_token_attends_to_its_prompt_and_what_came_before():
    laid = lay_out(_batch([(2, 3), (1, 3)]))
    (responses,) = laid.responses
    assert responses.prompts.tolist() == [1, 0]
    mask = laid.response_mask(0, None, torch.float32)
    assert torch.isneginf(mask).int().tolist() == [
        [[[0, 0, 0, 1], [0, 0, 0, 0]]],
        [[[0, 1, 0, 1], [0, 1, 0, 0]]],
    ]


def test_a_window_leaves_out_what_is_further_back():
    laid = lay_out(_batch([(3, 3)]))
    mask = laid.response_mask(0, 2, torch.float32)
    assert torch.isneginf(mask).int().tolist() == [[[[1, 1, 0, 0, 1], [1, 1, 1, 0, 0]]]]
    prompt = laid.prompt_mask(2, torch.float32)
    assert torch.isneginf(prompt).int().tolist() == [[[[0, 1, 1], [0, 0, 1], [1, 0, 0]]]]
    assert laid.prompt_mask(3, torch.float32) is None


def test_equal_prompt_lengths_take_one_mask_for_all_rows():
    laid = lay_out(_batch([(2, 3), (2, 4)]))
    assert [laid.response_mask(i, None, torch.float32).shape[0] for i in (0, 1)] == [1, 1]


@given(SHAPES)
def test_every_response_token_is_predicted_by_the_token_before_it(shapes):
    batch = _batch(shapes)
    laid = lay_out(batch)
    rows, columns = batch.response_mask.nonzero(as_tuple=True)
    before = batch.input_ids[rows, columns + batch.prompt_length - 1]
    assert torch.equal(laid.input_ids[0][laid.predicting], before)
    prompts = torch.tensor([shapes[row][0] for row in rows.tolist()])
    assert torch.equal(laid.position_ids[0][laid.predicting], prompts - 1 + columns)


@given(SHAPES)
def test_what_attention_reads_comes_back_to_its_place(shapes):
    laid = lay_out(_batch(shapes))
    places = torch.arange(laid.input_ids.shape[1])
    tables = [laid.prompt_places, *(r.places for r in laid.responses)]
    assert torch.equal(torch.cat([t.flatten() for t in tables])[laid.origins], places)


@given(SHAPES)
def test_similar_responses_waste_less_than_half(shapes):
    for responses in lay_out(_batch(shapes)).responses:
        assert 2 * responses.lengths.min() >= responses.places.shape[1]
