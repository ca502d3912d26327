import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from ablations.designs import suggest
from ablations.journal import BEAT, LivingJournal, journal_file
from ablations.space import cells_of
from ablations.storage import INDEX, TrialQueue
from bakeoff.errors import ConfigError
from bakeoff.records import RunDirectory, read_json, read_lines, write_json

ROOT = Path(__file__).parents[2]
MANY = {"group_size": {"levels": list(range(2, 18))}}
FOUR = {"learning_rate": {"levels": [1e-3, 2e-3, 3e-3, 4e-3]}}
# Claims one trial, says which, and is killed by the test while it holds it.
HOLD = """
import json, sys, time
from pathlib import Path
from ablations.storage import INDEX, TrialQueue
from ablations.study import checked_ablation
folder = Path(sys.argv[1])
declared = json.loads((folder / "ablation.json").read_text())
study = checked_ablation(declared["ablation"], where="test")
queue = TrialQueue(study, sys.argv[2], folder=folder, name=declared["name"], grace_seconds=2)
trial = queue.claim()
with queue.alive(trial):
    print(trial.user_attrs[INDEX], flush=True)
    time.sleep(600)
"""


@pytest.fixture
def url(folder) -> str:
    return f"journal:{folder / 'optuna.journal'}"


def write_declaration(study, folder: Path) -> None:
    declared = {"name": study.study, "ablation": asdict(study), "overrides": {}}
    write_json(folder / "ablation.json", declared)


def start_worker(folder: Path, url: str, number: int) -> subprocess.Popen[bytes]:
    with (folder / f"worker-{number}.log").open("wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "ablations.worker", str(folder), "--storage", url),
                *("--grace-seconds", "6"),
            ],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )


def alone(file: Path, *, grace_seconds: int = 60) -> LivingJournal:
    return LivingJournal(file, 1, grace_seconds=grace_seconds, retry=lambda study, trial: None)


@pytest.mark.parametrize(
    ("storage", "file"),
    [
        ("journal:runs/trials", "runs/trials"),
        ("runs/optuna.log", "runs/optuna.log"),
        ("/shared/optuna.journal", "/shared/optuna.journal"),
        ("sqlite:///runs/optuna.log", None),
        ("postgresql+psycopg://me@host/x.log", None),
        ("nonsense", None),
    ],
)
def test_a_journal_is_named_by_prefix_or_by_suffix(storage, file) -> None:
    assert journal_file(storage) == (None if file is None else Path(file))


def test_threads_claim_every_trial_of_a_journal_once(declare, queue, url) -> None:
    study = declare(factors=MANY)
    queue(study, url=url).fill()
    queues = [queue(study, url=url) for _ in range(8)]

    def all_of(one: TrialQueue) -> list[int]:
        return [trial.user_attrs[INDEX] for trial in iter(one.claim, None)]

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(all_of, queues))
    assert Counter(index for some in claimed for index in some) == Counter(range(16))


def test_the_trial_of_a_killed_worker_is_queued_again_after_the_grace_period(
    declare, queue, folder, url
) -> None:
    study = declare(design="quasi_random", trials=1, factors={"learning_rate": {
        "low": 1e-4, "high": 1e-2, "log": True, "baseline": 1e-3}})  # fmt: skip
    write_declaration(study, folder)
    trials = queue(study, url=url, grace_seconds=2)
    trials.fill()
    point = trials.latest()[0].system_attrs["fixed_params"]
    command = (sys.executable, "-c", HOLD, str(folder), url)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"0\n"
        # Alive for longer than the grace period, so it keeps its trial.
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert trials.claim() is None
            time.sleep(0.1)
        holder.send_signal(signal.SIGKILL)
    died = time.monotonic()
    while (again := trials.claim()) is None:
        assert time.monotonic() - died < 30
        time.sleep(0.1)
    assert time.monotonic() - died > 0.5
    assert again.user_attrs[INDEX] == 0
    assert suggest(again, study) == point
    states = [trial.state.name for trial in trials.study.get_trials()]
    assert states == ["FAIL", "RUNNING"]


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_sign_of_life_is_told_by_ones_own_clock(tmp_path, monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    journal = alone(tmp_path / "a.journal", grace_seconds=10)
    study = optuna.create_study(storage=journal)
    trial = study.ask()
    journal.record_heartbeat(trial._trial_id)

    def silent() -> list[int]:
        return journal._get_stale_trial_ids(study._study_id)

    # From a machine whose clock is a day off.
    journal.set_trial_system_attr(trial._trial_id, BEAT, time.time() - 86400)
    assert silent() == []
    clock[0] += 10
    assert silent() == []
    journal.record_heartbeat(trial._trial_id)
    clock[0] += 10
    assert silent() == []
    clock[0] += 10.1
    assert silent() == [trial._trial_id]
    study.tell(trial, 0.5)
    assert silent() == []


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_sign_of_life_after_the_end_changes_nothing(tmp_path) -> None:
    file = tmp_path / "a.journal"
    study = optuna.create_study(storage=alone(file))
    trial = study.ask()
    study.tell(trial, 0.5)
    alone(file).record_heartbeat(trial._trial_id)
    assert BEAT not in alone(file).get_trial(trial._trial_id).system_attrs


@pytest.mark.parametrize(
    ("name", "content"),
    [("nowhere/trials.log", None), ("a.log", "a\nb\n"), ("b.log", "{}\n{}\n"), ("c.log", "1\n2\n")],
)
def test_a_file_that_is_no_journal_is_one_line(declare, queue, folder, name, content) -> None:
    file = folder / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match="cannot be used as a journal") as refused:
        queue(declare(), url=str(file))
    assert "\n" not in str(refused.value)
    assert content is None or file.read_text() == content


def test_what_a_stopped_study_has_finished_is_not_run_again(
    declare, queue, folder, finish, url
) -> None:
    study = declare(factors=FOUR, seeds=[1000])
    trials = queue(study, url=url)
    trials.fill()
    done, stopped = trials.claim(), trials.claim()
    trials.study.tell(done, 0.5)
    trials.put_back(stopped)
    again = queue(study, url=url)
    again.fill()
    states = {index: trial.state for index, trial in again.latest().items()}
    assert states == {0: TrialState.COMPLETE} | dict.fromkeys((1, 2, 3), TrialState.WAITING)
    claimed = [trial.user_attrs[INDEX] for trial in iter(again.claim, None)]
    assert sorted(claimed) == [1, 2, 3]


def test_two_worker_processes_run_every_cell_once_and_a_later_one_goes_on(
    declare, queue, folder, finish, url
) -> None:
    study = declare(factors=FOUR, seeds=[1000])
    write_declaration(study, folder)
    for rate in FOUR["learning_rate"]["levels"]:
        (cell,) = cells_of(study, {"learning_rate": rate}, folder=folder, overrides={})
        finish(cell, [True, False])
    trials = queue(study, url=url)
    trials.fill()
    workers = [start_worker(folder, url, number) for number in range(2)]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    every = trials.study.get_trials()
    assert Counter(t.user_attrs[INDEX] for t in every) == Counter(range(4))
    assert {t.state for t in every} == {TrialState.COMPLETE}
    # The same command once more finds nothing to do.
    lines = (folder / "optuna.journal").read_text().count("\n")
    assert start_worker(folder, url, 2).wait(120) == 0
    started = [json.loads(line) for line in (folder / "optuna.journal").read_text().splitlines()]
    assert not [log for log in started[lines:] if "trial_id" in log]


@pytest.mark.slow
def test_two_workers_train_every_cell_once_though_one_is_killed(
    declare, queue, folder, url
) -> None:
    study = declare(factors=FOUR, seeds=[1000])
    write_declaration(study, folder)
    trials = queue(study, url=url, grace_seconds=6)
    trials.fill()
    workers = [start_worker(folder, url, number) for number in range(2)]
    deadline = time.monotonic() + 120
    while not list(folder.glob("*/config.json")):  # in the middle of a trial
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers[0].kill()
    workers[0].wait(30)
    assert workers[1].wait(300) == 0
    states = Counter((t.user_attrs[INDEX], t.state.name) for t in trials.study.get_trials())
    complete = {(index, "COMPLETE"): 1 for index in range(4)}
    assert states.items() >= complete.items()
    assert sorted(state for _, state in states - Counter(complete)) in ([], ["FAIL"])
    records = [read_json(folder / "trials" / f"{number:04d}.json") for number in range(4)]
    cells = {cell["directory"] for record in records for cell in record["cells"]}
    assert len(cells) == 4
    for name in cells:
        run = RunDirectory(folder / name)
        assert run.state == "finished"
        assert [row["batch"] for row in read_lines(run.metrics)] == [1, 2]
