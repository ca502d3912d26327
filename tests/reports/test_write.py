import csv
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from bakeoff.errors import ConfigError
from bakeoff.records import read_json, write_json
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
    folder = write_report(path).parent
    first = {name: (folder / name).read_bytes() for name in files}
    write_report(path)
    second = {name: (folder / name).read_bytes() for name in files}
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


def moved(path, name, **changes):
    """A study in a folder of its own, of another world where its record is changed."""
    folder = path.rename(path.parent / name)
    file = folder / "study.json"
    write_json(file, read_json(file) | {"study": "One & two"} | changes)
    return folder


def two_studies(make_study):
    """Two studies of one name and different tasks."""
    first = moved(make_study(methods=("ppo", "grpo"), seeds=(0, 1)), "a")
    second = moved(make_study(methods=("ppo", "rft"), seeds=(0, 1)), "b", task="another")
    return first, second


def test_studies_of_different_worlds_share_a_page_and_no_id(make_study, tmp_path):
    page = write_report(*two_studies(make_study), out=tmp_path / "both")
    html = page.read_text()
    assert html.count("<h1>One &amp; two</h1>") == 2
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)
    assert {a or b for a, b in references} <= set(ids)
    assert {"one-two", "one-two-2"} <= set(ids)
    markdown = (page.parent / "report.md").read_text()
    files = re.findall(r"\(([^()]+/figures/[^()]+)\)", markdown)
    assert {file.split("/")[0] for file in files} == {"one-two", "one-two-2"}
    assert all((page.parent / file).exists() for file in files)
    summary = json.loads((page.parent / "summary.json").read_text())
    assert [list(one["methods"]) for one in summary["studies"]] == [["ppo", "grpo"], ["ppo", "rft"]]


def test_a_figure_is_the_same_whether_its_study_is_alone_or_not(make_study, tmp_path):
    first, second = two_studies(make_study)
    alone = write_report(first).parent
    both = write_report(first, second, out=tmp_path / "both").parent
    for name in ("figures/results.svg", "tables/final.csv"):
        assert (alone / name).read_bytes() == (both / "one-two" / name).read_bytes()


def test_comparisons_of_one_world_are_pooled(make_study, tmp_path):
    first = moved(make_study(methods=("ppo", "grpo"), seeds=(0, 1)), "a")
    second = moved(make_study(methods=("rft",), seeds=(0, 1)), "b")
    html = write_report(first, second, out=tmp_path / "both").read_text()
    assert html.count("<h1>") == 1
    summary = json.loads((tmp_path / "both/summary.json").read_text())
    assert set(summary["studies"][0]["methods"]) == {"ppo", "grpo", "rft"}


def test_several_studies_need_a_folder_of_their_own(make_study):
    with pytest.raises(ConfigError, match=r"2 studies make one report.*--out FOLDER"):
        write_report(*two_studies(make_study))
    with pytest.raises(ConfigError, match="name a study's folder"):
        write_report()


def test_a_cell_that_collapsed_is_named_on_the_first_screen(make_study):
    path = make_study(methods=("ppo", "grpo"), seeds=(0, 1))
    status = path / "ppo-s1-abcdef0123/status.json"
    changed = {"collapsed": True, "message": "collapsed at batch 7: one-token responses"}
    write_json(status, read_json(status) | changed)
    page = write_report(path)
    html = page.read_text()
    assert "1 of 4 cells collapsed in training and ended early: PPO, seed 1." in html
    assert html.index("collapsed in training") < html.index("<h2>Result</h2>")
    assert "collapsed at batch 7: one-token responses" in html
    assert "PPO, seed 1" in (page.parent / "report.md").read_text()


@pytest.mark.slow
def test_twelve_methods_make_a_page_of_a_few_megabytes(make_study):
    arms = ("ppo", "rft", "online_rft", "grpo", *(f"arm{n}" for n in range(8)))
    path = make_study(methods=arms, problems=128, interim=6, batches=500)
    page = write_report(path)
    html = page.read_text()
    assert page.stat().st_size <= 6_000_000
    assert "The 8 methods with the highest pass@1 are in colour; the other 4" in html
    assert 'aria-label="Matrix of paired differences' in html
    assert html.count('<article class="response"') == 3 * 9  # the start and those in colour
