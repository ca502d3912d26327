import torch
from transformers import DynamicCache, LlamaConfig

from bakeoff.rollouts.prefill import (
    SolutionPrefixes,
    left_padded,
    prefix_cuts,
    prompt_cuts,
    right_padded,
    take_prefixes,
)

CONFIG = LlamaConfig(num_hidden_layers=2)


def test_prompts_are_padded_before_and_solutions_after():
    input_ids, mask = left_padded([[5, 6], [7, 8, 9]], pad_token_id=1)
    assert input_ids.tolist() == [[1, 5, 6], [7, 8, 9]]
    assert mask.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert right_padded([[5, 6], [7, 8, 9]], pad_token_id=1).tolist() == [[5, 6, 1], [7, 8, 9]]


def numbered_cache():
    """Two solutions of four places; layer l keeps 100 l + 10 solution + place, values negated."""
    cache = DynamicCache()
    for layer in range(2):
        places = 10 * torch.arange(2)[:, None] + torch.arange(4) + 100 * layer
        keys = places[:, None, :, None].repeat(1, 3, 1, 2).float()
        cache.update(keys, -keys, layer)
    return cache


def test_prefixes_are_taken_to_the_end_of_their_rows():
    hidden = torch.arange(8.0).reshape(2, 4, 1)
    taken = take_prefixes(
        hidden,
        numbered_cache(),
        CONFIG,
        solutions=torch.tensor([1, 0, 1]),
        lengths=torch.tensor([3, 1, 2]),
    )
    assert taken.mask.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 1]]
    assert taken.positions.tolist() == [3, 1, 2]
    assert taken.hidden[:, 0].tolist() == [6, 0, 5]
    for layer, kept in enumerate(taken.cache.layers):
        for head in range(3):
            rows = [
                keys[mask.bool()].tolist()
                for keys, mask in zip(kept.keys[:, head, :, 0], taken.mask, strict=True)
            ]
            expected = [[10, 11, 12], [0], [10, 11]]
            assert rows == [[100 * layer + place for place in row] for row in expected]
        assert torch.equal(kept.values, -kept.keys)


def test_prefixes_of_one_length_need_no_mask_and_repeat_in_a_row():
    taken = take_prefixes(
        torch.zeros(2, 4, 1),
        numbered_cache(),
        CONFIG,
        solutions=torch.tensor([1, 0]),
        lengths=torch.tensor([2, 2]),
    )
    assert taken.mask is None
    twice = taken.repeated(2, branch=False)
    assert twice.positions.tolist() == [2, 2, 2, 2]
    assert twice.cache.layers[0].keys[:, 0, 0, 0].tolist() == [10, 10, 0, 0]


def test_prompts_of_similar_length_are_cut_together():
    assert list(prompt_cuts([[0] * 9, [0] * 2, [0] * 8, [0] * 3], 2)) == [[1, 3], [2, 0]]


def test_prefixes_with_as_much_left_are_cut_together():
    solutions = [
        SolutionPrefixes(id="short", token_ids=(0,) * 5, lengths=(2, 4)),  # 3 and 1 left
        SolutionPrefixes(id="none", token_ids=(0,) * 5, lengths=()),
        SolutionPrefixes(id="long", token_ids=(0,) * 9, lengths=(2, 6, 7)),  # 7, 3 and 2 left
    ]
    assert list(prefix_cuts(solutions, 2)) == [[(0, 1), (2, 2)], [(0, 0), (2, 1)], [(2, 0)]]
