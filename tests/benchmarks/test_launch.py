import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from benchmarks import launch
from benchmarks.launch import Job, JobResult, run_jobs

# A child that a polite signal does not end.
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"
WITH_CHILD = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}])
time.sleep(0.5)
open(sys.argv[1] + ".new", "w").write(f"{{os.getpid()}} {{child.pid}}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""

MakeJob = Callable[..., Job]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "POLL_SECONDS", 0.02)


@pytest.fixture
def job(tmp_path: Path) -> MakeJob:
    def make(name: str, code: str, *arguments: object) -> Job:
        return Job(
            name=name,
            arguments=("-c", code, *map(str, arguments)),
            log=tmp_path / "logs" / f"{name}.log",
        )

    return make


def alive(pid: int) -> bool:
    """Whether a process still runs; one that waits to be buried does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_all_end(pids: Sequence[int]) -> None:
    # A killed process takes a moment to go.
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids if alive(pid)] == []


def pids_in(file: Path) -> list[int]:
    return [int(text) for text in file.read_text().split()]


def test_at_most_so_many_jobs_run_at_once(job: MakeJob, tmp_path: Path) -> None:
    code = """
import sys, time
start = time.monotonic()
time.sleep(0.4)
open(sys.argv[1], "w").write(f"{start} {time.monotonic()}")
"""
    files = [tmp_path / f"{index}.txt" for index in range(5)]
    ticks: list[int] = []
    results = run_jobs(
        [job(file.stem, code, file) for file in files],
        workers=2,
        on_tick=lambda running: ticks.append(len(running)),
    )
    assert sorted(result.job.name for result in results) == ["0", "1", "2", "3", "4"]
    assert {result.returncode for result in results} == {0}
    spans = [tuple(map(float, file.read_text().split())) for file in files]
    at_once = [sum(start <= moment < end for start, end in spans) for moment, _ in spans]
    assert max(at_once) == 2
    assert max(ticks) == 2


def test_a_log_holds_what_a_job_prints_on_both_streams(job: MakeJob) -> None:
    code = "import sys; print('to out', flush=True); print('to err', file=sys.stderr)"
    (result,) = run_jobs([job("one", code)], workers=1)
    assert result.job.log.read_text() == "to out\nto err\n"


def test_a_job_computes_with_one_thread_and_reads_nothing(job: MakeJob) -> None:
    code = "import os, sys; print(os.environ['OMP_NUM_THREADS'], repr(sys.stdin.read()))"
    (result,) = run_jobs([job("one", code)], workers=1)
    assert result.reason == "1 ''"


def test_a_job_that_fails_is_not_started_again_and_its_last_line_is_the_reason(
    job: MakeJob, tmp_path: Path
) -> None:
    code = """
import sys
open(sys.argv[1], "a").write("x")
print("loading")
print("bakeoff: no such model", file=sys.stderr)
raise SystemExit(2)
"""
    (result,) = run_jobs([job("one", code, tmp_path / "starts")], workers=1)
    assert (result.returncode, result.reason) == (2, "bakeoff: no such model")
    assert (tmp_path / "starts").read_text() == "x"


def test_a_job_that_says_nothing_has_its_exit_status_as_the_reason(job: MakeJob) -> None:
    (result,) = run_jobs([job("one", "raise SystemExit(3)")], workers=1)
    assert result.reason == "exit status 3"


def test_a_killed_job_is_started_once_more_and_then_reported(job: MakeJob, tmp_path: Path) -> None:
    code = """
import os, signal, sys
open(sys.argv[1], "a").write("x")
print("batch 3", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    (result,) = run_jobs([job("one", code, tmp_path / "starts")], workers=1)
    assert (tmp_path / "starts").read_text() == "xx"
    assert result.returncode == -signal.SIGKILL
    assert "SIGKILL" in result.reason and str(result.job.log) in result.reason


def test_a_job_that_is_killed_once_succeeds(job: MakeJob, tmp_path: Path) -> None:
    code = """
import os, signal, sys
again = os.path.exists(sys.argv[1])
open(sys.argv[1], "a").write("x")
if not again:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    other = job("other", "print('fine')")
    results = run_jobs([job("one", code, tmp_path / "starts"), other], workers=1)
    assert {result.job.name: result.returncode for result in results} == {"one": 0, "other": 0}
    assert (tmp_path / "starts").read_text() == "xx"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_leaves_no_process_behind(
    job: MakeJob, tmp_path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "KILL_AFTER_SECONDS", 1.0)
    files = [tmp_path / "a.pids", tmp_path / "b.pids"]
    jobs = [job(file.stem, WITH_CHILD + "time.sleep(120)", file) for file in files]
    waiting = job("waiting", "import sys; open(sys.argv[1], 'w')", tmp_path / "started")
    pids: list[int] = []

    def interrupt(_: Sequence[Job]) -> None:
        if all(file.exists() for file in files):
            pids.extend(pid for file in files for pid in pids_in(file))
            assert all(alive(pid) for pid in pids)
            raise error

    with pytest.raises(error):
        run_jobs([*jobs, waiting], workers=2, on_tick=interrupt)
    assert len(set(pids)) == 4
    assert_all_end(pids)
    assert not (tmp_path / "started").exists()


def test_a_job_that_ignores_the_polite_signal_is_killed(
    job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "KILL_AFTER_SECONDS", 0.3)
    code = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()))\n" + STUBBORN

    def interrupt(_: Sequence[Job]) -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            time.sleep(0.3)
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job("one", code, tmp_path / "pid")], workers=1, on_tick=interrupt)
    assert_all_end(pids_in(tmp_path / "pid"))
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"])
def test_what_a_job_leaves_behind_ends_with_it(job: MakeJob, tmp_path: Path, end: str) -> None:
    (result,) = run_jobs([job("one", WITH_CHILD + end, tmp_path / "pids")], workers=1)
    assert result.returncode == (-9 if end else 0)
    assert_all_end(pids_in(tmp_path / "pids"))


def test_no_jobs_are_no_results() -> None:
    assert run_jobs([], workers=2) == []


def test_a_log_that_is_not_text_has_a_reason_still(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_bytes(b"\xff\xfe broken\n")
    result = JobResult(job=Job(name="one", arguments=(), log=log), returncode=1)
    assert result.reason.endswith("broken")


def test_the_ranks_of_a_cell_end_with_it(job: MakeJob, tmp_path: Path) -> None:
    ranks = f"""
import sys
from bakeoff.processes import run_ranks
code = "import os, sys; sys.argv[1] += os.environ['RANK']\\n" + {WITH_CHILD!r} + "time.sleep(99)"
sys.exit(run_ranks(["-c", code, sys.argv[1]], processes=2))
"""
    files = [tmp_path / f"pids{rank}" for rank in range(2)]

    def interrupt(_: Sequence[Job]) -> None:
        if all(file.exists() for file in files):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([job("cell", ranks, tmp_path / "pids")], workers=1, on_tick=interrupt)
    pids = [pid for file in files for pid in pids_in(file)]
    assert len(pids) == 4
    assert_all_end(pids)
