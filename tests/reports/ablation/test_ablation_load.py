from copy import deepcopy
from pathlib import Path

import pytest

from bakeoff.errors import BakeoffError
from reports.ablation.load import read_ablation

FILE = Path("study.json")
RECORD = {
    "title": "Group size x KL coefficient",
    "question": "How far from the start may a small group go?",
    "design": "grid",
    "pruner": "median",
    "objectives": ["pass@1"],
    "factors": [
        {"name": "group_size", "unit": "rollouts a problem", "levels": [4, 8], "low": None,
         "high": None, "log": True, "baseline": 8},
        {"name": "loss", "unit": "", "levels": ["token", "sequence"], "low": None, "high": None,
         "log": False, "baseline": "sequence"},
        {"name": "kl_coefficient", "unit": "", "levels": [], "low": 1e-3, "high": 1, "log": True,
         "baseline": None},
    ],
    "trials": [
        {"number": 3, "arm": "a", "state": "complete", "reason": "",
         "levels": {"group_size": 8, "loss": "token", "kl_coefficient": 0.04},
         "values": {"pass@1": 0.71}, "intermediate": [0.7, 0.71],
         "cost": {"device_seconds": 80.1, "sampled_tokens": 800000}},
        {"number": 4, "arm": "b", "state": "failed", "reason": "killed",
         "levels": {"group_size": 4, "loss": "token", "kl_coefficient": 0.04},
         "values": None, "intermediate": [], "cost": {}},
    ],
    "importances": {"group_size": 0.7, "kl_coefficient": 0.3},
    "fits_bytes": 8000000000,
}  # fmt: skip


def test_every_field_of_the_record_is_kept():
    found = read_ablation(RECORD, FILE)
    assert (found.design, found.pruner, found.objectives) == ("grid", "median", ("pass@1",))
    assert found.factors[0].levels == (4, 8)
    assert (found.factors[1].baseline, found.factors[2].low, found.factors[2].high) == (
        "sequence", 0.001, 1.0,
    )  # fmt: skip
    assert found.trials[0].values == {"pass@1": 0.71}
    assert found.trials[0].intermediate == (0.7, 0.71)
    assert found.trials[0].cost["sampled_tokens"] == 800_000
    assert (found.trials[1].values, found.trials[1].reason) == (None, "killed")
    assert found.importances == {"group_size": 0.7, "kl_coefficient": 0.3}
    assert found.fits_bytes == 8e9


def test_what_a_short_search_does_not_know_is_none():
    found = read_ablation(RECORD | {"importances": None, "fits_bytes": None}, FILE)
    assert (found.importances, found.fits_bytes) == (None, None)


def test_a_point_that_is_not_chosen_yet_is_no_trial():
    waiting = RECORD["trials"][1] | {"number": 5, "levels": {}, "state": "waiting"}
    found = read_ablation(RECORD | {"trials": [*RECORD["trials"], waiting]}, FILE)
    assert [trial.number for trial in found.trials] == [3, 4]


@pytest.mark.parametrize(
    ("where", "key", "value", "why"),
    [
        ((), "design", "random", "'design' is 'random', expected one of grid, quasi_random"),
        ((), "question", None, "'question' is None, expected str"),
        (("factors", 0), "log", "yes", "'log' is 'yes', expected bool"),
        (("factors", 0), "levels", [[4]], r"'levels' is \[4\]"),
        (("trials", 1), "state", "lost", "'state' is 'lost', expected one of complete, pruned"),
        (("trials", 1), "levels", {"beta": 1}, "trial 4 has a level of beta, expected only"),
        (("trials", 0), "values", {"pass@1": None}, "'pass@1' is None, expected a number"),
    ],
)
def test_a_malformed_field_is_named(where, key, value, why):
    record = deepcopy(RECORD)
    place = record
    for step in where:
        place = place[step]
    place[key] = value
    with pytest.raises(BakeoffError, match=rf"study\.json: .*{why}|study\.json: {why}"):
        read_ablation(record, FILE)
