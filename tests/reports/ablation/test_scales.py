from math import log10

import pytest

from reports.ablation.effects import main_effects
from reports.ablation.scales import scale_of


def test_zero_lies_one_step_left_on_a_logarithmic_axis(full_grid, read, rng):
    scale = scale_of(main_effects(read(full_grid), rng=rng)[1])
    step = log10(0.04) - log10(0.01)
    assert scale.at(0.0) == pytest.approx(log10(0.01) - step)
    assert scale.at(0.04) == pytest.approx(log10(0.04))
    assert scale.ticks[1] == ["0", "0.01", "0.04"]


def test_names_stand_side_by_side_without_a_line(leave_one_out, read, rng):
    scale = scale_of(main_effects(read(leave_one_out), rng=rng)[2])
    assert not scale.ordered
    assert (scale.at("token_mean"), scale.at("sequence_mean")) == (0.0, 1.0)


def test_plain_numbers_lie_where_they_are(make_grid, read, rng):
    rates = {(4, 0.04): 0.25, (8, 0.04): 0.5, (32, 0.04): 0.5}
    scale = scale_of(main_effects(read(make_grid(rates)), rng=rng)[0])
    assert [scale.at(level) for level in (4, 8, 32)] == [4.0, 8.0, 32.0]
    assert scale.low < 4 and scale.high > 32


def test_many_values_get_a_few_round_ticks(sampled, read, rng):
    scale = scale_of(main_effects(read(sampled), rng=rng)[0])
    places, texts = scale.ticks
    assert len(places) == 5
    for place, text in zip(places, texts, strict=True):
        assert float(text) == pytest.approx(10**place, rel=0.05)
