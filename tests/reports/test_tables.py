import numpy as np

from reports.comparison import compare
from reports.load import load_study
from reports.palette import marks
from reports.tables import final_table, pair_table


def text(table):
    return {row[0].text: [entry.plain for entry in row[1:]] for row in table.rows}


def test_the_final_table_shows_every_mean_with_its_interval(make_study):
    study = load_study(make_study(methods=("grpo",)))
    comparison = compare(study, rng=np.random.default_rng(0))
    table = final_table(comparison, look=marks(study.methods))
    assert table.columns[:5] == ("policy", "seeds", "pass@1, %", "gain, points", "IQM, %")
    found = comparison.methods["grpo"].metrics["pass@1"]
    shown = f"{100 * found.mean:.1f} ({100 * found.low:.1f}–{100 * found.high:.1f})"
    assert text(table)["GRPO"][1] == shown
    assert text(table)["start"][2] == "–"


def test_pairs_are_shown_winner_first_and_stored_in_the_order_of_the_summary(make_study):
    study = load_study(make_study(methods=("rft", "grpo"), problems=60))
    comparison = compare(study, rng=np.random.default_rng(0))
    table = pair_table(comparison.pairs_of("pass@1"), comparison, name="pairs")
    assert text(table)["GRPO − RFT"][-1] == "GRPO better"
    assert (table.records[0]["a"], table.records[0]["verdict"]) == ("rft", "worse")


def test_an_open_pair_says_how_many_seeds_it_lacks(make_study):
    study = load_study(make_study(methods=("ppo", "online_rft"), problems=40))
    comparison = compare(study, rng=np.random.default_rng(0))
    pair = comparison.pairs_of("pass@1")[0]
    assert pair.verdict == "inconclusive"
    assert pair.seeds_needed is not None and pair.seeds_needed > 3
    table = pair_table([pair], comparison, name="pairs")
    assert table.columns[-1] == "more seeds, about"
    shown = dict(zip(table.columns, table.rows[0], strict=True))["detectable, points"].text
    assert shown == f"{100 * pair.detectable:.1f}"
    assert table.rows[0][-1].text == str(pair.seeds_needed - 3)
