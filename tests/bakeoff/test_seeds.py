from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.seeds import generator, uniforms

_parts = st.integers(-(2**70), 2**70) | st.text(max_size=6)
_addresses = st.lists(_parts, min_size=1, max_size=4).map(tuple)


def first_integer(*address: int | str) -> int:
    return int(generator(*address).integers(0, 2**63 - 1))


@given(address=_addresses)
def test_an_address_determines_its_draws(address: tuple[int | str, ...]) -> None:
    assert np.array_equal(uniforms(*address, count=5), uniforms(*address, count=5))
    assert first_integer(*address) == first_integer(*address)


@given(one=_addresses, other=_addresses)
def test_two_addresses_draw_differently(
    one: tuple[int | str, ...], other: tuple[int | str, ...]
) -> None:
    assert (one == other) == np.array_equal(uniforms(*one, count=2), uniforms(*other, count=2))


@given(address=_addresses, short=st.integers(0, 20), long=st.integers(0, 20))
def test_a_longer_response_begins_with_the_same_draws(
    address: tuple[int | str, ...], short: int, long: int
) -> None:
    short, long = sorted((short, long))
    assert np.array_equal(uniforms(*address, count=long)[:short], uniforms(*address, count=short))


def test_addresses_that_read_alike_stay_apart() -> None:
    addresses = [(1, 23), (12, 3), (123,), ("123",), ("1", 23), (1, "23"), ("12", "3")]
    draws = [first_integer(*address) for address in addresses]
    assert len(set(draws)) == len(addresses)


def test_draws_ignore_what_was_drawn_in_between() -> None:
    first = generator("a", 1).random(3)
    np.random.seed(0)
    generator("a", 2).random(1000)
    assert np.array_equal(generator("a", 1).random(3), first)


def test_the_streams_of_neighbouring_addresses_are_independent() -> None:
    draws = [uniforms(0, "sample", index, count=4000) for index in range(6)]
    # The correlation of 4000 independent pairs has a standard deviation of 1 / sqrt(4000) = 0.016.
    for one, other in combinations(draws, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.08


def test_draws_are_uniform() -> None:
    draws = np.sort([uniforms(7, index, count=1)[0] for index in range(4000)])
    assert draws[0] >= 0 and draws[-1] < 1
    # Kolmogorov-Smirnov: the distance of 4000 uniform draws is above 1.95 / sqrt(4000) = 0.031
    # once in a thousand times.
    steps = np.arange(1, 4001) / 4000
    assert np.max(np.abs(draws - steps)) < 0.031


def test_an_address_keeps_its_draws_between_versions() -> None:
    # Changing these changes every published run.
    assert first_integer(0, 1, "arithmetic/train/42", 3) == 4776040986609460607
