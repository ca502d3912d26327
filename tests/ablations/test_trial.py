import json
import re
from pathlib import Path

import pytest
from optuna.trial import TrialState

from ablations.space import cells_of
from ablations.trial import TrialRunner, trial_file
from ablations.worker import work
from bakeoff.records import read_json

RATES = {"learning_rate": {"levels": [1e-3, 2e-3, 3e-3, 4e-3, 5e-3]}}

# Tasks that want more memory than there is, and that have a fault.
TASKS = """
from bakeoff.tasks.arithmetic_task import ArithmeticTask


class Greedy(ArithmeticTask):
    name = "greedy"

    def problems(self, split, *, count=None):
        raise MemoryError


class Faulty(ArithmeticTask):
    name = "faulty"

    def problems(self, split, *, count=None):
        raise RuntimeError("no such luck")
"""


@pytest.fixture
def run(declare, folder, queue, finish):
    """Runs every trial of a study over cells that are finished: rows of pass@1, a trial each."""

    def make(study, rows, **ledgers):
        trials = queue(study)
        trials.fill()
        runner = TrialRunner(study, folder=folder, overrides={})
        for level, rates in zip(study.factors["learning_rate"].level_names, rows, strict=True):
            cells = cells_of(study, {"learning_rate": level}, folder=folder, overrides={})
            for cell, rate in zip(cells, rates, strict=False):
                correct = [place < rate * 10 for place in range(10)]
                finish(cell, correct, **{k: v[level] for k, v in ledgers.items()})
        work(trials, runner)
        return trials.latest()

    return make


def record(folder: Path, number: int) -> dict:
    return read_json(trial_file(folder, number))


def test_a_trial_is_judged_by_its_finished_cells_without_a_process(declare, run, folder) -> None:
    study = declare(factors={"learning_rate": {"levels": [1e-3]}})
    trial = run(study, [(0.2, 0.6)])[0]
    assert (trial.state, trial.values) == (TrialState.COMPLETE, [pytest.approx(0.4)])
    assert trial.intermediate_values == {1: pytest.approx(0.2), 2: pytest.approx(0.4)}
    assert not (folder / "logs").exists()
    found = record(folder, 0)
    cells = found.pop("cells")
    assert found == {
        "number": 0,
        "arm": "learning_rate=0.001",
        "levels": {"learning_rate": 1e-3},
        "state": "complete",
        "reason": "",
        "values": {"pass@1": pytest.approx(0.4)},
        "intermediate": [pytest.approx(0.2), pytest.approx(0.4)],
    }
    assert [(c["method"], c["seed"], c["trial"]) for c in cells] == [
        ("learning_rate=0.001", 1000, 0),
        ("learning_rate=0.001", 1001, 0),
    ]
    assert all((folder / cell["directory"] / "ledger.json").exists() for cell in cells)


def test_responses_without_a_verdict_are_left_out(declare, folder, queue, finish) -> None:
    study = declare(factors={"learning_rate": {"levels": [1e-3]}}, seeds=[1000])
    (cell,) = cells_of(study, {"learning_rate": 1e-3}, folder=folder, overrides={})
    finish(cell, [True, None, False, None])
    trials = queue(study)
    trials.fill()
    work(trials, TrialRunner(study, folder=folder, overrides={}))
    assert trials.latest()[0].values == [0.5]


def test_a_cell_without_any_verdict_fails_its_trial_and_no_other(
    declare, folder, queue, finish
) -> None:
    study = declare(factors={"learning_rate": {"levels": [1e-3, 2e-3]}}, seeds=[1000])
    for rate, correct in ((1e-3, [None, None]), (2e-3, [False, False])):
        (cell,) = cells_of(study, {"learning_rate": rate}, folder=folder, overrides={})
        finish(cell, correct)
    trials = queue(study)
    trials.fill()
    work(trials, TrialRunner(study, folder=folder, overrides={}))
    assert [trial.state.name for trial in trials.latest().values()] == ["FAIL", "COMPLETE"]
    assert record(folder, 0)["reason"].endswith("no response has a verdict")
    assert record(folder, 1)["values"] == {"pass@1": 0.0}


def test_the_median_prunes_after_the_first_seed(declare, run, folder) -> None:
    study = declare(factors=RATES, pruner="median")
    rows = [(0.5, 0.5), (0.6, 0.6), (0.7, 0.7), (0.8, 0.8), (0.4,)]
    trials = run(study, rows)
    assert [trial.state.name for trial in trials.values()] == ["COMPLETE"] * 4 + ["PRUNED"]
    found = record(folder, 4)
    assert (found["state"], found["reason"]) == ("pruned", "by median after 1 seeds")
    assert (found["values"], found["intermediate"]) == (None, [pytest.approx(0.4)])
    assert [cell["seed"] for cell in found["cells"]] == [1000]
    assert trials[4].user_attrs["reason"] == "by median after 1 seeds"


def test_the_median_keeps_what_is_above_it(declare, run) -> None:
    study = declare(factors=RATES, pruner="median")
    rows = [(0.5, 0.5), (0.6, 0.6), (0.7, 0.7), (0.8, 0.8), (0.7, 0.1)]
    assert run(study, rows)[4].values == [pytest.approx(0.4)]


def test_wilcoxon_prunes_when_seed_by_seed_the_best_is_better(declare, run, folder) -> None:
    seeds = [1000, 1001, 1002, 1003, 1004]
    study = declare(
        factors={"learning_rate": {"levels": [1e-3, 2e-3, 3e-3]}}, pruner="wilcoxon", seeds=seeds
    )
    # The second is worse on every seed; the third by more, but not on every one.
    best, worse, mixed = (0.5, 0.6, 0.7, 0.8, 0.9), (0.4, 0.4, 0.4, 0.4), (0.6, 0.1, 0.8, 0.1, 0.1)
    trials = run(study, [best, worse, mixed])
    assert [trial.state.name for trial in trials.values()] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert record(folder, 1)["reason"] == "by wilcoxon after 4 seeds"
    # Pairs need single seeds: running means of `worse` would be the same four numbers.
    values = list(trials[0].intermediate_values.values())
    assert values == [pytest.approx(value) for value in best]
    assert record(folder, 0)["intermediate"][-1] == pytest.approx(0.7)


def test_hyperband_prunes_between_seeds_too(declare, run) -> None:
    levels = [1e-3 * (1 + number) for number in range(8)]
    study = declare(
        factors={"learning_rate": {"levels": levels}},
        pruner="hyperband",
        seeds=[1000, 1001, 1002, 1003],
    )
    rows = [(0.9 - 0.1 * number,) * 4 for number in range(8)]
    states = [trial.state.name for trial in run(study, rows).values()]
    assert states[0] == "COMPLETE"
    assert "PRUNED" in states
    assert set(states) == {"COMPLETE", "PRUNED"}


def test_objectives_are_read_from_the_ledgers(declare, run, folder) -> None:
    study = declare(
        factors={"learning_rate": {"levels": [1e-3, 2e-3]}},
        objectives=["pass@1", "peak_bytes", "tokens_per_second"],
    )
    trials = run(
        study,
        [(0.5, 0.7), (0.1, 0.1)],
        peak_bytes={1e-3: 300, 2e-3: 900},
        tokens_per_second={1e-3: 20.0, 2e-3: 40.0},
    )
    assert trials[0].values == [pytest.approx(0.6), 300.0, 20.0]
    assert trials[1].values == [pytest.approx(0.1), 900.0, 40.0]
    assert record(folder, 1)["values"] == {
        "pass@1": pytest.approx(0.1),
        "peak_bytes": 900.0,
        "tokens_per_second": 40.0,
    }


def test_models_that_cannot_fit_are_pruned_before_anything_runs(declare, queue, folder) -> None:
    study = declare(factors={"learning_rate": {"levels": [1e-3]}}, fits_bytes=2_000_000)
    trials = queue(study)
    trials.fill()
    work(trials, TrialRunner(study, folder=folder, overrides={}))
    found = record(folder, 0)
    assert found["state"] == "pruned"
    assert re.search(r"take [\d,]+ bytes at the least, above fits_bytes 2,000,000", found["reason"])
    assert found["cells"] == []
    assert not (folder / "logs").exists()


def test_models_that_fit_are_run(declare, run) -> None:
    study = declare(factors={"learning_rate": {"levels": [1e-3]}}, fits_bytes=1_000_000_000)
    assert run(study, [(0.2, 0.6)])[0].state is TrialState.COMPLETE


@pytest.mark.slow
def test_want_of_memory_prunes_a_fault_fails_and_the_study_goes_on(
    declare, queue, folder, finish, tmp_path: Path
) -> None:
    tasks = tmp_path / "tasks.py"
    tasks.write_text(TASKS)
    levels = {name: {"task": f"{tasks}:{name}"} for name in ("Greedy", "Faulty")}
    study = declare(
        factors={"task": {"levels": levels | {"fine": {"task": "arithmetic"}}}}, seeds=[1000]
    )
    (cell,) = cells_of(study, {"task": "fine"}, folder=folder, overrides={})
    finish(cell, [True])
    trials = queue(study)
    trials.fill()
    runner = TrialRunner(study, folder=folder, overrides={})
    work(trials, runner)
    assert [trial.state.name for trial in trials.latest().values()] == [
        *("PRUNED", "FAIL", "COMPLETE"),
    ]
    greedy, faulty = record(folder, 0), record(folder, 1)
    assert greedy["reason"].startswith("out of memory: ")
    ledger = read_json(folder / greedy["cells"][0]["directory"] / "ledger.json")
    assert ledger["wall_seconds"] > 0
    assert (faulty["state"], faulty["reason"]) == ("failed", "RuntimeError: no such luck")
    assert str(tmp_path) not in json.dumps([greedy, faulty])

    # What has failed, and nothing else, is tried again by the next run.
    tasks.write_text(TASKS.replace('raise RuntimeError("no such luck")', "return []"))
    (cell,) = cells_of(study, {"task": "Faulty"}, folder=folder, overrides={})
    finish(cell, [True, False])
    trials.fill()
    work(trials, runner)
    assert [trial.state.name for trial in trials.study.get_trials()] == [
        *("PRUNED", "FAIL", "COMPLETE", "COMPLETE"),
    ]
    assert record(folder, 1)["values"] == {"pass@1": 0.5}
    assert (record(folder, 1)["reason"], trials.latest()[1].user_attrs["reason"]) == ("", "")
