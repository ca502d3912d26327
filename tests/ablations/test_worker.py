import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from optuna.trial import TrialState

from ablations.space import cells_of
from ablations.storage import INDEX
from ablations.trial import TrialRunner, trial_file
from ablations.worker import main, work
from bakeoff.records import RunDirectory, read_json, read_lines, write_json

ROOT = Path(__file__).parents[2]
GRACE_SECONDS = 6
EIGHT = {
    "group_size": {"levels": [2, 4]},
    "kl_coefficient": {"levels": [0.0, 0.1]},
    "learning_rate": {"levels": [1e-3, 1e-4]},
}

Start = Callable[[], subprocess.Popen[bytes]]


class TakenForDead(TrialRunner):
    """Is asleep while its first trial is given to another worker."""

    asleep = True

    def run(self, trial):
        if self.asleep:
            self.asleep = False
            self.storage.put_back(trial)
        return super().run(trial)


@pytest.fixture
def start(folder: Path, postgresql: str) -> Iterator[Start]:
    """Starts workers, which are over at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def make() -> subprocess.Popen[bytes]:
        with (folder / f"worker-{len(started)}.log").open("wb") as log:
            worker = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ablations.worker", str(folder)),
                    *("--storage", postgresql, "--grace-seconds", str(GRACE_SECONDS)),
                ],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        started.append(worker)
        return worker

    yield make
    for worker in started:
        worker.terminate()
        worker.wait(30)


def of_the_study(folder: Path) -> list[psutil.Process]:
    """Processes that were started for a study."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in part for part in process.info["cmdline"] or ())
    ]


def test_a_worker_runs_trials_until_none_is_left(declare, queue, folder, finish) -> None:
    study = declare(seeds=[1000])
    trials = queue(study)
    trials.fill()
    for index in range(4):
        point = {"kl_coefficient": (0.0, 0.1)[index // 2], "learning_rate": (1e-3, 1e-4)[index % 2]}
        (cell,) = cells_of(study, point, folder=folder, overrides={})
        finish(cell, [place <= index for place in range(4)])
    work(trials, TrialRunner(study, folder=folder, overrides={}))
    assert [trial.values for trial in trials.study.get_trials()] == [[0.25], [0.5], [0.75], [1.0]]


def test_a_trial_that_was_given_to_another_worker_is_dropped(
    declare, queue, folder, finish
) -> None:
    study = declare(factors={"learning_rate": {"levels": [1e-3, 2e-3]}}, seeds=[1000])
    for rate in (1e-3, 2e-3):
        finish(cells_of(study, {"learning_rate": rate}, folder=folder, overrides={})[0], [True])
    trials = queue(study)
    trials.fill()
    runner = TakenForDead(study, folder=folder, overrides={})
    runner.storage = trials
    work(trials, runner)
    states = Counter((t.user_attrs[INDEX], t.state.name) for t in trials.study.get_trials())
    assert states == {(0, "FAIL"): 1, (0, "COMPLETE"): 1, (1, "COMPLETE"): 1}


def test_a_trial_is_put_back_when_its_worker_has_to_stop(declare, queue, folder) -> None:
    class Stopped(TrialRunner):
        def run(self, trial):
            raise SystemExit(143)

    study = declare()
    trials = queue(study)
    trials.fill()
    with pytest.raises(SystemExit):
        work(trials, Stopped(study, folder=folder, overrides={}))
    assert [trial.state.name for trial in trials.latest().values()] == ["WAITING"] * 4
    assert trials.running == 0


def test_a_folder_without_a_study_is_one_line(tmp_path: Path) -> None:
    ended = CliRunner().invoke(main, [str(tmp_path), "--storage", "sqlite://"])
    assert ended.exit_code == 1
    assert ended.output == f"Error: {tmp_path / 'ablation.json'} does not exist\n"


@pytest.mark.slow
def test_four_workers_do_every_trial_once_though_one_is_killed(
    declare, queue, folder, start, postgresql
) -> None:
    study = declare(factors=EIGHT, seeds=[1000])
    write_json(
        folder / "ablation.json",
        {"name": study.study, "ablation": asdict(study), "overrides": {}},
    )
    trials = queue(study, url=postgresql, grace_seconds=GRACE_SECONDS)
    trials.fill()
    workers = [start() for _ in range(4)]
    # In the middle of a trial: its cell has begun, and goes on alone for a moment.
    deadline = time.monotonic() + 120
    while not (victims := [w for w in workers if psutil.Process(w.pid).children()]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    orphans = psutil.Process(victims[0].pid).children()
    victims[0].send_signal(signal.SIGKILL)
    survivors = [worker for worker in workers if worker is not victims[0]]
    assert [worker.wait(300) for worker in survivors] == [0, 0, 0]
    assert orphans

    every = trials.study.get_trials()
    states = Counter((trial.user_attrs[INDEX], trial.state.name) for trial in every)
    (killed,) = (index for index, state in states if state == "FAIL")
    complete = {(index, "COMPLETE"): 1 for index in range(8)}
    assert states == complete | {(killed, "FAIL"): 1}
    first, again = (trial for trial in every if trial.user_attrs[INDEX] == killed)
    assert first.params == again.params
    records = [read_json(trial_file(folder, number)) for number in range(8)]
    assert [record["state"] for record in records] == ["complete"] * 8
    cells = [cell["directory"] for record in records for cell in record["cells"]]
    assert len(set(cells)) == 8
    for name in cells:
        run = RunDirectory(folder / name)
        assert [row["batch"] for row in read_lines(run.metrics)] == [1, 2]
        assert run.state == "finished"
    assert of_the_study(folder) == []
    assert trials.latest()[killed].state is TrialState.COMPLETE
