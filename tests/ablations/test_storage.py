import multiprocessing
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from optuna.trial import TrialState

from ablations.designs import suggest
from ablations.storage import INDEX, TrialQueue, default_storage
from bakeoff.errors import ConfigError

FORK = multiprocessing.get_context("fork")
SIX = {"group_size": {"levels": [2, 3, 4]}, "epochs": {"levels": [1, 2]}}
RANGE = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True, "baseline": 1e-3}}
MANY = {"group_size": {"levels": list(range(2, 18))}}


def claim_all(make_queue, started, found) -> None:
    """What a worker does, but for the work."""
    queue: TrialQueue = make_queue()
    started.wait()
    claimed = []
    while (trial := queue.claim()) is not None:
        claimed.append(trial.user_attrs[INDEX])
    found.put(claimed)


def in_processes(make_queue, *, count: int) -> list[list[int]]:
    """What each of so many processes claimed."""
    started, found = FORK.Barrier(count), FORK.Queue()
    processes = [
        FORK.Process(target=claim_all, args=(make_queue, started, found)) for _ in range(count)
    ]
    for process in processes:
        process.start()
    claimed = [found.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    return claimed


def claim_and_die(make_queue, ablation, died_with) -> None:
    queue = make_queue()
    trial = queue.claim()
    died_with.put((trial.user_attrs[INDEX], suggest(trial, ablation)))
    died_with.close()
    died_with.join_thread()
    os.kill(os.getpid(), signal.SIGKILL)


def claimed_by_one_that_dies(make_queue, ablation) -> tuple[int, dict]:
    """Index and levels of the trial that a process was killed with."""
    died_with = FORK.Queue()
    process = FORK.Process(target=claim_and_die, args=(make_queue, ablation, died_with))
    process.start()
    found = died_with.get(timeout=60)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return found


def states(queue: TrialQueue) -> list[str]:
    return [trial.state.name for trial in queue.study.get_trials()]


def test_every_point_is_queued_once_however_often_it_is_filled(declare, queue) -> None:
    trials = queue(declare(factors=SIX))
    trials.fill()
    trials.fill()
    queue(declare(factors=SIX)).fill()
    assert states(trials) == ["WAITING"] * 6
    assert sorted(trials.latest()) == [0, 1, 2, 3, 4, 5]


def test_trials_are_claimed_in_the_designs_order_until_none_waits(declare, queue) -> None:
    study = declare(factors=SIX)
    trials = queue(study)
    trials.fill()
    assert trials.running == 0
    points = []
    while (trial := trials.claim()) is not None:
        points.append((trial.user_attrs[INDEX], suggest(trial, study)))
    assert points == [
        (0, {"group_size": 2, "epochs": 1}),
        (1, {"group_size": 2, "epochs": 2}),
        (2, {"group_size": 3, "epochs": 1}),
        (3, {"group_size": 3, "epochs": 2}),
        (4, {"group_size": 4, "epochs": 1}),
        (5, {"group_size": 4, "epochs": 2}),
    ]
    assert trials.running == 6


def test_more_trials_are_added_to_those_of_a_sampling_design(declare, queue) -> None:
    few = declare(design="quasi_random", trials=2, factors=RANGE)
    many = declare(design="quasi_random", trials=5, factors=RANGE)
    queue(few).fill()
    trials = queue(few)
    for _ in range(2):
        trial = trials.claim()
        suggest(trial, few)
        trials.study.tell(trial, 0.5)
    trials = queue(many)
    trials.fill()
    assert states(trials) == ["COMPLETE"] * 2 + ["WAITING"] * 3
    assert trials.claim().user_attrs[INDEX] == 2


def test_a_failed_trial_is_queued_once_more_with_its_levels(declare, queue) -> None:
    study = declare(factors=SIX)
    trials = queue(study)
    trials.fill()
    trial = trials.claim()
    point = suggest(trial, study)
    trials.study.tell(trial, state=TrialState.FAIL)
    trials.fill()
    trials.fill()
    assert states(trials) == ["FAIL"] + ["WAITING"] * 6
    again = trials.latest()[0]
    assert (again.state, again.params) == (TrialState.WAITING, point)


def test_a_pruned_trial_is_over(declare, queue) -> None:
    trials = queue(declare(factors=SIX))
    trials.fill()
    trials.study.tell(trials.claim(), state=TrialState.PRUNED)
    trials.fill()
    assert states(trials) == ["PRUNED"] + ["WAITING"] * 5


def test_a_trial_that_is_put_back_keeps_its_index_and_levels(declare, queue) -> None:
    study = declare(design="tpe", trials=1, factors=RANGE)
    trials = queue(study)
    trials.fill()
    trial = trials.claim()
    point = suggest(trial, study)
    trials.put_back(trial)
    trials.put_back(trial)  # as by a worker that comes late
    assert states(trials) == ["FAIL", "WAITING"]
    again = trials.claim()
    assert again.user_attrs[INDEX] == 0
    assert suggest(again, study) == point


def test_threads_and_processes_claim_every_trial_once_from_sqlite(declare, queue) -> None:
    study = declare(factors=MANY)
    queue(study).fill()
    claimed = in_processes(lambda: queue(study), count=4)
    assert Counter(index for some in claimed for index in some) == Counter(range(16))

    threads = declare(factors=MANY, study="threads")
    queue(threads).fill()
    queues = [queue(threads) for _ in range(8)]

    def all_of(one: TrialQueue) -> list[int]:
        return [trial.user_attrs[INDEX] for trial in iter(one.claim, None)]

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(all_of, queues))
    assert Counter(index for some in claimed for index in some) == Counter(range(16))


def test_the_trial_of_a_killed_worker_is_queued_again_after_the_grace_period(
    declare, queue
) -> None:
    study = declare(design="tpe", trials=2, factors=RANGE)

    def make() -> TrialQueue:
        return queue(study, grace_seconds=2)

    trials = make()
    trials.fill()
    start = time.monotonic()
    index, point = claimed_by_one_that_dies(make, study)
    assert index == 0
    # This one is alive, so it is not taken away.
    other = trials.claim()
    assert other.user_attrs[INDEX] == 1
    with trials.alive(other):
        assert trials.claim() is None
        while (again := trials.claim()) is None:
            assert time.monotonic() - start < 30
            time.sleep(0.1)
        assert time.monotonic() - start >= 1  # the clock of SQLite has whole seconds
        with trials.alive(again):
            time.sleep(2.5)
            assert trials.claim() is None
    assert again.user_attrs[INDEX] == 0
    assert suggest(again, study) == point
    assert states(trials) == ["FAIL", "RUNNING", "RUNNING"]


def test_studies_of_one_name_share_a_storage_without_sharing_trials(declare, tmp_path) -> None:
    study = declare(factors=SIX)
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    for name in ("tiny-1", "tiny-2"):
        (tmp_path / name).mkdir()
        TrialQueue(study, url, folder=tmp_path / name, name=name).fill()
    first = TrialQueue(study, url, folder=tmp_path / "tiny-1", name="tiny-1")
    assert first.claim().user_attrs[INDEX] == 0
    second = TrialQueue(study, url, folder=tmp_path / "tiny-2", name="tiny-2")
    assert second.claim().user_attrs[INDEX] == 0


def test_what_others_queue_is_left_to_them(declare, queue) -> None:
    trials = queue(declare(factors=SIX))
    trials.study.enqueue_trial({"group_size": 2})  # as from a dashboard
    assert trials.claim() is None
    assert trials.latest() == {}


def test_objectives_have_their_direction_and_name(declare, queue) -> None:
    study = declare(objectives=["pass@1", "peak_bytes", "tokens_per_second"])
    made = queue(study).study
    assert [direction.name for direction in made.directions] == ["MAXIMIZE", "MINIMIZE", "MAXIMIZE"]
    assert made.metric_names == ["pass@1", "peak_bytes", "tokens_per_second"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "SQLite is sqlite:///FILE"),
        ("nosuch://somewhere/db", "SQLite is sqlite:///FILE"),
        ("sqlite:////nowhere/at/all.db", "is not reached: .*unable to open database file"),
        ("postgresql+psycopg://nobody@localhost:1/none", "is not reached: .*connection"),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_line(declare, queue, url, told) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        queue(declare(), url=url)
    assert "\n" not in str(refused.value)


def test_a_password_is_not_repeated_in_an_error(declare, queue) -> None:
    with pytest.raises(ConfigError) as refused:
        queue(declare(), url="postgresql+psycopg://me:secret@localhost:1/none")
    assert "secret" not in str(refused.value)
    assert "me:***@localhost:1/none" in str(refused.value)


def test_the_default_storage_lies_beside_the_records(declare, queue, folder) -> None:
    queue(declare()).fill()
    assert (folder / "optuna.db").exists()
    assert optuna.get_all_study_names(default_storage(folder)) == ["tiny"]


@pytest.mark.slow
def test_processes_claim_every_trial_once_from_postgresql(declare, queue, postgresql) -> None:
    study = declare(factors=MANY, study="claims")

    def make() -> TrialQueue:
        return queue(study, url=postgresql)

    make().fill()
    claimed = in_processes(make, count=4)
    assert Counter(index for some in claimed for index in some) == Counter(range(16))


@pytest.mark.slow
def test_the_trial_of_a_killed_worker_is_queued_again_once_in_postgresql(
    declare, queue, postgresql
) -> None:
    study = declare(design="tpe", trials=1, factors=RANGE, study="killed")

    def make() -> TrialQueue:
        return queue(study, url=postgresql, grace_seconds=2)

    make().fill()
    index, point = claimed_by_one_that_dies(make, study)
    assert index == 0
    deadline = time.monotonic() + 30
    claimed: list[int] = []
    while not claimed:
        assert time.monotonic() < deadline
        claimed = [index for some in in_processes(make, count=4) for index in some]
    assert claimed == [0]
    trials = make()
    assert states(trials) == ["FAIL", "RUNNING"]
    assert trials.latest()[0].params == point
