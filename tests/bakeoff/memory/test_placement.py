from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import ConfigError
from bakeoff.memory.components import Component
from bakeoff.memory.moments import COMPONENTS, Moments
from bakeoff.memory.placement import Offload, Placement, place

counts = st.lists(st.integers(0, 10**12), min_size=len(COMPONENTS), max_size=len(COMPONENTS))
some_moments = st.lists(counts, min_size=1, max_size=5).map(
    lambda rows: Moments(live=np.array(rows, dtype=np.int64))
)


def moments(*each: dict[Component, int]) -> Moments:
    return Moments(live=np.array([[one.get(which, 0) for which in COMPONENTS] for one in each]))


PPO = moments(
    {
        Component.POLICY_WEIGHTS: 400,
        Component.POLICY_GRADIENTS: 400,
        Component.POLICY_OPTIMIZER: 800,
        Component.REFERENCE: 400,
        Component.ACTIVATIONS: 100,
    }
)


@pytest.mark.parametrize(
    ("stage", "device_bytes"),
    [
        (0, 2100),
        (1, 400 + 400 + 300 + 400 + 100),  # the optimizer has masters: (800 + 400) / 4
        (2, 400 + 100 + 300 + 400 + 100),
        # And the largest layer, whole, and the sampler's policy.
        (3, 100 + 100 + 300 + 100 + 100 + 50 + 400),
    ],
)
def test_four_processes_by_hand(stage, device_bytes) -> None:
    found = place(PPO, Placement(zero_stage=stage, processes=4), largest_layer_bytes=50)
    assert found.device_bytes == device_bytes
    assert found.host_bytes == 0


def test_what_is_offloaded_lies_in_host_memory() -> None:
    placement = Placement(zero_stage=3, processes=4, offload=Offload.BOTH)
    found = place(PPO, placement, largest_layer_bytes=50)
    assert found.device == {
        Component.POLICY_WEIGHTS: 50 + 400,
        Component.POLICY_GRADIENTS: 100,
        Component.ACTIVATIONS: 100,
    }
    assert found.host == {
        Component.POLICY_WEIGHTS: 100,
        Component.POLICY_OPTIMIZER: 300,
        Component.REFERENCE: 100,
    }


def test_the_highest_moment_is_sought_after_the_split() -> None:
    two = moments(
        {Component.POLICY_OPTIMIZER: 900, Component.ACTIVATIONS: 10},
        {Component.POLICY_OPTIMIZER: 100, Component.ACTIVATIONS: 400},
    )
    assert place(two, Placement(), largest_layer_bytes=0).device_bytes == 910
    split = Placement(zero_stage=1, processes=10)
    assert place(two, split, largest_layer_bytes=0).device_bytes == 15 + 400


@given(some_moments, st.integers(1, 64), st.integers(0, 10**12))
def test_a_later_stage_takes_more_of_the_device_for_the_sampler_alone(
    phase, processes, layer
) -> None:
    taken = [
        place(
            phase, Placement(zero_stage=stage, processes=processes), largest_layer_bytes=layer
        ).device_bytes
        for stage in range(1, 4)
    ]
    taken[-1] -= phase.live[:, COMPONENTS.index(Component.POLICY_WEIGHTS)].max()
    # Each component is rounded up to a whole byte.
    for earlier, later in pairwise(taken):
        assert later <= earlier + len(COMPONENTS)


@given(some_moments, st.integers(1, 64), st.integers(0, 3))
def test_more_processes_never_take_more_of_the_device(phase, processes, stage) -> None:
    fewer, more = (
        place(phase, Placement(zero_stage=stage, processes=count), largest_layer_bytes=0)
        for count in (processes, processes + 1)
    )
    assert more.device_bytes <= fewer.device_bytes + len(COMPONENTS)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"zero_stage": 4}, "zero_stage must be 0, 1, 2 or 3, got 4"),
        ({"processes": 0}, "processes must be at least 1, got 0"),
        ({"offload": Offload.OPTIMIZER}, "takes zero_stage 1 or more, got 0"),
        ({"offload": Offload.PARAMETERS, "zero_stage": 2}, "takes zero_stage 3, got 2"),
    ],
)
def test_what_cannot_be_is_refused(settings, told) -> None:
    with pytest.raises(ConfigError, match=told):
        Placement(**settings)
