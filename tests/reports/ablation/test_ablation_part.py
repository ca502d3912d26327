import json
import re

import pytest

from reports.ablation.part import ablation_part
from reports.load import load_study
from reports.write import write_report


def test_the_page_shows_the_map_with_intervals_and_what_each_hole_is(holed_grid):
    page = write_report(holed_grid)
    html = page.read_text()
    summary = json.loads((page.parent / "summary.json").read_text())
    (best,) = (t for t in summary["trials"] if t["number"] == summary["best"]["trial"])
    low, high = (100 * best["metrics"]["pass@1"][end] for end in ("low", "high"))
    assert low < 60.5 < high
    assert ">★ 60.5<" in html and f">{low:.1f}–{high:.1f}<" in html
    assert ">failed: loss is not<" in html and ">finite<" in html
    assert "Hatched: not completed" in html
    assert "inconclusive" in html and "winner&#39;s curse" in html
    order = ["Two factors at a time", "Main effects", "Against the baseline", "Importances",
             "Achieved KL and learning", "Trials and what they cost", "Appendix"]  # fmt: skip
    assert re.findall(r"<h2>([^<]+)</h2>", html) == [
        *order[:-1], "What the method means here", order[-1],
    ]  # fmt: skip
    assert not re.search(r"<script|<link|src=|https?://", html)


def test_ids_are_unique_and_figures_and_tables_lie_beside_the_page(sampled):
    page = write_report(sampled)
    html, markdown = page.read_text(), (page.parent / "report.md").read_text()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert "What is gained and what is given up" in html and "Two factors" not in html
    named = re.findall(r"\(figures/([^)]+)\)", markdown)
    assert "front-pass-at-1-peak-bytes.svg" in named
    for name in named:
        assert (page.parent / "figures" / name).exists()
    assert (page.parent / "tables" / "trials.csv").exists()


def test_the_same_records_give_the_same_bytes(leave_one_out):
    files = ("report.html", "report.md", "summary.json")
    first = {name: (write_report(leave_one_out).parent / name).read_bytes() for name in files}
    second = {name: (write_report(leave_one_out).parent / name).read_bytes() for name in files}
    assert first == second


def test_the_summary_has_the_numbers_of_the_page(holed_grid):
    page = write_report(holed_grid)
    summary = json.loads((page.parent / "summary.json").read_text())
    assert (summary["schema"], summary["kind"], summary["split"]) == (1, "ablation", "validation")
    assert summary["best"]["trial"] == 7 and summary["baseline"] == 5
    assert summary["best"]["gain"]["verdict"] == "inconclusive"
    trials = {trial["number"]: trial for trial in summary["trials"]}
    assert trials[0]["n_seeds"] == 1 and trials[0]["state"] == "pruned"
    # One seed leaves a ledger's interval unknown: null, never infinity.
    assert trials[0]["metrics"]["peak_bytes"] == {"mean": 4e8, "low": None, "high": None}
    assert trials[8]["metrics"] == {} and trials[8]["reason"] == "loss is not finite"
    assert summary["cost"]["device_seconds"] == 600.0


def test_the_front_of_the_summary_is_no_worse_in_both(sampled):
    summary = json.loads((write_report(sampled).parent / "summary.json").read_text())
    points = {
        t["number"]: (t["metrics"]["pass@1"]["mean"], -t["metrics"]["peak_bytes"]["mean"])
        for t in summary["trials"]
    }
    best = {
        one
        for one, (a, b) in points.items()
        if not any(x >= a and y >= b and (x, y) != (a, b) for x, y in points.values())
    }
    assert set(summary["front"]) == best


def test_a_failed_gate_is_said_before_any_number(make_grid):
    html = write_report(make_grid({(8, 0.04): 0.5, (16, 0.0): 0.75}, passed=False)).read_text()
    assert html.index("NOT COMPARABLE") < html.index("On the validation split")
    assert "gradients differ" in html


def test_the_method_is_named_by_its_own_name_not_by_its_arm(full_grid, rng):
    part = ablation_part(load_study(full_grid), rng=rng)
    assert part.tables["equivalence"].rows[0][0].text == "GRPO"
    assert part.template == "ablation"


@pytest.mark.parametrize("seeds", [(1000,), (1000, 1001)])
def test_one_seed_is_said_to_know_problems_only(make_grid, seeds):
    html = write_report(make_grid({(8, 0.04): 0.5, (16, 0.0): 0.75}, seeds=seeds)).read_text()
    assert ("With one seed, intervals and p values come from problems alone" in html) == (
        len(seeds) == 1
    )
