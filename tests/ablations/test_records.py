import json
from pathlib import Path

import pytest

from ablations.records import study_record
from ablations.space import cells_of
from ablations.trial import TrialRecord


@pytest.fixture
def study_of_four(declare, folder, finish):
    """Trial 0 is over, 1 pruned after a seed, 2 at the point of 0 again, 3 waits."""
    study = declare(
        design="tpe",
        trials=4,
        factors={"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True, "baseline": 1e-3}},
    )
    points = {0: {"learning_rate": 1e-3}, 1: {"learning_rate": 2e-3}, 2: {"learning_rate": 1e-3}}
    ends = {0: ("complete", {"pass@1": 0.5}), 1: ("pruned", None), 2: ("complete", {"pass@1": 0.5})}
    for number, point in points.items():
        cells = cells_of(study, point, folder=folder, overrides={})
        record = TrialRecord(folder, number, point)
        for cell in cells[: 1 if number == 1 else 2]:
            record.begin(cell)
            if number != 2:
                finish(cell, [True, False], seconds=3.0)
            record.intermediate.append(0.5)
        state, values = ends[number]
        record.write(state, values=values)
    return study


def written(study, folder: Path) -> dict:
    config = cells_of(study, study.baseline, folder=folder, overrides={})[0].config
    importances = {"learning_rate": 1.0}
    record = study_record(study, folder, config=config, importances=importances, setup=[])
    return json.loads(json.dumps(record))


def test_a_study_record_says_what_was_asked_and_how_far_it_is(study_of_four, folder) -> None:
    record = written(study_of_four, folder)
    trials, cells = record["ablation"].pop("trials"), record.pop("cells")
    assert record == {
        "kind": "ablation",
        "study": "tiny",
        "task": "arithmetic",
        "model": "config:builtin",
        "budget": {"axis": "optimizer_steps", "value": 2.0},
        "seeds": [1000, 1001],
        # A waiting trial whose point is not chosen yet has no name.
        "methods": ["learning_rate=0.001", "learning_rate=0.002"],
        "ablation": {
            "title": "Tiny",
            "question": "Does it run?",
            "design": "tpe",
            "pruner": "none",
            "objectives": ["pass@1"],
            "factors": [
                {
                    **{"name": "learning_rate", "unit": "", "levels": []},
                    **{"low": 1e-4, "high": 1e-2, "log": True, "baseline": 1e-3},
                }
            ],
            "importances": {"learning_rate": 1.0},
            "fits_bytes": None,
            "setup": [],
        },
    }
    assert [trial["state"] for trial in trials] == ["complete", "pruned", "complete", "waiting"]
    assert trials[1] | {"cost": None} == {
        "number": 1,
        "arm": "learning_rate=0.002",
        "levels": {"learning_rate": 2e-3},
        "state": "pruned",
        "reason": "",
        "values": None,
        "intermediate": [0.5],
        "cost": None,
    }
    assert trials[3].keys() == trials[0].keys()
    assert [(cell["method"], cell["seed"], cell["trial"]) for cell in cells] == [
        ("learning_rate=0.001", 1000, 0),
        ("learning_rate=0.001", 1001, 0),
        ("learning_rate=0.002", 1000, 1),
    ]


def test_the_cost_of_a_trial_is_the_sum_over_its_cells(study_of_four, folder) -> None:
    whole, pruned, again, waiting = (
        t["cost"] for t in written(study_of_four, folder)["ablation"]["trials"]
    )
    assert whole == {
        "device_seconds": 6.0,
        "wall_seconds": 12.0,
        "sampled_tokens": 80.0,
        "flops": 2e6,
    }
    assert pruned == {name: value / 2 for name, value in whole.items()}
    assert waiting == dict.fromkeys(whole, 0.0)
    # At the point of the first: nothing was trained for it.
    assert again == waiting


def test_a_cell_that_has_spent_nothing_yet_costs_nothing(declare, folder) -> None:
    study = declare(factors={"learning_rate": {"levels": [1e-3]}})
    point = {"learning_rate": 1e-3}
    cells = cells_of(study, point, folder=folder, overrides={})
    TrialRecord(folder, 0, point).begin(cells[0])
    (trial,) = written(study, folder)["ablation"]["trials"]
    assert trial["state"] == "running"
    assert set(trial["cost"].values()) == {0.0}


def test_a_record_names_no_place_outside_the_study(study_of_four, folder, tmp_path: Path) -> None:
    record = written(study_of_four, folder)
    assert str(tmp_path) not in json.dumps(record)
    for cell in record["cells"]:
        assert (folder / cell["directory"]).is_dir()
