import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from bakeoff.batch import collate
from bakeoff.logprobs import response_hidden, response_logprobs
from bakeoff.packing import best_fit, pack
from bakeoff.types import Completion, Problem, Reward, Rollout

_SHAPES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12)


def _batch(shapes):
    tokens = itertools.count(1)
    return collate(
        [
            Rollout(
                problem=Problem(id=str(row), question="", answer=""),
                prompt_ids=tuple(next(tokens) for _ in range(prompt)),
                completion=Completion(
                    text="",
                    token_ids=tuple(next(tokens) for _ in range(response)),
                    logprobs=(0.0,) * response,
                    finish="stop",
                    policy_version=0,
                ),
                reward=Reward(correct=True, outcome=1.0),
                group=row,
            )
            for row, (prompt, response) in enumerate(shapes)
        ],
        pad_token_id=0,
    )


def test_a_short_sequence_shares_a_row_with_another():
    packed = pack(_batch([(1, 1), (2, 2), (1, 1)]))
    assert packed.input_ids.tolist() == [[3, 4, 5, 6], [1, 2, 7, 8]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3], [0, 1, 0, 1]]
    # Tokens 2, 5, 6 and 8 are responses; the token before each predicts it.
    assert packed.predicting.tolist() == [4, 1, 2, 6]


def test_padding_counts_on_so_that_it_is_no_sequence_of_its_own():
    packed = pack(_batch([(2, 3), (2, 2)]))
    assert packed.input_ids.tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 0]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 4]] * 2


@given(_SHAPES)
def test_every_response_token_is_predicted_by_the_token_before_it(shapes):
    batch = _batch(shapes)
    packed = pack(batch)
    read = packed.input_ids.flatten()
    positions = packed.position_ids.flatten()
    rows, columns = batch.response_mask.nonzero(as_tuple=True)
    before = batch.input_ids[rows, columns + batch.prompt_length - 1]
    assert torch.equal(read[packed.predicting], before)
    prompts = torch.tensor([shapes[row][0] for row in rows.tolist()])
    assert torch.equal(positions[packed.predicting], prompts - 1 + columns)


@given(_SHAPES)
def test_every_token_is_read_once_and_sequences_lie_whole(shapes):
    batch = _batch(shapes)
    packed = pack(batch)
    read = packed.input_ids[packed.input_ids > 0]
    assert sorted(read.tolist()) == sorted(batch.input_ids[batch.attention_mask].tolist())
    for tokens, positions in zip(packed.input_ids, packed.position_ids, strict=True):
        for place in range(1, len(tokens)):
            if tokens[place] and positions[place]:
                assert tokens[place] == tokens[place - 1] + 1


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_best_fit_overlaps_nothing_and_wastes_little(lengths):
    rows, offsets = best_fit(lengths)
    width = max(lengths)
    taken = set()
    for row, offset, length in zip(rows, offsets, lengths, strict=True):
        places = {(row, place) for place in range(offset, offset + length)}
        assert offset + length <= width
        assert not places & taken
        taken |= places
    fewest = -(-sum(lengths) // width)
    used = max(rows) + 1
    assert set(rows) == set(range(used))
    # Any two rows hold more than one width together, whatever the lengths are.
    assert used <= max(1, 2 * fewest)


_TINY = {
    "vocab_size": 128,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
}


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma2"])
def test_packed_rows_give_the_logprobs_and_gradients_of_each_sequence_alone(family):
    torch.manual_seed(0)
    # Others share their prompts instead.
    config = AutoConfig.for_model(family, **_TINY, head_dim=8, attn_implementation="eager")
    model = AutoModelForCausalLM.from_config(config).double()
    batch = _batch([(2, 3), (1, 4), (5, 6), (2, 1), (1, 1), (3, 3)])
    assert len(pack(batch).input_ids) < 6
    logprobs, _ = response_logprobs(model, batch, response_hidden(model, batch), temperature=0.8)
    logprobs.sum().backward()
    together = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    alone = torch.zeros_like(logprobs)
    for row, mask in enumerate(batch.attention_mask):
        ids = batch.input_ids[row][mask]
        response = int(batch.response_mask[row].sum())
        table = (model(ids[None]).logits[0] / 0.8).log_softmax(dim=1)
        chosen = table[:-1].gather(1, ids[1:, None]).squeeze(1)[-response:]
        alone[row, :response] = chosen.detach()
        chosen.sum().backward()
    assert torch.allclose(logprobs, alone, atol=1e-5)
    for parameter, gradient in zip(model.parameters(), together, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-4)
