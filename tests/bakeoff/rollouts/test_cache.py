import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from bakeoff.rollouts.cache import ROOM, GrowingCache, RoomyLayer, room

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, ROOM["cpu"] + 9)),
        st.tuples(st.just("repeat"), st.integers(1, 3)),
        st.tuples(st.just("select"), st.integers(0, 7)),
    ),
    min_size=1,
    max_size=8,
)


@given(_STEPS)
def test_it_holds_what_concatenation_holds_whatever_is_done_to_its_rows(steps):
    ours, twin = RoomyLayer(), DynamicLayer()
    noise = torch.Generator().manual_seed(0)
    rows = 2
    for kind, size in steps:
        if kind == "append":
            keys = torch.randn(rows, 2, size, 3, generator=noise)
            values = torch.randn(rows, 2, size, 4, generator=noise)
            for one, other in zip(
                ours.update(keys, values), twin.update(keys, values), strict=True
            ):
                assert torch.equal(one, other)
        elif kind == "repeat" and rows * size <= 16:
            rows *= size if twin.get_seq_length() else 1
            ours.batch_repeat_interleave(size)
            twin.batch_repeat_interleave(size)
        elif kind == "select" and twin.get_seq_length():
            chosen = torch.tensor([size % rows])
            rows = 1
            ours.batch_select_indices(chosen)
            twin.batch_select_indices(chosen)
        assert ours.get_seq_length() == twin.get_seq_length()


def test_appending_one_place_at_a_time_moves_the_cache_once_in_a_room():
    layer = RoomyLayer()
    one = torch.ones(1, 1, 1, 2)
    held = []  # so that no place is used again
    for _ in range(3 * (ROOM["cpu"] + 1)):
        keys, _ = layer.update(one, one)
        held.append(keys)
    assert len({keys.data_ptr() for keys in held}) == 3


def test_a_device_without_a_room_of_its_own_is_taken_for_a_gpu():
    assert room("xpu") == room("cuda") == 64


def test_layers_with_a_window_stay_what_they_are():
    config = AutoConfig.for_model(
        "gemma3_text", num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"]
    )
    kinds = [type(layer) for layer in GrowingCache(config).layers]
    assert kinds == [DynamicSlidingWindowLayer, RoomyLayer]
    assert [type(layer) for layer in DynamicCache(config=config).layers][1] is DynamicLayer
