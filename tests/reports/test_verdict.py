import re
from dataclasses import replace

import numpy as np
import pytest

from bakeoff.records import read_json
from reports.comparison import Comparison, Pair, Result, compare
from reports.load import load_study
from reports.verdict import duration, gate_line, more_seeds, sentences, size


def said(path):
    study = load_study(path)
    return sentences(study, compare(study, rng=np.random.default_rng(0)))


def test_three_sentences_say_who_leads_what_is_open_and_what_it_cost(make_study):
    lead, unclear, cost = said(make_study(problems=100))
    assert lead.startswith("At an equal budget of 200k sampled tokens, GRPO leads every other")
    assert "at the start" in lead
    assert "PPO against Online RFT" in unclear
    assert "7.0 min of device time (RFT) to 15.0 min (PPO)" in cost
    assert "at most 640 MB" in cost
    assert "the 12 finished cells took 2.0 h in all" in cost


def test_a_small_lead_is_not_called_a_lead(make_study):
    lead, unclear, _ = said(make_study(methods=("ppo", "online_rft"), problems=16))
    assert "its lead over no other method is established" in lead
    assert re.fullmatch(
        r"1 of 1 pair is inconclusive: PPO against Online RFT"
        r"(; about (\d+|over 100) more seeds? would tell them apart)?\.",
        unclear,
    )


def test_equal_means_share_the_lead(make_study):
    path = make_study(methods=("ppo", "grpo"), seeds=(0,))
    ppo, grpo = (path / c["directory"] for c in read_json(path / "study.json")["cells"])
    (grpo / "evaluations.jsonl").write_text((ppo / "evaluations.jsonl").read_text())
    assert "PPO and GRPO share the highest mean" in said(path)[0]


def test_of_many_pairs_a_few_are_named(make_study):
    arms = tuple(f"arm{n}" for n in range(6))
    _, unclear, _ = said(make_study(methods=arms, problems=8))
    found = re.match(r"(\d+) of 15 pairs are inconclusive: (.*) and (\d+) others[.;]", unclear)
    assert found is not None, unclear
    assert len(found[2].split(", ")) == 4
    assert int(found[3]) == int(found[1]) - 4


def test_one_seed_is_owned_up_to(make_study):
    _, unclear, _ = said(make_study(methods=("ppo", "grpo"), seeds=(0,)))
    assert "with one seed (PPO and GRPO) intervals come from problems alone" in unclear


def test_nobody_leads_where_the_gate_failed(make_study):
    path = make_study(gate={"passed": False, "failed": [{"check": "mask", "reason": "leaks"}]})
    assert gate_line(load_study(path)) == "NOT COMPARABLE: mask: leaks"
    lead, unclear, _ = said(path)
    assert "does not rank it" in lead
    assert "not findings about methods" in unclear


@pytest.mark.parametrize(("seconds", "text"), [(4.2, "4.2 s"), (600, "10.0 min"), (9000, "2.5 h")])
def test_durations_are_in_the_unit_people_say(seconds, text):
    assert duration(seconds) == text


def test_sizes_are_decimal():
    assert size(640_000_000) == "640 MB"


def test_an_open_pair_lacks_the_seeds_that_it_does_not_share():
    pair = Pair(
        a="ppo", b="grpo", metric="pass@1", difference=0.1, low=-0.1, high=0.3,
        probability_of_improvement=0.7, p_value=0.2, p_value_holm=0.2, verdict="inconclusive",
        seeds_needed=9,
    )  # fmt: skip

    def of(*seeds):
        return Result(seeds=seeds, metrics={}, by_seed={}, iqm=None, unverified=0, ledger={})

    comparison = Comparison(
        start=None, methods={"ppo": of(0, 1, 2), "grpo": of(1, 2, 3)}, gains={}, pairs=(pair,)
    )
    assert more_seeds(pair, comparison) == 7
    assert more_seeds(replace(pair, seeds_needed=None), comparison) is None
    assert more_seeds(replace(pair, seeds_needed=1), comparison) == 1
