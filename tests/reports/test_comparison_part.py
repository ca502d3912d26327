import numpy as np

from bakeoff.records import read_json, write_json
from reports.comparison_part import comparison_part
from reports.load import load_study
from reports.write import write_report


def part_of(path):
    return comparison_part(load_study(path), rng=np.random.default_rng(0))


def test_names_of_figures_and_tables_are_unique_within_a_part(make_study):
    part = part_of(make_study(seeds=(0, 1)))
    figures = [figure.name for group in part.figures.values() for figure in group]
    tables = [table.name for table in part.tables.values()]
    assert len(figures) == len(set(figures)) > 15
    assert len(tables) == len(set(tables)) > 15


def test_the_matrix_has_the_best_method_first_and_needs_three(make_study):
    part = part_of(make_study(seeds=(0, 1), problems=60))
    (matrix,) = part.figures["matrix"]
    svg = matrix.inline
    assert svg.index(">GRPO</text>") < svg.index(">PPO</text>") < svg.index(">RFT</text>")


def test_of_two_methods_one_difference_says_it_all(make_study):
    part = part_of(make_study(methods=("ppo", "grpo"), seeds=(0,)))
    assert part.figures["matrix"] == []
    assert len(part.figures["differences"]) == 1


def test_of_many_pairs_those_with_the_best_method_are_on_the_axis(make_study):
    arms = ("grpo", *(f"arm{n}" for n in range(6)))
    part = part_of(make_study(methods=arms, seeds=(0, 1), problems=40, interim=0, batches=2))
    (figure,) = part.figures["differences"]
    assert figure.alt.count("GRPO minus arm") == figure.alt.count(" minus ") == 6
    assert len(part.tables["pairs"].rows) == 21


def test_what_tuning_took_is_shown_or_said_to_be_unknown(make_study):
    path = make_study(methods=("grpo",), seeds=(0,))
    page = write_report(path)
    assert "Tuning: not recorded." in (path / "report/report.md").read_text()
    assert "Tuning: not recorded." in page.read_text()
    record = read_json(path / "study.json")
    write_json(path / "study.json", record | {"tuning": "runs/rates"})
    page = write_report(path)
    assert "<h3>Tuning</h3>" in page.read_text()
    text = (path / "report/report.md").read_text()
    assert "Tuning: not recorded." not in text
    (row,) = (line for line in text.splitlines() if "runs/rates" in line)
    assert row.count("not recorded") == 2
