from hypothesis import given
from hypothesis import strategies as st

from bakeoff.reward_models.batching import cut_by_tokens


def test_cuts_are_filled_from_the_shortest() -> None:
    assert list(cut_by_tokens([5, 2, 3, 9, 2], max_tokens=9)) == [[1, 4, 2], [0], [3]]


@given(st.lists(st.integers(1, 40)), st.integers(1, 100))
def test_every_one_is_in_one_cut_that_fits_unless_it_is_alone(
    lengths: list[int], max_tokens: int
) -> None:
    cuts = list(cut_by_tokens(lengths, max_tokens=max_tokens))
    assert sorted(index for cut in cuts for index in cut) == list(range(len(lengths)))
    for cut in cuts:
        longest = max(lengths[index] for index in cut)
        assert len(cut) == 1 or len(cut) * longest <= max_tokens
