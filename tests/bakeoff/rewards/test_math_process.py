import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bakeoff.errors import ConfigError
from bakeoff.rewards import math_process
from bakeoff.rewards.math_process import Comparison, MathProcess, Pair

pytest.importorskip("math_verify")

SLOW = "(((((((9^9)^9)^9)^9)^9)^9)^9)^9"  # one integer of 10 million digits and more


@pytest.fixture
def process() -> Iterator[MathProcess]:
    process = MathProcess(seconds=30)
    yield process
    process.close()


def wait_until_idle(process: MathProcess) -> list[Comparison]:
    comparisons: list[Comparison] = []
    while not process.is_idle:
        comparisons += process.receive()
    return comparisons


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ends_soon(pid: int, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def test_several_pairs_are_answered_in_their_order(process: MathProcess) -> None:
    assert wait_until_idle(process) == []
    process.send(
        [
            Pair(gold="x+y", answer="y+x"),
            Pair(gold="x+y", answer="y-x"),
            Pair(gold="x^2+2x+1", answer="(x+1)^2"),
        ]
    )
    assert not process.is_idle
    assert [one.correct for one in wait_until_idle(process)] == [True, False, True]
    process.send([Pair(gold="\\ud800\n", answer="\ud800\n\x00")])
    assert [one.correct for one in wait_until_idle(process)] == [False]


def test_the_clock_of_an_answer_starts_when_the_one_before_it_arrived(process: MathProcess) -> None:
    wait_until_idle(process)
    before = time.monotonic()
    process.send([Pair(gold="x+y", answer="y+x")] * 2)
    first = process.deadline
    assert before + 30 <= first <= time.monotonic() + 30
    wait_until_idle(process)
    assert process.deadline > first


def test_one_that_dies_says_so(process: MathProcess) -> None:
    wait_until_idle(process)
    process.send([Pair(gold="x^2+1", answer=SLOW)])
    os.kill(process.pid, 9)
    with pytest.raises(EOFError):
        process.receive()
    process._process.wait()  # the pipe closes a moment before the process is gone
    assert not process.is_alive


def test_closing_leaves_no_process(process: MathProcess) -> None:
    assert is_running(process.pid)
    process.close()
    assert not is_running(process.pid)
    process.close()


def test_an_object_that_is_dropped_takes_its_process_along() -> None:
    process = MathProcess(seconds=30)
    pid = process.pid
    assert is_running(pid)
    del process
    assert not is_running(pid)


@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_no_process_outlives_its_parent(end: str) -> None:
    code = (
        "import os, sys\n"
        "from bakeoff.rewards.math_process import MathProcess\n"
        "process = MathProcess(seconds=30)\n"
        "process.receive()\n"
        "print(process.pid, flush=True)\n"
        f"{end}\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ends_soon(int(result.stdout), seconds=10)


def test_a_process_in_the_middle_of_a_hang_ends_by_itself_when_its_parent_is_gone() -> None:
    code = (
        "import os, time\n"
        "from bakeoff.rewards.math_process import MathProcess, Pair\n"
        "process = MathProcess(seconds=0.5)\n"
        "process.receive()\n"
        f"process.send([Pair(gold='x^2+1', answer={SLOW!r})])\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(0.2)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ends_soon(int(result.stdout), seconds=20)


def test_a_child_that_cannot_start_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_process, "_CHILD", "/no/such/child.py")
    process = MathProcess(seconds=1)
    with pytest.raises(ConfigError, match="did not start"):
        process.receive()
    process.close()
