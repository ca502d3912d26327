import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.memory.components import Component
from bakeoff.memory.moments import COMPONENTS, Moments, moments

WEIGHTS, CACHE = Component.POLICY_WEIGHTS, Component.KV_CACHE
changes = st.lists(
    st.tuples(st.just(0.0), st.sampled_from(COMPONENTS), st.integers(-100, 100)), max_size=40
)


def by_component(found: np.ndarray) -> dict[Component, int]:
    return {which: int(n) for which, n in zip(COMPONENTS, found, strict=True) if n}


def test_a_span_begins_with_what_was_live_before() -> None:
    events = [(0.0, WEIGHTS, 10), (0.0, CACHE, 5), (0.0, CACHE, -5), (0.0, CACHE, 3)]
    assert by_component(moments(events, (0, 4)).highest()) == {WEIGHTS: 10, CACHE: 5}
    assert by_component(moments(events, (3, 4)).highest()) == {WEIGHTS: 10, CACHE: 3}
    assert by_component(moments(events, (3, 3)).highest()) == {WEIGHTS: 10}


def test_a_factor_can_move_the_highest_moment() -> None:
    found = Moments(live=np.array([[0] * len(COMPONENTS)] * 2))
    found.live[0, COMPONENTS.index(WEIGHTS)] = 10
    found.live[1, COMPONENTS.index(CACHE)] = 8
    factors = np.ones(len(COMPONENTS))
    assert by_component(found.scaled(factors).highest()) == {WEIGHTS: 10}
    factors[COMPONENTS.index(WEIGHTS)] = 0.5
    assert by_component(found.scaled(factors).highest()) == {CACHE: 8}


def test_another_moment_counts_too() -> None:
    found = moments([(0.0, WEIGHTS, 10)], (0, 1))
    more = np.zeros(len(COMPONENTS), dtype=np.int64)
    more[COMPONENTS.index(CACHE)] = 11
    assert by_component(found.beside(more).highest()) == {CACHE: 11}


@given(changes, st.integers(0, 40), st.integers(0, 40))
def test_the_highest_moment_is_that_of_a_walk_through_the_events(events, one, other) -> None:
    first, last = sorted(min(at, len(events)) for at in (one, other))
    live = sum(change for *_, change in events[:first])
    highest = live
    for *_, change in events[first:last]:
        live += change
        highest = max(highest, live)
    assert moments(events, (first, last)).highest().sum() == highest
