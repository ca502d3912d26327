import re
import xml.etree.ElementTree as ElementTree

import numpy as np

from reports.ablation.effects import main_effects, ranking_of
from reports.ablation.figures import (
    baseline_figure,
    curve_figure,
    effect_figure,
    front_figures,
    importance_figure,
    kl_figure,
)


def test_a_main_effect_says_its_means_and_whether_they_are_conditional(
    full_grid, holed_grid, read, rng
):
    full = effect_figure(main_effects(read(full_grid), rng=rng)[0])
    assert (
        full.alt.startswith("Mean pass@1 by group_size: 4 ") and full.alt.count("3 settings") == 3
    )
    holed = effect_figure(main_effects(read(holed_grid), rng=rng)[0])
    assert holed.alt.startswith("Conditional mean")
    assert "group_size, conditional" in holed.inline


def test_against_the_baseline_the_best_comes_first(leave_one_out, read, rng):
    sweep = read(leave_one_out)
    figure = baseline_figure(sweep, ranking_of(sweep, rng=rng))
    assert figure is not None
    found = re.findall(r"(clip \w+|filter \w+|loss \w+) ([+-][\d.]+) points, (\w+)", figure.alt)
    assert [name for name, _, _ in found] == ["clip symmetric", "loss sequence_mean", "filter off"]
    assert [verdict for _, _, verdict in found] == ["inconclusive", "worse", "worse"]


def test_without_other_settings_there_is_nothing_against_the_baseline(make_grid, read, rng):
    sweep = read(make_grid({(8, 0.04): 0.5}))
    assert baseline_figure(sweep, ranking_of(sweep, rng=rng)) is None


def test_importances_are_ranked():
    figure = importance_figure({"clip": 0.1, "group_size": 0.9})
    assert figure.alt == "Importances of the factors: group_size 0.90; clip 0.10."


def test_the_front_names_the_trials_on_it_and_the_limit_is_drawn(sampled, read):
    (figure,) = front_figures(read(sampled))
    on_it = figure.alt.split("both: ")[1].split("; ")
    assert on_it[0].startswith("learning_rate 7.18e-4, group_size 4: 440 MB")
    # Rising memory, rising accuracy, or it would not be a front.
    accuracies = [float(re.search(r"([\d.]+) %", text).group(1)) for text in on_it]
    assert accuracies == sorted(accuracies) and len(on_it) < 12
    assert "stroke-dasharray" in figure.inline


def test_one_objective_has_no_front(full_grid, read):
    assert front_figures(read(full_grid)) == []


def test_achieved_kl_is_that_of_the_evaluation_and_coloured_by_a_factor(full_grid, read, rng):
    sweep = read(full_grid)
    figure = kl_figure(sweep, main_effects(sweep, rng=rng)[1])
    assert figure is not None
    # 0.02 + 0.3 (0.05 - k) of the fixture, at k = 0 and 0.04.
    assert "group_size 4, kl_coefficient 0: 0.035 nats" in figure.alt
    assert "group_size 8, kl_coefficient 0.04: 0.023 nats" in figure.alt
    assert len(set(re.findall(r"var\((--m\d)", figure.inline))) == 3


def test_settings_outside_the_factors_levels_are_drawn_too(leave_one_out, read, rng):
    sweep = read(leave_one_out)
    figure = kl_figure(sweep, main_effects(sweep, rng=rng)[0])
    assert figure is not None and figure.alt.count("nats") == 4
    assert set(re.findall(r"var\((--m\d)", figure.inline)) == {"--m0"}


def test_curves_are_those_of_baseline_best_and_worst_once_each(make_grid, read, rng):
    sweep = read(make_grid({(4, 0.04): 0.25, (8, 0.04): 0.75, (16, 0.04): 0.5}))
    figure = curve_figure(sweep, ranking_of(sweep, rng=rng), rng=rng)
    assert figure is not None
    assert "the baseline (group_size 8, kl_coefficient 0.04) ends at 75.0 %" in figure.alt
    assert "the worst (group_size 4, kl_coefficient 0.04) ends at 25.0 %" in figure.alt
    assert "the best" not in figure.alt  # it is the baseline


def test_every_figure_is_well_formed_and_takes_its_colours_from_the_page(sampled, read, rng):
    sweep = read(sampled)
    effects = main_effects(sweep, rng=rng)
    figures = [
        *(effect_figure(effect) for effect in effects),
        baseline_figure(sweep, ranking_of(sweep, rng=rng)),
        importance_figure({"learning_rate": 0.7}),
        *front_figures(sweep),
        kl_figure(sweep, effects[0]),
        curve_figure(sweep, ranking_of(sweep, rng=rng), rng=np.random.default_rng(0)),
    ]
    for figure in figures:
        assert figure is not None
        assert ElementTree.fromstring(figure.standalone).attrib["role"] == "img"
        bare = re.findall(r"(?:fill|stroke): ?(#[0-9a-f]{6})", figure.inline)
        assert set(bare) <= {"#ffffff"}, figure.name
