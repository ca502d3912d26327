import pytest

from reports.ablation.heat import heat_map_figure, heat_maps

GRID = {
    (4, 0.0): 0.25, (4, 0.04): 0.375, (8, 0.0): 0.5, (8, 0.04): 0.5625,
    (16, 0.0): 0.625, (16, 0.04): 0.8125,
}  # fmt: skip


def test_a_cell_is_the_mean_of_its_place_with_the_best_and_the_baseline_marked(
    make_grid, read, rng
):
    (heat,) = heat_maps(read(make_grid(GRID)), rng=rng)
    # The factor with fewer levels makes the rows.
    assert (heat.rows.name, heat.columns.name) == ("kl_coefficient", "group_size")
    means = {(cell.column, cell.row): cell.interval.mean for cell in heat.cells}
    assert means == pytest.approx(GRID)
    assert [(c.column, c.row) for c in heat.cells if c.best] == [(16, 0.04)]
    assert [(c.column, c.row) for c in heat.cells if c.baseline] == [(8, 0.04)]


def test_pruned_failed_and_missing_cells_are_hatched_with_the_reason(holed_grid, read, rng):
    (heat,) = heat_maps(read(holed_grid), rng=rng)
    cells = {(cell.row, cell.column): cell for cell in heat.cells}
    assert cells[4, 0.0].trouble == "pruned: median: 0.41 below 0.55"
    assert cells[4, 0.0].interval is not None
    assert cells[16, 0.04].trouble == "failed: loss is not finite"
    assert cells[16, 0.04].interval is None
    figure = heat_map_figure(heat)
    assert figure.inline.count("<pattern") == 1  # of the hatches
    assert figure.inline.count("fill: url(#") + figure.inline.count('fill="url(#') == 2
    assert "16 and 0.04, failed: loss is not finite" in figure.alt
    assert "8 and 0.04, 56.6 %" in figure.alt and ", the baseline" in figure.alt


def test_a_complete_grid_has_no_hatch(full_grid, read, rng):
    (heat,) = heat_maps(read(full_grid), rng=rng)
    assert "<pattern" not in heat_map_figure(heat).inline


def test_a_pruned_cell_is_never_the_best(make_grid, read, rng):
    path = make_grid(GRID, changes={(16, 0.04): {"state": "pruned"}})
    (heat,) = heat_maps(read(path), rng=rng)
    assert [(c.column, c.row) for c in heat.cells if c.best] == [(16, 0.0)]


def test_a_pruned_cell_is_not_the_best_even_where_it_ties(make_grid, read, rng):
    rates = GRID | {(16, 0.04): 0.625}
    (heat,) = heat_maps(read(make_grid(rates, changes={(16, 0.04): {"state": "pruned"}})), rng=rng)
    assert [(c.column, c.row) for c in heat.cells if c.best] == [(16, 0.0)]


def test_a_place_that_no_trial_took_says_so(make_grid, read, rng):
    rates = {place: rate for place, rate in GRID.items() if place != (4, 0.0)}
    (heat,) = heat_maps(read(make_grid(rates)), rng=rng)
    assert [(c.column, c.row, c.trouble) for c in heat.cells if c.trouble] == [(4, 0.0, "not run")]


def test_cells_of_three_factors_are_means_over_the_third(read, make_ablation, rng):
    places = [(a, b, c) for a in (1, 2) for b in (1, 2) for c in (1, 2)]
    path = make_ablation(
        {"a": (1, 2), "b": (1, 2), "c": (1, 2)},
        {place: 0.25 + 0.0625 * sum(place) for place in places},
    )
    maps = heat_maps(read(path), rng=rng)
    assert [(m.rows.name, m.columns.name, m.averaged) for m in maps] == [
        ("a", "b", ("c",)), ("a", "c", ("b",)), ("b", "c", ("a",)),
    ]  # fmt: skip
    # c is 1 or 2: 1.5 on average.
    assert maps[0].cells[0].interval.mean == pytest.approx(0.25 + 0.0625 * 3.5)
    assert "mean over c" in heat_map_figure(maps[0]).alt


def test_one_factor_at_a_time_and_sampled_ranges_have_no_map(leave_one_out, sampled, read, rng):
    assert heat_maps(read(leave_one_out), rng=rng) == ()
    assert heat_maps(read(sampled), rng=rng) == ()
