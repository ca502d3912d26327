import csv
import json
import re
import time
import xml.etree.ElementTree as ElementTree

import pytest

from reports.write import write_report


def test_a_full_report_is_one_offline_page_with_its_numbers_beside_it(make_study):
    page = write_report(make_study())
    assert page.name == "report.html"
    html = page.read_text()
    # Nothing to fetch: no scripts, no links, no addresses in styles or figures.
    assert not re.search(r"<script|<link|<img|@import|src=|https?://", html)
    assert "prefers-color-scheme" in html
    assert "Comparable: the conformance gate passed" in html
    for heading in ("Result", "Learning curves", "Method against method", "What it cost"):
        assert f"<h2>{heading}</h2>" in html
    assert json.loads((page.parent / "summary.json").read_text())["schema"] == 1
    markdown = (page.parent / "report.md").read_text()
    for name in re.findall(r"\(figures/([^)]+)\)", markdown):
        assert (page.parent / "figures" / name).exists()


def test_every_id_of_the_page_is_unique_and_every_reference_resolves(make_study):
    html = write_report(make_study()).read_text()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)) != set()
    for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html):
        assert (a or b) in ids


def test_figures_are_well_formed_and_described(make_study):
    page = write_report(make_study())
    files = sorted((page.parent / "figures").glob("*.svg"))
    assert {"results.svg", "differences.svg", "curve-sampled_tokens.svg", "seconds.svg"} <= {
        file.name for file in files
    }
    for file in files:
        root = ElementTree.fromstring(file.read_text())
        assert root.attrib["role"] == "img"
        assert len(root.attrib["aria-label"]) > 20


def test_what_a_model_wrote_cannot_become_markup(make_study):
    path = make_study()
    hostile = json.dumps('<script>alert("x")</script> & a | b ``` 1 < 2')[1:-1]
    for file in path.glob("*/transcripts.jsonl"):
        text = file.read_text()
        file.write_text(text.replace("add the ones", hostile).replace("Ann has", hostile))
    page = write_report(path)
    assert "&lt;script&gt;alert(" in page.read_text()
    assert "<script" not in page.read_text()
    # The response holds three backticks, so its fence has four.
    assert "````text" in (page.parent / "report.md").read_text()


def test_the_same_records_give_the_same_bytes(make_study):
    path = make_study(methods=("ppo", "grpo"), seeds=(0, 1))
    files = ("report.html", "report.md", "summary.json")
    first = {name: (write_report(path).parent / name).read_bytes() for name in files}
    second = {name: (write_report(path).parent / name).read_bytes() for name in files}
    assert first == second


def test_a_failed_gate_is_said_before_any_number(make_study):
    gate = {
        "passed": False,
        "failed": [{"check": "accumulation", "reason": "gradients differ"}],
        "forced": True,
    }
    page = write_report(make_study(gate=gate))
    html = page.read_text()
    assert html.index("NOT COMPARABLE") < html.index("At an equal budget")
    assert "accumulation: gradients differ" in html
    assert "leads every other method" not in html
    assert "**NOT COMPARABLE" in (page.parent / "report.md").read_text()


def test_one_cell_without_interim_evaluations_makes_a_report(make_study):
    page = write_report(make_study(methods=("grpo",), seeds=(0,), interim=0))
    html = page.read_text()
    assert "Method against method" not in html
    assert "There is no pair of methods to compare" in html
    assert "problems alone" in html
    assert json.loads((page.parent / "summary.json").read_text())["pairs"] == []


def test_a_study_with_bare_records_makes_a_report(make_study):
    path = make_study(methods=("ppo", "custom.py:MINE"), seeds=(0, 1))
    for file in (*path.glob("*/metrics.jsonl"), *path.glob("*/transcripts.jsonl")):
        file.unlink()
    (path / "start/evaluations.jsonl").unlink()
    html = write_report(path).read_text()
    assert "custom.py:MINE" in html
    assert "<h2>Stability</h2>" not in html
    assert "In their own words" not in html


def test_unfinished_cells_are_named(make_study):
    html = write_report(make_study(unfinished=[("ppo", 1)])).read_text()
    assert "1 of 12 cells did not finish" in html
    assert "killed: out of memory" in html


@pytest.mark.parametrize("axis", ["flops", "optimizer_steps"])
def test_another_budget_axis_has_a_curve_of_its_own(make_study, axis):
    page = write_report(make_study(methods=("ppo", "grpo"), seeds=(0,), budget_axis=axis))
    assert (page.parent / f"figures/curve-{axis}.svg").exists()


def test_tables_hold_full_precision(make_study):
    page = write_report(make_study(methods=("ppo", "grpo")))
    summary = json.loads((page.parent / "summary.json").read_text())
    with (page.parent / "tables/final.csv").open() as file:
        rows = {(row["policy"], row["metric"]): row for row in csv.DictReader(file)}
    expected = summary["methods"]["grpo"]["metrics"]["pass@1"]
    assert float(rows["grpo", "pass@1"]["mean"]) == expected["mean"]
    with (page.parent / "tables/pairs.csv").open() as file:
        pair = next(csv.DictReader(file))
    assert float(pair["difference"]) == summary["pairs"][0]["difference"]


def test_a_report_of_the_usual_size_is_quick(make_study):
    path = make_study(problems=128, interim=6, batches=100)
    begun = time.perf_counter()
    write_report(path)
    assert time.perf_counter() - begun < 15
