from dataclasses import replace

import pytest
import torch

from bakeoff.config import TrainingConfig
from benchmarks.switches import SWITCHES, _bench, measure

_BY_NAME = {switch.name: switch for switch in SWITCHES}


def _small(name):
    switch = _BY_NAME[name]
    return replace(
        switch,
        shape=replace(
            switch.shape, hidden_size=16, layers=2, problems=2, group_size=4, vocabulary=48
        ),
    )


def _weights(switch, variant):
    """The policy after one update."""
    with variant.around():
        bench, work = _bench(switch, variant)
        work(bench)
    return torch.cat(
        [parameter.detach().flatten() for parameter in bench.policy.model.parameters()]
    )


@pytest.mark.parametrize(
    "name",
    [
        "a prompt read once / with every response",
        "where prompts are not shared: packed end to end / one a row",
        "micro-batches of 4,096 tokens / of 16,384",
        "pi_old from the update's own pass / a pass before",
        "logits in tiles / of all tokens at once",
        "activation checkpointing / none",
        pytest.param("compiled layers / not", marks=pytest.mark.slow),
    ],
)
def test_both_sides_of_a_switch_train_to_the_same_weights(name):
    switch = _small(name)
    on, off = _weights(switch, switch.on), _weights(switch, switch.off)
    # Adam's first step is the learning rate times the gradient's sign, and it is 1e-6.
    assert torch.allclose(on, off, atol=1e-7)


@pytest.mark.parametrize(
    "name",
    [
        "cache with room / concatenated at every token",
        "a prompt cached once / with every response",
        "where prompts are cached apart: single tokens by products / by the fused kernel",
        "finished rows leave / stay",
    ],
)
def test_both_sides_of_a_sampling_switch_draw_the_same_tokens(name):
    switch = _small(name)
    drawn = []
    for variant in (switch.on, switch.off):
        with variant.around():
            bench, _ = _bench(switch, variant)
            drawn.append([r.completion.token_ids for r in bench.sample(1)])
    assert drawn[0] == drawn[1]


def test_a_switch_is_measured_on_both_sides_in_every_round():
    found = measure(_small("activation checkpointing / none"), rounds=2)
    assert len(found.on_seconds) == len(found.off_seconds) == len(found.ratios) == 2
    assert found.ratios == [
        off / on for on, off in zip(found.on_seconds, found.off_seconds, strict=True)
    ]
    assert 0 < found.on_bytes < found.off_bytes


def test_every_switch_is_made_of_settings_that_exist():
    for switch in SWITCHES:
        for variant in (switch.on, switch.off):
            TrainingConfig(**variant.training)
