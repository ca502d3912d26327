import shutil

import pytest

from bakeoff.records import read_json, write_json
from reports.load import load_study
from reports.tuning import Tuning, tuning

COST = {"wall_seconds": 0.0, "flops": 0.0}


def search(folder, *trials, factors=("method", "learning_rate")):
    """study.json of an ablation, a (levels, state, seeds) a trial, 10 s and 100 tokens a cell."""
    folder.mkdir(parents=True)
    cells = [
        {"method": f"t{number}", "seed": seed, "directory": f"t{number}-s{seed}", "trial": number}
        for number, (_, _, seeds) in enumerate(trials)
        for seed in range(seeds)
    ]
    factor = {"unit": "", "levels": [], "low": None, "high": None, "log": False, "baseline": None}
    write_json(
        folder / "study.json",
        {
            "cells": cells,
            "ablation": {
                "title": "Rates", "question": "Which?", "design": "grid", "pruner": "none",
                "objectives": ["pass@1"], "importances": None, "fits_bytes": None,
                "factors": [factor | {"name": name} for name in factors],
                "trials": [
                    {
                        "number": number, "arm": f"t{number}", "state": state, "values": None,
                        "levels": dict(zip(factors, levels, strict=True)),
                        "cost": COST
                        | {"device_seconds": 10.0 * seeds, "sampled_tokens": 100.0 * seeds},
                    }
                    for number, (levels, state, seeds) in enumerate(trials)
                ],
            },
        },
    )  # fmt: skip


@pytest.fixture
def tuned(make_study):
    """A comparison that names a search, and where the search is to be."""

    def make(source):
        path = make_study(methods=("grpo",), seeds=(0,))
        write_json(path / "study.json", read_json(path / "study.json") | {"tuning": source})
        return path

    return make


def test_each_method_has_its_part_of_the_search_with_what_was_pruned_and_failed(tuned, tmp_path):
    folder = tmp_path / "rates"
    search(
        folder,
        (("grpo", 1e-3), "complete", 2),
        (("grpo", 1e-2), "failed", 1),
        (("ppo", 1e-3), "pruned", 1),
        (("ppo", 1e-2), "waiting", 0),
    )
    assert tuning(load_study(tuned(str(folder)))) == (
        Tuning(source=str(folder), method="grpo", settings=2, cells=3, device_seconds=30.0,
               sampled_tokens=300.0),
        Tuning(source=str(folder), method="ppo", settings=1, cells=1, device_seconds=10.0,
               sampled_tokens=100.0),
    )  # fmt: skip


def test_a_search_that_does_not_vary_the_method_is_one_bill(tuned, tmp_path):
    folder = tmp_path / "rates"
    trials = [((rate,), "complete", 2) for rate in (1e-3, 1e-2)]
    search(folder, *trials, factors=("learning_rate",))
    (bill,) = tuning(load_study(tuned(str(folder))))
    assert (bill.method, bill.settings, bill.cells, bill.device_seconds) == ("", 2, 4, 40.0)


def test_a_search_that_was_moved_with_the_study_is_found(tuned, tmp_path):
    path = tuned("runs/rates")
    search(tmp_path / "rates", (("grpo", 1e-3), "complete", 1))
    assert [row.cells for row in tuning(load_study(path))] == [1]
    shutil.rmtree(tmp_path / "rates")
    assert tuning(load_study(path)) == (Tuning(source="runs/rates"),)


@pytest.mark.parametrize("record", [{}, {"ablation": {"trials": []}}, None])
def test_a_record_that_cannot_be_read_is_no_cost_of_zero(tuned, tmp_path, record):
    (tmp_path / "rates").mkdir()
    if record is None:
        (tmp_path / "rates/study.json").write_text("{")
    else:
        write_json(tmp_path / "rates/study.json", record)
    assert tuning(load_study(tuned("runs/rates"))) == (Tuning(source="runs/rates"),)


def test_without_a_name_there_is_nothing_to_tell(make_study):
    assert tuning(load_study(make_study(methods=("grpo",), seeds=(0,)))) == ()
