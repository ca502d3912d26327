import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bakeoff.locks import FOLDER_LOCK, exclusive, exclusive_folder, is_unused
from bakeoff.records import RunDirectory, read_lines

FORK = multiprocessing.get_context("fork")


def add_one(lock: Path, counter: Path, times: int) -> None:
    """Reads, waits and writes: without the lock two processes would write the same number."""
    for _ in range(times):
        with exclusive(lock):
            count = int(counter.read_text())
            time.sleep(0.002)
            counter.write_text(str(count + 1))


def hold(lock: Path, held: Path) -> None:
    with exclusive(lock):
        held.touch()
        time.sleep(60)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} never came"
        time.sleep(0.01)


def test_processes_hold_a_lock_one_at_a_time(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [
        FORK.Process(target=add_one, args=(tmp_path / "lock", counter, 25)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert counter.read_text() == "100"


def test_a_lock_ends_with_a_killed_process_and_who_waits_is_told_so_once(tmp_path: Path) -> None:
    lock, held = tmp_path / "lock", tmp_path / "held"
    holder = FORK.Process(target=hold, args=(lock, held))
    holder.start()
    wait_for(held)
    waits: list[float] = []

    def told() -> None:
        waits.append(time.monotonic())
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGKILL)

    with exclusive(lock, on_wait=told):
        holder.join()
        assert holder.exitcode == -signal.SIGKILL
    assert len(waits) == 1


def test_nobody_waits_for_a_lock_that_is_free_or_was_let_go(tmp_path: Path) -> None:
    def told() -> None:
        raise AssertionError("it is free")

    with pytest.raises(RuntimeError), exclusive(tmp_path / "lock", on_wait=told):
        raise RuntimeError
    with exclusive(tmp_path / "lock", on_wait=told):
        pass


def test_a_held_folder_is_made_and_goes_again_when_nothing_was_put_into_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with pytest.raises(RuntimeError), exclusive_folder(folder):
        assert is_unused(folder) and folder.is_dir()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_held_folder_stays_when_it_was_there_or_is_used(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    with exclusive_folder(there):
        pass
    assert list(there.iterdir()) == []
    with exclusive_folder(tmp_path / "used"):
        (tmp_path / "used" / "config.json").touch()
        assert not is_unused(tmp_path / "used")
    assert {path.name for path in (tmp_path / "used").iterdir()} == {FOLDER_LOCK, "config.json"}


def test_folders_beside_each_other_may_go_at_the_same_time(tmp_path: Path) -> None:
    with exclusive_folder(tmp_path / "a" / "b"), exclusive_folder(tmp_path / "a" / "c"):
        (tmp_path / "a" / "c" / "config.json").touch()
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"c"}


@pytest.mark.slow
def test_two_processes_that_train_the_same_run_at_once_train_it_once(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "bakeoff", "train", "--method", "online_rft", "--steps", "3"),
        *("--model", "config:builtin", "--problems-per-step", "2", "--group-size", "2"),
        *("--max-response-tokens", "8", "--evaluations", "1", "--evaluation-problems", "2"),
        *("--final-samples", "1", "--ood-problems", "0", "--train-problems", "8"),
        *("--out", str(tmp_path / "run")),
    ]
    both = [
        subprocess.Popen(
            command,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert sum("batch 3" in text for text in printed) == 1
    assert sum("is finished already" in text for text in printed) == 1
    run = RunDirectory(tmp_path / "run")
    assert run.state == "finished"
    assert [row["batch"] for row in read_lines(run.metrics)] == [1, 2, 3]
    assert {row["batch"] for row in read_lines(run.evaluations)} == {0, 3}
