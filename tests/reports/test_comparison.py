import json

import numpy as np
import pytest

from bakeoff import records
from reports.comparison import compare, summary, verdict_of, winner_first
from reports.load import load_study
from reports.statistics import Interval


def compared(path):
    study = load_study(path)
    return study, compare(study, rng=np.random.default_rng(0))


def test_pass_at_1_is_the_mean_of_the_final_test_samples(make_study):
    path = make_study(methods=("grpo",), seeds=(0, 1))
    _, comparison = compared(path)
    rows = [
        row
        for seed in (0, 1)
        for row in records.read_lines(path / f"grpo-s{seed}-abcdef0123/evaluations.jsonl")
        if row["final"] and row["split"] == "test"
    ]
    expected = np.mean([np.mean(row["correct"]) for row in rows])
    assert comparison.methods["grpo"].metrics["pass@1"].mean == pytest.approx(expected)


def test_a_large_true_difference_is_found_and_a_null_one_is_not(make_study):
    _, comparison = compared(make_study(problems=100))
    verdicts = {(p.a, p.b): p.verdict for p in comparison.pairs_of("pass@1")}
    assert verdicts[("rft", "grpo")] == "worse"
    assert verdicts[("ppo", "online_rft")] == "inconclusive"
    assert len(verdicts) == 6


def test_gains_are_paired_with_the_start(make_study):
    _, comparison = compared(make_study(methods=("grpo",)))
    assert comparison.start is not None
    difference = (
        comparison.methods["grpo"].metrics["pass@1"].mean - comparison.start.metrics["pass@1"].mean
    )
    assert comparison.gains["grpo"]["pass@1"].mean == pytest.approx(difference)


def test_a_pair_with_a_missing_cell_uses_the_shared_seeds(make_study):
    path = make_study(methods=("ppo", "grpo"), unfinished=[("ppo", 1)])
    study, comparison = compared(path)
    pair = comparison.pairs_of("pass@1")[0]

    def mean(method, seed):
        cell = next(c for c in study.of(method) if c.seed == seed)
        found = cell.final("test")
        return np.mean(found.right / found.judged)

    expected = np.mean([mean("ppo", s) - mean("grpo", s) for s in (0, 2)])
    assert pair.difference == pytest.approx(expected)


def test_a_study_without_a_start_has_no_gains(make_study):
    path = make_study(methods=("grpo",), seeds=(0,))
    (path / "start/evaluations.jsonl").unlink()
    _, comparison = compared(path)
    assert comparison.start is None
    assert comparison.gains == {"grpo": {}}


def test_a_verdict_needs_the_interval_and_the_test():
    above, across = Interval(mean=1, low=0.1, high=2), Interval(mean=1, low=-0.1, high=2)
    assert verdict_of(above, 0.01) == "better"
    assert verdict_of(above, 0.05) == "inconclusive"
    assert verdict_of(across, 0.01) == "inconclusive"
    assert verdict_of(Interval(mean=-1, low=-2, high=-0.1), 0.01) == "worse"


def test_winner_first_says_the_same_thing(make_study):
    _, comparison = compared(make_study(problems=60))
    for pair in comparison.pairs:
        turned = winner_first(pair)
        assert turned.difference >= 0
        assert turned.low <= turned.difference <= turned.high
        assert (turned.verdict == "inconclusive") == (pair.verdict == "inconclusive")
        assert turned.verdict != "worse"


def test_the_summary_has_schema_1(make_study):
    study, comparison = compared(make_study(methods=("ppo", "grpo"), seeds=(0, 1)))
    found = json.loads(json.dumps(summary(study, comparison), allow_nan=False))
    assert set(found) == {
        "schema", "study", "budget", "task", "model", "gate", "start", "methods", "pairs", "gains"
    }  # fmt: skip
    assert found["budget"] == {"axis": "sampled_tokens", "value": 200_000}
    assert found["gate"] == {"passed": True, "failed": []}
    ppo = found["methods"]["ppo"]
    assert ppo["n_seeds"] == 2
    assert ppo["iqm"]["low"] <= ppo["iqm"]["mean"] <= ppo["iqm"]["high"]
    assert set(ppo["metrics"]) == {
        "pass@1", "greedy", "maj@4", "maj@16", "pass@4", "pass@16", "format_rate",
        "response_tokens", "ood_pass@1", "kl_to_start",
    }  # fmt: skip
    assert set(ppo["ledger"]) == {
        "sampled_tokens", "trained_tokens", "optimizer_steps", "wall_seconds", "device_seconds",
        "tokens_per_second", "peak_bytes", "flops",
    }  # fmt: skip
    assert ppo["ledger"]["peak_bytes"] == 640_000_000
    assert set(found["pairs"][0]) == {
        "a", "b", "metric", "difference", "low", "high", "probability_of_improvement", "p_value",
        "p_value_holm", "verdict", "seeds_needed", "detectable",
    }  # fmt: skip
    assert set(found["gains"]["grpo"]["pass@1"]) == {"mean", "low", "high"}


def test_peak_bytes_are_the_highest_phase_whether_or_not_components_are_recorded(make_study):
    path = make_study(methods=("ppo",), seeds=(0, 1))
    ledger = path / "ppo-s0-abcdef0123/ledger.json"
    parts = {"sample": {"policy": 500, "cache": 300}, "update": {"policy": 500, "gradients": 250}}
    records.write_json(ledger, records.read_json(ledger) | {"peak_bytes": parts})
    _, comparison = compared(path)
    assert comparison.methods["ppo"].ledger["peak_bytes"] == (800 + 640_000_000) / 2


def test_the_interquartile_mean_is_of_the_middle_half(make_study):
    study, comparison = compared(make_study(methods=("grpo",), seeds=(0, 1), problems=8))
    rates = np.concatenate(
        [(e := cell.final("test")).right / e.judged for cell in study.of("grpo")]
    )
    expected = np.mean(np.sort(rates)[4:12])
    assert comparison.methods["grpo"].iqm.mean == pytest.approx(expected)


def test_only_an_open_pair_is_told_how_many_seeds_it_needs(make_study):
    _, comparison = compared(make_study(problems=60))
    for pair in comparison.pairs:
        if pair.metric != "pass@1" or pair.verdict != "inconclusive":
            assert pair.seeds_needed is None
    open_pairs = [p for p in comparison.pairs_of("pass@1") if p.verdict == "inconclusive"]
    assert any(pair.seeds_needed for pair in open_pairs)


def test_an_open_pair_is_smaller_than_what_its_runs_could_tell(make_study):
    _, comparison = compared(make_study(problems=60))
    for pair in comparison.pairs:
        if pair.metric != "pass@1":
            assert pair.detectable is None
        elif pair.seeds_needed is not None and pair.seeds_needed > 3:
            assert pair.detectable > abs(pair.difference)
        elif pair.verdict != "inconclusive":
            assert pair.detectable > 0
